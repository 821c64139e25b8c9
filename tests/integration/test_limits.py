"""What the processes of a service may take of the machine: a real service that comes to its limits, and goes on."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import session
from cgroups import inside, limited
from cli_process import GUARD_S, command_of, environment, run
from msgspec.structs import replace
from running import consuming, running, settings_for
from waiting import eventually

from shardwatch.shard.contract.errors import ShardwatchError
from shardwatch.shard.contract.limits import FRAME_BYTES_MAX
from shardwatch.shard.contract.process.memory_cap import resident_bytes
from shardwatch.shard.contract.state.layout import Layout
from shardwatch.shard.contract.state.settings import write_settings
from shardwatch.shard.contract.wire import zmtp
from shardwatch.supervisor.service import service

MIB = 1 << 20
#: Directories that are made at a time, with names of which a shard has to remember every byte; and how often, at most.
MADE, TIMES_MAX = 2_000, 20
#: A shard is started again if it has 1.25 times what it needed. Of what it has in the midst of work, some is given back.
FAR_MORE = 1.5


@pytest.fixture
def light_tree() -> Iterator[Path]:
    """A directory in memory, where thousands of directories are made and removed fast."""
    path = session.place(where=session.memory())
    yield path
    shutil.rmtree(path)


@contextlib.contextmanager
def hoarding(layout: Layout, count: int) -> Iterator[None]:
    """Connections of workers that make the aggregator keep so many bytes as long as they are open: of requests without an end."""
    size = FRAME_BYTES_MAX - 1
    with contextlib.ExitStack() as stack:
        for begun in range(0, count, size):
            peer = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
            peer.settimeout(GUARD_S)
            peer.connect(str(layout.extract_socket))
            request = zmtp.message([bytes(size)])
            peer.sendall(zmtp.GREETING + zmtp.ready(b"DEALER") + request[: min(size, count - begun)])
        yield


def test_what_has_too_much_memory_is_started_again(light_tree: Path, state_dir: Path, no_leaks: None) -> None:
    """The aggregator, when workers make it keep far more than at first, and more than it may have: it is started again once, in
    order and without a death, and what they do next starts it no second time in a row. Then the same of a shard whose tree grows.
    No change is missed. In the end the shard needs that much by itself: it runs on, and `status` says so."""
    tree = light_tree
    (tree / "f.json").write_text("x")
    with running(state_dir, settings_for(tree, memory_mib_max=10_000)) as it, consuming(state_dir) as consumer:

        def memory(name: str = "shards:s0") -> dict[str, Any]:
            """Raises AssertionError while the aggregator is started again, and until it has heard of the shard."""
            try:
                told = it.client.status()["memory"]
            except ShardwatchError as error:
                raise AssertionError(f"no answer: {error}") from error
            rows = {row["name"]: row for row in told["programs"]}
            assert name in rows
            return {"mib_max": told["mib_max"], **rows[name]}

        needed = eventually(lambda: memory()["needed_bytes"], GUARD_S)
        assert memory()["state"] == "within" and eventually(lambda: memory("aggregator")["needed_bytes"], GUARD_S)
        # The aggregator may have more than the shard from the beginning. That is told, and nothing else follows.
        most = needed // MIB + 1
        write_settings(it.layout.settings, replace(it.settings, memory_mib_max=most))
        eventually(lambda: memory()["mib_max"] == most, GUARD_S)

        begun, enough = it.programs()["aggregator"]["pid"], int(memory("aggregator")["needed_bytes"] * (FAR_MORE - 1))
        with hoarding(it.layout, enough):
            (tree / "meanwhile.json").write_text("x")
            eventually(lambda: it.programs()["aggregator"]["memory_restarts"], GUARD_S)
        it.assert_mirrored(consumer, tree)
        eventually(lambda: memory("aggregator")["needed_bytes"], GUARD_S)
        with hoarding(it.layout, enough):
            eventually(lambda: memory("aggregator")["state"] == "over", GUARD_S)
            (tree / "meanwhile.json").write_text("and once more")
            it.assert_mirrored(consumer, tree)
            row = it.programs()["aggregator"]
        assert row["pid"] != begun and (row["memory_restarts"], row["deaths"], row["breaker"]) == (1, 0, "closed")
        log = it.layout.log("aggregator").read_text()
        assert log.count("memory_mib_max allows less: leaving, to be started again") == 1

        shard = it.programs()["s0"]["pid"]
        for time in range(TIMES_MAX):
            for number in range(MADE):
                (tree / f"{time}-{number}-{'n' * 230}").mkdir()
            (tree / f"{time}-0-{'n' * 230}/f.json").write_text(str(time))
            if resident_bytes(shard) > FAR_MORE * needed:
                break
        eventually(lambda: it.programs()["s0"]["memory_restarts"], GUARD_S)
        it.assert_mirrored(consumer, tree)
        eventually(lambda: memory()["state"] == "needs more", GUARD_S)
        row = it.programs()["s0"]
        assert (row["memory_restarts"], row["deaths"], row["breaker"]) == (1, 0, "closed")
        status = json.loads(run("status", "--json", "--state-dir", state_dir, check=False).stdout)
        (found,) = [one for one in status["findings"] if one["reason"] == "memory" and "shards:s0" in one["message"]]
        assert f"memory_mib_max is {most}" in found["message"] and "set memory_mib_max to" in found["remedy"]
        assert "restarts for memory" in run("status", "--state-dir", state_dir, check=False).stdout
        log = it.layout.log("shard-s0").read_text()
        assert "memory_mib_max allows less: leaving, to be started again" in log


def niceness(pid: int) -> set[int]:
    """Of all threads of a process."""
    return {os.getpriority(os.PRIO_PROCESS, int(name)) for name in os.listdir(f"/proc/{pid}/task")}


@pytest.mark.root
@pytest.mark.needs("setpriv")
def test_a_priority_that_is_refused_is_told(tmp_path: Path, state_dir: Path, no_leaks: None) -> None:
    """And the service runs without it. A higher niceness is taken by the running processes; to lower it again they are started
    again, if they may not do it themselves. None of that is a death."""
    (tmp_path / "tree").mkdir()
    file, layout = tmp_path / "shardwatch.toml", Layout(state_dir)

    def write(value: int) -> None:
        file.write_text(f'roots = ["tree"]\nniceness = {value}\n')

    def programs() -> dict[str, dict[str, Any]]:
        rows = {str(row["name"]): row for row in service.programs(layout, GUARD_S)}
        return {name: rows[name] for name in ("aggregator", "s0")}

    def reasons() -> list[str]:
        done = run("status", "--json", "--state-dir", state_dir, check=False)
        return [finding["reason"] for finding in json.loads(done.stdout)["findings"]]

    write(-5)
    unprivileged = ["setpriv", "--bounding-set=-sys_nice", "--inh-caps=-sys_nice"]
    start = [*unprivileged, *command_of("up", "--detach", "-c", file, "--state-dir", state_dir)]
    subprocess.run(start, check=True, capture_output=True, timeout=GUARD_S, env=environment())
    try:
        before = programs()
        own = os.getpriority(os.PRIO_PROCESS, 0)
        eventually(lambda: "priority" in reasons(), GUARD_S)
        assert all(niceness(row["pid"]) == {own} for row in before.values())

        write(own + 6)
        assert "by the running processes" in run("reload", "--state-dir", state_dir).stdout
        eventually(lambda: all(niceness(row["pid"]) == {own + 6} for row in programs().values()), GUARD_S)
        assert {name: row["pid"] for name, row in programs().items()} == {name: row["pid"] for name, row in before.items()}
        eventually(lambda: "priority" not in reasons(), GUARD_S)

        write(own + 3)
        run("reload", "--state-dir", state_dir)

        def started_again() -> bool:
            rows = programs()
            assert all(row["pid"] not in (0, before[name]["pid"]) for name, row in rows.items())
            assert all(niceness(row["pid"]) == {own + 3} for row in rows.values())
            assert all((row["deaths"], row["memory_restarts"], row["breaker"]) == (0, 0, "closed") for row in rows.values())
            return True

        eventually(started_again, GUARD_S)
    finally:
        run("down", "--state-dir", state_dir)


@pytest.mark.parametrize("option", ["niceness = 20", 'io_class = "realtime"', "io_level = 8", "memory_mib_max = -1"])
def test_what_can_not_be_set_is_refused(tmp_path: Path, option: str) -> None:
    """With what is allowed instead."""
    (tmp_path / "shardwatch.toml").write_text(f'roots = ["."]\n{option}\n')
    done = run("config", "-c", tmp_path / "shardwatch.toml", check=False)
    assert done.returncode == 2 and option.split()[0] in done.stderr and "must be" in done.stderr


@pytest.mark.root
@pytest.mark.needs("prlimit", "unshare")
def test_doctor_and_plan_name_what_limits(tmp_path: Path, state_dir: Path) -> None:
    """In real control groups with little memory, processor time and few processes, with a limit of open files, and with options
    that can't be kept; also in a name space of control groups, in which nothing says what the groups are called."""
    (tmp_path / "tree").mkdir()
    (tmp_path / "shardwatch.toml").write_text('roots = ["tree"]\nmemory_mib_max = 1\nrescan_files_per_s = 1\n')
    limits = {"memory": str(64 * MIB), "cpu": "40000", "pids": "15"}
    said: list[str] = []

    def told(command: str, *more: str | Path, code: int = 0, first: Sequence[str] = ()) -> str:
        arguments = [command, "-c", tmp_path / "shardwatch.toml", *more]
        with limited(limits) as groups:
            fills_memory = inside(groups, sys.executable, "-c", f"b'x' * {128 * MIB}")
            assert subprocess.run(fills_memory, check=False, timeout=GUARD_S).returncode == -signal.SIGKILL
            short_of_files = [*first, "prlimit", "--nofile=200:200", *command_of(*arguments)]
            done = subprocess.run(
                inside(groups, *short_of_files), capture_output=True, text=True, timeout=GUARD_S, check=False, env=environment(),
            )  # fmt: skip
            assert done.returncode == code, done.stderr
            for group in groups.values():
                assert group.file in done.stdout
            said.append(done.stderr)
            return done.stdout

    for first in ([], ["unshare", "--cgroup"]):
        found = json.loads(told("doctor", "--json", "--state-dir", state_dir, code=1, first=first))
        allowed = found["allowed"]
        assert (allowed["memory"]["value"], allowed["processors"]["value"], allowed["processes"]["value"]) == (64 * MIB, 0.4, 15)
        assert 0 < allowed["memory"]["used"] < 64 * MIB and 0 < allowed["processes"]["used"] < 15
        assert allowed["memory"]["directory"].rpartition("/")[2].startswith("swt-") and allowed["open_files"] == 200
        messages = " ".join(finding["message"] for finding in found["findings"])
        for part in (
            "allows 64 MiB: beyond it, the kernel kills its processes", "memory_mib_max is 1", "200 files may be open",
            "killed a process here for its memory, once", "allows 0.4 processors",
            "allows 15 processes and threads, and the service needs about 16",
        ):  # fmt: skip
            assert part in messages
        assert found["budget"]["scan_s"] == 1.0 and found["budget"]["memory_bytes"] > 64 * MIB
    text = told("plan")
    for part in ("allows 64 MiB: beyond it, the kernel kills its processes", "memory_mib_max is 1", "the service needs about 16"):
        assert part in said[-1]
    assert "67.1 MB of memory" in text and "1 MiB allowed for each shard" in text and "one takes up to 1 s" in text
    plan = json.loads(told("plan", "--json"))
    assert plan["shards"][0]["watches"] == 1 and plan["shards"][0]["scan_s"] == 1.0


@pytest.mark.root
def test_doctor_judges_a_service_by_its_own_groups(tmp_path: Path, state_dir: Path, no_leaks: None) -> None:
    """It runs in control groups that the shell of `doctor` is not in, and with as many processes as it is said to need."""
    (tmp_path / "shardwatch.toml").write_text('roots = ["."]\nrescan_files_per_s = 1\n')
    (tmp_path / "a" / "b").mkdir(parents=True)
    arguments: list[str | Path] = ["-c", tmp_path / "shardwatch.toml", "--state-dir", state_dir]
    with limited({"memory": str(300 * MIB), "pids": "16"}) as groups:
        start = inside(groups, *command_of("up", "--detach", *arguments))
        subprocess.run(start, check=True, capture_output=True, timeout=GUARD_S, env=environment())
        try:
            found = json.loads(run("doctor", "--json", *arguments, check=False).stdout)
            allowed, budget = found["allowed"], found["budget"]
            assert budget["scan_s"] >= 3.0
            without_roots = json.loads(run("doctor", "--json", *arguments[2:], cwd="/", check=False).stdout)
            assert without_roots["budget"] == budget, "by its own settings and its own plan"
            assert (allowed["memory"]["value"], allowed["memory"]["directory"]) == (300 * MIB, str(groups["memory"].directory))
            assert allowed["processes"]["value"] == 16 and 5 <= allowed["processes"]["used"] <= 16
        finally:
            run("down", *arguments[2:])
            eventually(lambda: not any((group.directory / "cgroup.procs").read_text() for group in groups.values()), GUARD_S)
