"""A running service takes over a changed configuration, and its consumers miss nothing and are told nothing twice."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from cli_process import GUARD_S, command_of, environment, run
from msgspec.structs import replace
from running import Consumer, running, settings_for, walk
from session import deliver
from waiting import eventually

from shardwatch.shard.contract.state.layout import Layout
from shardwatch.shard.contract.state.planfile import Plan, read_plan
from shardwatch.shard.contract.state.settings import read_settings, write_settings
from shardwatch.shard.contract.state.sources import read_sources, write_sources
from shardwatch.supervisor.service import service


class Configured:
    """A service with a configuration file, and a consumer whose mirror must equal what the file says."""

    def __init__(self, base: Path, state_dir: Path) -> None:
        self.base = base
        self.file = base / "shardwatch.toml"
        self.layout = Layout(state_dir)
        self.options: dict[str, Any] = {}
        self.sections = ""
        for root in ("a", "b"):
            for n in range(6):
                directory = base / root / f"d{n}"
                directory.mkdir(parents=True)
                for m in range(4):
                    (directory / f"{m}.json").write_text(str(m))
        self.write(roots=["a"], lease_ms=10_000)
        run("up", "--detach", "-c", self.file, "--state-dir", state_dir)
        self.consumer = Consumer(state_dir, "mirror")

    def write(self, sections: str | None = None, **options: Any) -> None:
        """Sets options of the file; None takes one out."""
        self.options |= options
        self.sections = self.sections if sections is None else sections
        lines = [f"{name} = {json.dumps(value)}\n" for name, value in self.options.items() if value is not None]
        self.file.write_text("".join(lines) + self.sections)

    def reload(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return run("reload", "--state-dir", self.layout.state_dir, *arguments, check=check)

    def pids(self) -> dict[str, int]:
        return {str(row["name"]): int(row["pid"]) for row in service.programs(self.layout, GUARD_S)}

    def assert_mirrored(self) -> None:
        """The consumer has all files that the configuration includes, as they are, and no others."""
        self.assert_mirrored_as(self.options["roots"])

    def assert_mirrored_as(self, names: Sequence[str]) -> None:
        """The same for these roots."""
        settings = settings_for(exclude=tuple(self.options.get("exclude") or ()), include=("*.json",))
        roots = [self.base / root for root in names]

        def equal() -> bool:
            assert self.consumer.error is None
            assert self.consumer.mirror == {path: stat for root in roots for path, stat in walk(root, settings).items()}
            return True

        eventually(equal, GUARD_S)

    def close(self) -> None:
        self.consumer.close()
        run("down", "--state-dir", self.layout.state_dir)


@pytest.fixture
def configured(tmp_path: Path, state_dir: Path, no_leaks: None) -> Iterator[Configured]:
    it = Configured(tmp_path, state_dir)
    try:
        yield it
    finally:
        it.close()


class Writer:
    """Writes one file after another in a directory, until it is told to stop."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        number = 0
        while not self._stop.wait(0.005):
            number += 1
            (self._directory / f"w{number % 40}.json").write_text(str(number))
            if number % 7 == 0:
                (self._directory / f"w{(number - 3) % 40}.json").unlink(missing_ok=True)

    def __enter__(self) -> Writer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()


def test_a_changed_configuration_is_taken_over(configured: Configured) -> None:
    """Step after step in one service, while files are written: roots, filters, times, commands; and what is wrong."""
    it = configured
    it.assert_mirrored()
    before = it.pids()
    assert it.reload().stdout == "nothing has changed\n"
    assert it.pids() == before

    with Writer(it.base / "a/d0"):
        # What is wrong changes nothing.
        bad = (('x = "\n', "at line "), ("[exec.bad]\ncommand = 1\n", "exec.bad"), ("settle_ms = -1\n", "settle_ms"))
        for wrong, said in bad:
            it.write(sections=wrong)
            refused = it.reload(check=False)
            assert (refused.returncode, refused.stdout) == (2, "")
            assert said in refused.stderr and str(it.file) in refused.stderr
        it.write(sections="", roots=["a", "nowhere"])
        assert "nowhere does not exist" in it.reload(check=False).stderr
        assert it.pids() == before

        # Times and commands: the shards go on with other times, and only the programs of the commands are started.
        runs = it.base / "runs"
        section = f'[exec.note]\ncommand = ["sh", "-c", "echo x >> {runs}"]\ninitial = true\n'
        it.write(sections=section, roots=["a"], settle_ms=10)
        told = "settle_ms: 50 -> 10 (by the running processes, within 2 s)\n[exec.note] is new (its program is started)\n"
        dry = it.reload("--dry-run").stdout
        assert [line.rpartition(": ")[0] for line in dry.splitlines()] == told.splitlines()
        assert dry.splitlines()[0].endswith(": costs nothing, no process ends")
        assert it.pids() == before
        assert it.reload().stdout == told
        after = it.pids()
        assert {name: after[name] for name in before} == before and "note" in after
        eventually(lambda: "other settings are taken over" in it.layout.log("shard-s0").read_text(), GUARD_S)
        eventually(runs.exists, GUARD_S)
        it.write(sections=section.replace("echo x", "echo y"))
        assert it.reload().stdout == "[exec.note] has changed (its program is started again)\n"
        assert it.pids()["note"] != after["note"]

        # Another root comes, and a pattern that leaves out some of the first.
        it.write(sections="", roots=["a", "b"], exclude=["d1/"])
        found = json.loads(it.reload("--json").stdout)
        assert re.match(r"1 shard looks at about \d+ files once more, and at what is new", found["changes"][0]["cost"])
        assert [(one["option"], one["taken_over"]) for one in found["changes"]] == [
            ("roots", "plan"), ("exclude", "plan"), ("exec.note", "ended")
        ]  # fmt: skip
        assert "note" not in it.pids()
    it.assert_mirrored()
    kinds = Counter(it.consumer.events)
    still = [os.fsencode(it.base / root / f"d{n}" / f"{m}.json") for root in "ab" for n in range(2, 6) for m in range(4)]
    assert all(kinds["created", path] == 1 for path in still), "told once, whatever was started again"
    assert all(kinds["deleted", os.fsencode(it.base / "a/d1" / f"{m}.json")] == 1 for m in range(4))
    assert it.consumer.fresh == 0

    # What is in the index goes with its root; what comes into scope again is scanned.
    it.write(roots=["b"], exclude=None)
    with Writer(it.base / "b/d0"):
        it.reload()
    it.assert_mirrored()


def test_a_hang_up_and_supervisorctl_update_reload(configured: Configured) -> None:
    """As operators expect; what is wrong is told, and changes nothing."""
    it = configured
    it.assert_mirrored()
    supervisord = int(it.layout.supervisord_pid.read_text())
    it.write(roots=["a", "b"])
    deliver(supervisord, signal.SIGHUP)
    it.assert_mirrored()
    it.write(roots=["b"], lease_ms=9_000)
    ctl = [sys.executable, "-P", "-m", "supervisor.supervisorctl", "-c", str(it.layout.supervisord_conf), "update"]

    def update() -> subprocess.CompletedProcess[str]:
        return subprocess.run(ctl, capture_output=True, text=True, timeout=GUARD_S, check=False, env=environment())

    done = update()
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        f"root {it.base}/a is removed: its files are reported as deleted (by a new plan)",
        "lease_ms: 10000 -> 9000 (the aggregator is started again)",
    ]
    it.assert_mirrored()
    it.write(roots=[])
    done = update()
    assert (done.returncode, done.stdout) == (2, "") and "no directory to watch" in done.stderr
    deliver(supervisord, signal.SIGHUP)
    eventually(lambda: "no directory to watch" in it.layout.log("start").read_text(), GUARD_S)
    it.assert_mirrored_as(["b"])


def test_what_is_asked_while_subtrees_move_is_done_after_that(configured: Configured) -> None:
    """A hang-up, a reload with other roots, and another rebalance, while the next owner of a subtree looks at it."""
    it = configured
    it.write(shards=2, settle_ms=50, rebalance_s=0)
    it.reload()
    for n in range(200):
        directory = it.base / f"a/d0/grown/e{n % 20}/f{n}"
        directory.mkdir(parents=True)
        for m in range(3):
            (directory / f"{m}.json").write_text(str(m))
    it.assert_mirrored()

    def hold_scans_to(files_per_s: int) -> None:
        settings = read_settings(it.layout.settings)
        write_settings(it.layout.settings, replace(settings, rescan_files_per_s=files_per_s))

    def ask(*arguments: str) -> subprocess.Popen[str]:
        command = command_of(*arguments, "--state-dir", it.layout.state_dir)
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment())

    def plan() -> Plan:
        found = read_plan(it.layout.plan)
        assert found is not None
        return found

    hold_scans_to(20)
    first = plan()
    asked = [ask("rebalance")]
    with Writer(it.base / "a/d0/grown/e0/f0"), Writer(it.base / "a/d1"):
        eventually(lambda: plan().next, GUARD_S)
        it.write(roots=["a", "b"])
        deliver(int(it.layout.supervisord_pid.read_text()), signal.SIGHUP)
        asked += [ask("reload"), ask("rebalance")]
        lock = str(it.layout.reload_lock.resolve())

        def waits(command: subprocess.Popen[str]) -> bool:
            return lock in {os.path.realpath(fd) for fd in Path(f"/proc/{command.pid}/fd").iterdir()}

        eventually(lambda: all(map(waits, asked)), GUARD_S)
        assert plan().generation == first.generation and plan().next is not None
        hold_scans_to(0)
        said = [command.communicate(timeout=GUARD_S) for command in asked]
    assert [command.returncode for command in asked] == [0, 0, 0], said
    assert " gives to " in said[0][0] and plan().generation > first.generation and plan().next is None
    it.assert_mirrored()


def test_what_can_not_be_taken_over_is_named(configured: Configured) -> None:
    """Another state directory needs a restart; a coordinator that is stopped can do nothing; a watch knows its configuration."""
    it = configured
    state = it.base / "elsewhere"
    it.write(state_dir=str(state))
    # It was started with --state-dir, which goes on counting.
    assert it.reload().stdout == "nothing has changed\n"
    sources = read_sources(it.layout.sources)
    assert sources is not None
    write_sources(it.layout.sources, replace(sources, state_dir=None))
    assert it.reload().stdout == f"state_dir: {it.layout.state_dir} -> {state} (needs a restart of the whole service)\n"
    other = it.base / "other.toml"
    other.write_text("")
    assert f"was started with the configuration file {it.file}" in it.reload("-c", str(other), check=False).stderr
    assert it.reload("-c", str(it.file)).returncode == 0
    write_sources(it.layout.sources, None)
    refused = it.reload(check=False)
    assert refused.returncode == 2 and "it is not known what the configuration of this service comes from" in refused.stderr
    it.layout.sources.write_bytes(b"{")
    assert "is damaged" in it.reload(check=False).stderr
    write_sources(it.layout.sources, sources)
    stop = [sys.executable, "-P", "-m", "supervisor.supervisorctl", "-c", str(it.layout.supervisord_conf), "stop", "coordinator"]
    subprocess.run(stop, check=True, capture_output=True, timeout=GUARD_S, env=environment())
    it.write(settle_ms=20)
    refused = it.reload(check=False)
    assert refused.returncode == 3 and "start coordinator" in refused.stderr


#: Waits as `reload` does, for an aggregator that it has just killed; a library's client would tell at once that it waits.
_WAITING = """
import os, signal, sys
from pathlib import Path
from shardwatch.aggregator.client import absence
from shardwatch.shard.contract.state.layout import Layout
from shardwatch.supervisor.cli.commands.reload import wait_until_scanned
absence.LOG_S = 0.0
os.kill(int(sys.argv[2]), signal.SIGKILL)
wait_until_scanned(Layout(Path(sys.argv[1])))
"""


def test_nothing_is_said_while_the_aggregator_is_started_again(tmp_path: Path, state_dir: Path, no_leaks: None) -> None:
    """A reload has it started again: that it is away for a moment is no news, and the scans are waited for all the same."""
    root = tmp_path / "root"
    root.mkdir()
    with running(state_dir, settings_for(root)) as service:
        before = service.programs()["aggregator"]["pid"]
        done = subprocess.run(
            [sys.executable, "-c", _WAITING, state_dir, str(before)], env=environment(), capture_output=True, text=True,
            timeout=GUARD_S, check=True,
        )  # fmt: skip
        assert done.stdout + done.stderr == ""
        assert service.programs()["aggregator"]["pid"] != before
