"""Lives of a state directory, quickly: the real launcher, plan, aggregator, databases, sockets and client, without supervisord.

`python state_life.py` reads a JSON object a line (`state_dir`, `root`, `end`), lives that life in a process of its own, and
answers with a line: what was handed to the group, or why the directory was refused. `Lives` is its other end.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any

SHARD_WAIT_S = 30.0
GROUP = "facts"


class Lives:
    """Lives one life after another, and applies to a mirror what the group is handed."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.mirror: dict[str, list[int]] = {}
        path = os.pathsep.join([str(Path(__file__).parents[1] / "src"), str(Path(__file__).parent)])
        self._process = subprocess.Popen(
            [sys.executable, "-P", __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, "PYTHONPATH": path},
        )  # fmt: skip

    def __enter__(self) -> Lives:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(30)
        self._process.stdout.close()

    def live(self, state_dir: Path, end: str, group: str = GROUP) -> str:
        """One life to its end (`stop` or `kill`), everything pulled: `on`, `fresh: WHY`, or `refused: WHY`. One that ends at its
        `beginning` is killed as soon as it has written life.json, and nothing is pulled: `on`.
        """
        assert self._process.stdin is not None and self._process.stdout is not None
        wanted = {"state_dir": str(state_dir), "root": str(self.root), "end": end, "group": group}
        self._process.stdin.write(json.dumps(wanted) + "\n")
        self._process.stdin.flush()
        found: dict[str, Any] = json.loads(self._process.stdout.readline())
        if "refused" in found:
            return f"refused: {found['refused']}"
        outcome = "on"
        for event in found["events"]:
            if event[0] == "fresh":
                self.mirror.clear()
                outcome = f"fresh: {event[1]}"
                continue
            kind, path, before, size, mtime_ns = event
            self.mirror.pop(before, None)
            if kind == "deleted":
                self.mirror.pop(path, None)
            else:
                self.mirror[path] = [size, mtime_ns]
        return outcome

    def there(self) -> dict[str, list[int]]:
        """What the mirror must hold after a life."""
        return {str(path): [path.stat().st_size, path.stat().st_mtime_ns] for path in self.root.iterdir()}


def live(state_dir: Path, root: Path, end: str, group: str, answer: int) -> None:
    """One life, in this process, which does not return from it."""
    from running import settings_for

    from shardwatch.aggregator.main import Service
    from shardwatch.aggregator.process.sockets import Sockets
    from shardwatch.shard.contract.errors import ShardwatchError
    from shardwatch.shard.contract.process.life import SERVICE_VARIABLE
    from shardwatch.supervisor.planning.planning import ensure_plan
    from shardwatch.supervisor.service.state_dir import prepare

    os.environ[SERVICE_VARIABLE] = os.urandom(16).hex()
    settings = settings_for(root, include=("*",), exclude=())
    try:
        prepared = prepare(state_dir, settings)
        plan = ensure_plan(prepared.layout, settings)
        sockets = Sockets(prepared.layout)
    except ShardwatchError as error:
        os.write(answer, json.dumps({"refused": str(error)}).encode())
        return

    def drive() -> None:
        try:
            found: dict[str, Any] = {"events": _pulled(prepared.layout, plan, root, group)}
        except Exception as error:  # noqa: BLE001 - told to the test
            found = {"refused": repr(error)}
        os.write(answer, json.dumps(found).encode())
        if end == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        sockets.stop()
        os.write(sockets.wakeup_fd, b"x")

    if end == "beginning":
        _end_at_the_beginning(answer)
    thread = threading.Thread(target=drive)
    thread.start()
    Service(prepared.layout, settings, sockets).run()
    thread.join()
    sockets.close()


def _end_at_the_beginning(answer: int) -> None:
    """Kills this process as soon as it has written life.json."""
    from shardwatch.aggregator.storage.lives import Lives as DatabaseLives

    begin = DatabaseLives.begin

    def last(lives: DatabaseLives, name: str, groups: Iterable[str]) -> None:
        begin(lives, name, groups)
        os.write(answer, json.dumps({"events": []}).encode())
        os.kill(os.getpid(), signal.SIGKILL)

    DatabaseLives.begin = last  # type: ignore[assignment, method-assign]


def _pulled(layout: Any, plan: Any, root: Path, group: str) -> list[list[Any]]:
    """What a shard would say of the root is sent; returns what the group is handed then, all of it acked."""
    import zmq

    from shardwatch.aggregator.client.blocking import ExtractClient
    from shardwatch.shard.contract.limits import WIRE_VERSION
    from shardwatch.shard.contract.process.life import new_epoch, service_id
    from shardwatch.shard.contract.wire.frames import Baseline, Frame, Listing, encode
    from shardwatch.shard.disk.calls import coarse_ns
    from shardwatch.shard.disk.reading import packed

    path, now = os.fsencode(os.path.realpath(root)), coarse_ns()
    names = sorted(os.listdir(path))
    stats = b"".join(packed(os.lstat(path + b"/" + name), now, False) for name in names)
    records = [Listing(path, now, names, stats), Baseline(plan.generation, 1, len(names))]
    (shard,) = plan.shards()
    events: list[list[Any]] = []
    with zmq.Context() as context, context.socket(zmq.PUSH) as push, ExtractClient(layout.state_dir) as client:
        push.connect(layout.endpoint(layout.facts_socket))
        push.send(encode(Frame(WIRE_VERSION, shard, new_epoch(), plan.generation, 1, records, service_id())))  # type: ignore[arg-type]
        assert client.ready(SHARD_WAIT_S) is not None, "not ready"
        while (batch := client.pull(group, from_="start")) is not None:
            if batch.fresh is not None:
                events.append(["fresh", batch.fresh.reason])
            for event in batch.events:
                before = event.moved_from if isinstance(event.moved_from, str) else ""
                events.append([event.event_type, event.path, before, event.size, event.mtime_ns])
            batch.ack()
    return events


def main() -> None:
    from shardwatch.aggregator import main  # noqa: F401 - loaded once for all that is forked
    from shardwatch.aggregator.client import blocking  # noqa: F401
    from shardwatch.supervisor.planning import planning  # noqa: F401
    from shardwatch.supervisor.service import service  # noqa: F401

    for line in sys.stdin:
        wanted = json.loads(line)
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reader)
            try:
                live(Path(wanted["state_dir"]), Path(wanted["root"]), wanted["end"], wanted["group"], writer)
            finally:
                os._exit(0)
        os.close(writer)
        with os.fdopen(reader, "rb") as f:
            said = f.read()
        os.waitpid(child, 0)
        print(said.decode() or json.dumps({"refused": "it said nothing"}), flush=True)


if __name__ == "__main__":
    main()
