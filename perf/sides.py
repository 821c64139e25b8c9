"""Everything that is measured, behind one face: started on a tree, it hands changes to a consumer in a process of its own."""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import older
import processes
import session
from peers import PEERS, asked_for, python_of
from rows import OLD, OURS

from shardwatch.aggregator.client.blocking import ExtractClient
from shardwatch.shard.compiled import choice
from shardwatch.supervisor.config.resolve import resolve
from shardwatch.supervisor.service.child import ChildService
from shardwatch.supervisor.service.state_dir import prepare

HERE = Path(__file__).resolve().parent
#: Whether the product that is measured here uses native code.
NATIVE: Final = choice.STATE == choice.IN_USE
#: Hang guard of everything here, seconds.
GUARD_S: Final = 300.0


@dataclass(frozen=True)
class Arrived:
    """What a consumer had been handed when a wait ended. Times are monotonic seconds."""

    distinct: int
    events: int
    grew_at: float
    taken_at: float
    overflows: int
    fatal: str


class Lines:
    """Lines of a child's standard output, with a deadline."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout is not None
        self._process = process
        self._fd = process.stdout.fileno()
        self._have = bytearray()

    def next(self, timeout_s: float = GUARD_S) -> bytes:
        """The next line; TimeoutError after `timeout_s`, RuntimeError at the end."""
        deadline = time.monotonic() + timeout_s
        searched = 0
        while (at := self._have.find(b"\n", searched)) < 0:
            searched = len(self._have)
            if not select.select([self._fd], [], [], max(0.0, deadline - time.monotonic()))[0]:
                raise TimeoutError(f"no line within {timeout_s:g} s")
            data = os.read(self._fd, 1 << 20)
            if not data:
                raise RuntimeError(f"output ended, exit code {self._process.wait(5)}")
            self._have += data
        line = bytes(self._have[:at])
        del self._have[: at + 1]
        return line

    def silent(self, seconds: float) -> bool:
        """Whether nothing comes for so long."""
        return not self._have and not select.select([self._fd], [], [], seconds)[0]


class ConsumerProcess:
    """One of the `use_*.py`."""

    def __init__(self, command: list[str], mark: str) -> None:
        environ = {**os.environ, processes.MARK: mark, "PYTHONDONTWRITEBYTECODE": "1"}
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environ)
        self._lines = Lines(self._process)
        self.ready = json.loads(self._lines.next())
        self.pid = self._process.pid

    def ask(self, guard_s: float = GUARD_S, **command: object) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(command).encode() + b"\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._lines.next(guard_s))
        return answer

    def reset(self, *, log: bool = False) -> None:
        self.ask(do="reset", log=log)

    def wait(self, distinct: int, *, quiet_s: float = 0.0, timeout_s: float = 60.0) -> Arrived:
        """Until so many different paths came, and then none for `quiet_s`; what there is at the time-out."""
        return Arrived(**self.ask(timeout_s + 30.0, do="wait", distinct=distinct, quiet_s=quiet_s, timeout_s=timeout_s))

    def report(self) -> dict[str, Any]:
        return self.ask(do="report")

    def close(self) -> None:
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()
        self._process.kill()
        self._process.wait()


class Side:
    """A product at work on a tree, and its consumer. A context manager."""

    #: Whether the consumer is a process beside those of the product.
    apart = True

    def __init__(self, name: str) -> None:
        self.name = name
        self.mark = uuid.uuid4().hex
        self.consumer: ConsumerProcess | None = None
        #: Seconds from the launch of its first process until nothing can be missed.
        self.ready_s = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def pids(self) -> list[int]:
        """All processes of the product; our own consumers are workers, so not among them."""
        return processes.marked(self.mark)

    def usage(self) -> processes.Usage:
        """Of all processes of the product. Its consumer is told by itself, unless the product works within the consumer."""
        if self.consumer is None or not self.apart:
            return processes.usage(self.pids())
        return processes.usage([pid for pid in self.pids() if pid != self.hands().pid], self.hands().pid)

    def hands(self) -> ConsumerProcess:
        assert self.consumer is not None
        return self.consumer

    def close(self) -> None:
        if self.consumer is not None:
            self.consumer.close()
        for pid in processes.marked(self.mark):
            with contextlib.suppress(ProcessLookupError):
                session.deliver(pid, signal.SIGKILL)


class Peer(Side):
    """Another product, with a consumer in its own Python; a product that is a library works within that process."""

    def __init__(self, name: str, tree: Path) -> None:
        super().__init__(name)
        self.apart = bool(PEERS[name][0])
        self._state = session.place()
        command = [python_of(name), str(HERE / f"use_{name}.py"), str(tree)]
        begin = time.monotonic()
        self.consumer = ConsumerProcess(command + ([str(self._state)] if name == "watchman" else []), self.mark)
        self.ready_s = self.consumer.ready["ready"] - begin

    def close(self) -> None:
        super().close()
        shutil.rmtree(self._state, ignore_errors=True)


class Service(Side):
    """Our service as `up` runs it, with the default settings save those given."""

    def __init__(self, tree: Path, *, group: str = "perf", consumer: bool = True, **options: object) -> None:
        super().__init__(OURS)
        self.state_dir = session.place()
        self.settings = resolve(overrides={"roots": [str(tree)], **options}, environ={}, cwd=self.state_dir).settings
        begin = time.monotonic()
        with _environment(processes.MARK, self.mark):
            prepared = prepare(self.state_dir, self.settings)
            self._child = ChildService(prepared.layout, follow=True, claim=prepared.claim)
        try:
            self.ready = self._child.wait_ready(GUARD_S)
            self.ready_s = time.monotonic() - begin
            self.client = ExtractClient(self.state_dir)
            if consumer:
                self.consumer = self.worker(group)
        except BaseException:
            self.close()
            raise

    def worker(self, group: str) -> ConsumerProcess:
        """A worker of ours; it is not one of the service's processes."""
        return ConsumerProcess([sys.executable, str(HERE / "use_shardwatch.py"), str(self.state_dir), group], "")

    def close(self) -> None:
        if hasattr(self, "client"):
            self.client.close()
        self._child.stop()
        super().close()
        shutil.rmtree(self.state_dir, ignore_errors=True)


class OlderService(Side):
    """The service of an older commit (`older.py`), as its `up --detach` runs it. `options` are settings that `up` takes."""

    def __init__(self, tree: Path, **options: object) -> None:
        super().__init__(OLD)
        self.state_dir = session.place()
        given = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
        try:
            begin = time.monotonic()
            self._run("up", "--detach", *given, str(tree)).check_returncode()
            self.ready_s = time.monotonic() - begin
            python = str(older.installed().programs / "python")
            self.consumer = ConsumerProcess([python, str(HERE / "use_shardwatch.py"), str(self.state_dir), "perf"], "")
        except BaseException:
            self.close()
            raise

    def _run(self, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        command = [*_shardwatch(OLD), *arguments, "--state-dir", str(self.state_dir)]
        return subprocess.run(
            command, cwd=self.state_dir, env=_environ(self.mark), stdin=subprocess.DEVNULL, timeout=GUARD_S, check=False
        )

    def close(self) -> None:
        self._run("down")
        super().close()
        shutil.rmtree(self.state_dir, ignore_errors=True)


class Watch(Side):
    """`shardwatch watch --json`, launched as from a shell; of today's commit, or of the older one."""

    def __init__(self, tree: Path, *options: str | Path, side: str = OURS) -> None:
        super().__init__(side)
        command = [*_shardwatch(side), "watch", "--json", *map(str, options), str(tree)]
        begin = time.monotonic()
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, env=_environ(self.mark))
        self.lines = Lines(self.process)
        #: What was said before `ready`.
        self.said: list[dict[str, Any]] = []
        while (line := json.loads(self.lines.next()))["type"] != "ready":
            self.said.append(line)
        self.ready_s = time.monotonic() - begin
        self.ready: dict[str, Any] = line

    def stop(self) -> float:
        """Ends it with SIGTERM; seconds until it is gone."""
        begin = time.monotonic()
        self.process.terminate()
        self.process.wait(GUARD_S)
        return time.monotonic() - begin

    def close(self) -> None:
        if self.process.poll() is None:
            self.stop()
        if self.process.stdout is not None:
            self.process.stdout.close()
        super().close()


def _shardwatch(side: str) -> list[str]:
    """How a shell would call it."""
    if side == OLD:
        return [str(older.installed().programs / "shardwatch")]
    program = Path(sys.executable).with_name("shardwatch")
    return [str(program)] if program.exists() else [sys.executable, "-P", "-m", "shardwatch.supervisor.cli.main"]


def _environ(mark: str) -> dict[str, str]:
    """Of a program of ours; no setting comes from the caller's."""
    environ = {k: v for k, v in os.environ.items() if not k.startswith("SHARDWATCH_") or k == choice.NATIVE_VARIABLE}
    return {**environ, processes.MARK: mark}


@contextlib.contextmanager
def _environment(name: str, value: str) -> Iterator[None]:
    os.environ[name] = value
    try:
        yield
    finally:
        del os.environ[name]


def names(*peers: str) -> list[str]:
    """Us, and those of the peers that are asked for, or an older commit of ours. Unknown names are a mistake of the suite."""
    assert set(peers) <= set(PEERS)
    if older.COMMIT:
        return [OURS, OLD]
    wanted = asked_for(os.environ.get("PEERS", ""))
    return [OURS, *(peer for peer in peers if peer in wanted)]


def launch(name: str, tree: Path, **options: object) -> Side:
    """The product of that name on a tree, with a consumer, ready; `options` are settings of ours."""
    if name == OLD:
        return OlderService(tree, **options)
    return Service(tree, **options) if name == OURS else Peer(name, tree)  # type: ignore[arg-type]


def watching(name: str, tree: Path) -> Side:
    """The product of that name on a tree, ready, as people use it: ours as `watch --json`, a peer with a consumer."""
    return Watch(tree, side=name) if is_ours(name) else Peer(name, tree)


def is_ours(name: str) -> bool:
    """Of today, or of an older commit."""
    return name in (OURS, OLD)
