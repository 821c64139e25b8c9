"""Everything of ours that waits for batches: it survives every death of the service, says that it waits, and goes on.

All kinds wait side by side, each in a group of its own, as processes: the README's program, the same with asyncio, both examples
of docs/protocol.md, and `pull --follow`.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import session
from cli_process import environment
from running import Running, settings_for
from waiting import eventually

ROOT = Path(__file__).parents[2]

_ASYNC = """
import asyncio, sys
from shardwatch import AsyncExtractClient
async def main():
    async with AsyncExtractClient(sys.argv[1]) as client:
        async for batch in client.batches("asyncio"):
            if batch.fresh:
                print("clear the mirror", flush=True)
            for event in batch.events:
                print(event.event_type, event.path, flush=True)
            await batch.ack()
asyncio.run(main())
"""


def _readme() -> str:
    """The program of README.md, as it stands; only its output is made to come at once."""
    block = (ROOT / "README.md").read_text().split("```python\n")[1].split("```")[0]
    assert 'client.batches("facts")' in block
    place = 'Path("/path/of/the/state/directory")'
    assert place in block
    block = block.replace(place, 'Path.home() / ".local/state/shardwatch"')
    return "import functools\nprint = functools.partial(print, flush=True)\n" + block


class Waiting:
    """A consumer that runs, and what it printed."""

    def __init__(self, command: list[str], output: Path, home: Path) -> None:
        self.name = output.name
        self._out, self._err = output.with_suffix(".out"), output.with_suffix(".err")
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self.process = subprocess.Popen(
                command, stdout=out, stderr=err, stdin=subprocess.DEVNULL, env=environment(HOME=str(home), PYTHONUNBUFFERED="1")
            )

    def printed(self) -> str:
        assert self.process.poll() is None, f"{self.name} ended with {self.process.returncode}: {self.said()}"
        return self._out.read_text()

    def said(self) -> str:
        return self._err.read_text()

    def end(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture
def home() -> Iterator[Path]:
    """A home directory with a short path, for the sockets of the service in it."""
    path = session.place()
    yield path
    shutil.rmtree(path, ignore_errors=True)


def test_a_sync_and_a_hold_outlive_the_service(state_dir: Path, tmp_path: Path, no_leaks: None) -> None:
    """Killed and restarted while they wait: the sync says so and is answered by the new service, the hold is taken again."""
    root = tmp_path / "root"
    root.mkdir()
    cli = [sys.executable, "-P", "-m", "shardwatch.supervisor.cli.main"]
    where = ["--state-dir", str(state_dir)]
    settings = settings_for(root, shards=1)
    service = Running(state_dir, settings)
    waiting: list[Waiting] = []
    try:
        shard = next(name for name in service.programs() if name.startswith("s"))
        waiting.append(Waiting([*cli, "hold", *where, "--", "sleep", "600"], tmp_path / "hold", tmp_path))
        eventually(lambda: service.client.request("groups")["held"], 60)
        session.deliver(service.kill(shard), signal.SIGSTOP)  # before its first sign of life: it is waited for, for two minutes
        waiting.append(Waiting([*cli, "sync", "--timeout", "120", *where], tmp_path / "sync", tmp_path))
        hold, sync = waiting
        eventually(lambda: psutil.Process(sync.process.pid).net_connections("unix"), 60)
        service.stop()
        eventually(lambda: "can't be renewed now" in hold.said(), 60)
        service = Running(state_dir, settings)
        eventually(lambda: service.client.request("groups")["held"], 60)
        assert sync.process.wait(120) == 0, sync.said()
        assert "the service went away" in sync.said() and "the service is back" in sync.said()
    finally:
        for one in waiting:
            one.process.terminate()  # which `hold` passes on to its command
            one.process.wait()
        service.stop()


@pytest.mark.needs("node", "npm")
def test_whoever_waits_for_batches_survives_the_service(
    home: Path, tmp_path: Path, node_zeromq: Path, no_leaks: None
) -> None:
    """Killed programs, a service that is down, and a state directory made anew: each change is delivered, by each kind."""
    state_dir = home / ".local/state/shardwatch"
    state_dir.parent.mkdir(parents=True)
    root, outputs = tmp_path / "root", tmp_path / "outputs"
    root.mkdir()
    outputs.mkdir()
    shutil.copy(ROOT / "examples/protocol/worker.mjs", outputs)
    (outputs / "node_modules").symlink_to(node_zeromq)
    python, cli = [sys.executable, "-P"], [sys.executable, "-P", "-m", "shardwatch.supervisor.cli.main"]
    socket = str(state_dir / "run/extract.sock")
    commands = {
        "facts": [*python, "-c", _readme()],
        "asyncio": [*python, "-c", _ASYNC, str(state_dir)],
        "python": [*python, str(ROOT / "examples/protocol/worker.py"), socket, "python"],
        "javascript": ["node", str(outputs / "worker.mjs"), socket, "javascript"],
        "pull": [*cli, "pull", "--group", "pull", "--follow", "--json", "--state-dir", str(state_dir)],
    }
    settings = settings_for(root, shards=1)
    service = Running(state_dir, settings)
    consumers: list[Waiting] = []
    try:
        consumers += [Waiting(command, outputs / name, home) for name, command in commands.items()]

        def all_wait() -> bool:
            groups = {group["name"]: group for group in service.client.groups()}
            return set(groups) >= set(commands) and all(groups[name]["waiting_pulls"] == 1 for name in commands)

        def change(name: str, *, owed_to: set[str]) -> None:
            path = root / name
            path.write_text("{}")

            def all_have() -> bool:
                late = [c for c in consumers if c.name in owed_to and str(path) not in c.printed()]
                assert not late, f"{name} is owed to " + ", ".join(f"{c.name} ({c.said()!r})" for c in late)
                return True

            eventually(all_have, 60, every_s=0.1)

        eventually(all_wait, 60)
        change("first.json", owed_to=set(commands))
        eventually(all_wait, 60)
        service.kill("aggregator")
        change("after-kill.json", owed_to=set(commands))
        eventually(all_wait, 60)
        for name in list(service.programs()):
            service.kill(name)
        session.deliver(service.process.pid, signal.SIGKILL)
        service.stop()
        # The examples ask again after some seconds: what they are owed in between is looked at in the end.
        quick = {"facts", "asyncio", "pull"}
        eventually(lambda: all("wait" in c.said() for c in consumers if c.name in quick), 60)
        service = Running(state_dir, settings)
        change("after-outage.json", owed_to=quick)
        service.stop()
        shutil.rmtree(state_dir)
        service = Running(state_dir, settings)
        change("after-loss.json", owed_to=set(commands))
        for consumer in consumers:
            assert "after-outage.json" in consumer.printed(), consumer.name
            assert "wait" in consumer.said(), consumer.name
            fresh = consumer.printed().count("clear the mirror") + consumer.printed().count('"type":"fresh"')
            assert bool(fresh) == (consumer.name in quick), consumer.name
    finally:
        for consumer in consumers:
            consumer.end()
        service.stop()
