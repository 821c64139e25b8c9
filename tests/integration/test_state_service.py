"""The real service and its state directory: who may stop it, who may have it, and what a cleaner does to it."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_process import run
from running import ANSWER_S
from scene import Mount
from session import deliver
from waiting import eventually

from shardwatch.shard.contract.errors import InUseError, UsageError
from shardwatch.shard.contract.process.life import Holder, holder_of, started
from shardwatch.shard.contract.state.directory import StateDirectory
from shardwatch.shard.contract.state.layout import Layout
from shardwatch.shard.contract.state.settings import Settings
from shardwatch.supervisor.service import service
from shardwatch.supervisor.service.holder import proved_holder
from shardwatch.supervisor.service.state_dir import prepare

#: A daemon as there are many: it holds a lock on its pid file for its whole life.
_DAEMON = """
import fcntl, os, sys
fd = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT, 0o600)
fcntl.flock(fd, fcntl.LOCK_EX)
os.pwrite(fd, sys.argv[2].encode() or b"%d\\n" % os.getpid(), 0)
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def home(state_dir: Path) -> Path:
    home = state_dir / "s"
    (home / "locks").mkdir(parents=True, mode=0o700)
    home.chmod(0o700)
    return home


@pytest.fixture
def daemon(state_dir: Path) -> Iterator[subprocess.Popen[str]]:
    """Holds `state_dir`/daemon.pid."""
    with _daemon(state_dir / "daemon.pid") as process:
        yield process
        process.kill()


def _daemon(pid_file: Path, says: str = "", *more: str, cwd: Path | None = None) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", _DAEMON, str(pid_file), says, *more],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=cwd,
    )  # fmt: skip
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    return process


def _holder(lock: Path) -> Holder | None:
    """What a lock file says of its holder, which is nothing for a moment after it was made."""
    with lock.open("rb") as f:
        return holder_of(f.fileno())


@pytest.mark.parametrize("how", ["link", "hard link", "copy", "its own"])
def test_a_daemon_is_not_killed_by_its_pid_file(home: Path, state_dir: Path, daemon: subprocess.Popen[str], how: str) -> None:
    """In the place of service.lock lies a link to another's locked pid file, a second name of it, a copy that somebody locked, or
    that daemon's very file: it is never signalled, and the exit code is none of success."""
    lock, pid_file = home / "locks/service.lock", state_dir / "daemon.pid"
    other = None
    if how == "link":
        lock.symlink_to(pid_file)
    elif how == "hard link":
        lock.hardlink_to(pid_file)
    elif how == "its own":
        pid_file.rename(lock)
    else:
        other = _daemon(lock, pid_file.read_text())
    try:
        for command in (("down",), ("up", "--detach", state_dir), ("status",)):
            done = run(*command, "--state-dir", home, check=False)
            assert done.returncode in (2, 3, 4), (command, done.stderr)
        assert daemon.poll() is None
        assert other is None or other.poll() is None
        if how == "its own":
            assert "is not a program of shardwatch" in run("down", "--state-dir", home, check=False).stderr
    finally:
        if other is not None:
            other.kill()
            other.communicate()


def test_who_holds_a_lock_is_proved(home: Path, state_dir: Path) -> None:
    """A program of ours by its words is none without the rest: the directory that it serves, and its start."""
    lock, elsewhere = home / "locks/service.lock", state_dir / "elsewhere"
    elsewhere.mkdir()
    ours = "shardwatch.supervisor.run"
    for says, cwd, why in (
        ("", elsewhere, "serves another directory"),
        ("%(pid)d 12345\n", home, "started at another time"),
        ("1 1\n", home, "process 1"),
        ("0\n", home, "no process 0|does not say|started at"),
        ("nonsense\n", home, "does not say by whom"),
    ):
        lock.unlink(missing_ok=True)
        process = _daemon(lock, says, ours, cwd=cwd)
        if not says or "pid" in says:
            since = started(process.pid) if not says else 12345
            lock.write_text(f"{process.pid} {since}\n")
        with process, StateDirectory(home) as state:
            with pytest.raises(InUseError, match=why) as refused, proved_holder(state, "locks/service.lock"):
                raise AssertionError("it was proved")
            assert "nothing was signalled" in refused.value.hint
            process.kill()
    lock.unlink()
    with _daemon(lock, "", ours, cwd=home) as process, StateDirectory(home) as state:
        lock.write_text(f"{process.pid} {started(process.pid)}\n")
        with proved_holder(state, "locks/service.lock") as proved:
            assert proved is not None
            assert proved.pid == process.pid
            proved.send(signal.SIGKILL)
        process.wait(30)
        with proved_holder(state, "locks/service.lock") as proved:
            assert proved is None


@pytest.mark.root
def test_another_users_state_directory_is_refused(home: Path, tree: Path) -> None:
    """By root too, for everything that writes or signals; and it is said whose it is."""
    os.chown(home, 4321, 4321)
    for command in (("up", "--detach", tree), ("down",), ("watch", tree)):
        done = run(*command, "--state-dir", home, check=False)
        assert (done.returncode, "belongs to user 4321, not to user root" in done.stderr) == (2, True), done.stderr
    assert sorted(path.name for path in home.iterdir()) == ["locks"]


@pytest.mark.parametrize("command", ["status", "down", "pull", "sync", "groups list", "hold", "audit"])
def test_a_fifo_in_the_place_of_the_lock_hangs_nothing(home: Path, command: str) -> None:
    """It is refused at once, by name."""
    os.mkfifo(home / "locks/service.lock")
    more = {"pull": ["--group", "g"], "hold": ["--for", "1"]}.get(command, [])
    done = run(*command.split(), *more, "--state-dir", home, check=False)
    assert (done.returncode, "service.lock is a FIFO, not a file" in done.stderr) == (2, True), done.stderr


def test_one_of_two_who_start_at_once_wins(state_dir: Path, tmp_path: Path) -> None:
    """With different roots, each time anew: one says ready and serves its own roots, the others end with code 4."""
    roots = [tmp_path / f"root{n}" for n in range(4)]
    for n, root in enumerate(roots):
        root.mkdir()
        for k in range(n + 1):
            (root / f"{k}.json").write_text("{}")
    home = state_dir / "s"
    argv = [sys.executable, "-P", "-m", "shardwatch.supervisor.cli.main", "up", "--detach", "--state-dir", str(home)]
    try:
        started_ = [subprocess.Popen([*argv, str(root)], stderr=subprocess.PIPE, text=True) for root in roots]
        said = [process.communicate(timeout=120)[1] for process in started_]
        codes = [process.returncode for process in started_]
        assert sorted(codes) == [0, 4, 4, 4], said
        winner = codes.index(0)
        assert f"ready: {winner + 1} file" in said[winner], said[winner]
        assert str(roots[winner]) in run("status", "--state-dir", home, check=False).stdout
    finally:
        run("down", "--state-dir", home, check=False)
    time.sleep(1.5)  # longer than a supervisor that waited would have waited
    assert not service.running(Layout(home)), "somebody who waited has taken over"


def test_nobody_reads_what_up_says(state_dir: Path, tree: Path) -> None:
    """That is no failure: the service runs, and the exit code says so."""
    home = state_dir / "s"
    argv = [sys.executable, "-P", "-m", "shardwatch.supervisor.cli.main", "up", "--detach", "--state-dir", str(home), str(tree)]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(argv, stderr=full, timeout=120, check=False)
    try:
        assert done.returncode == 0
        assert service.running(Layout(state_dir / "s"))
    finally:
        run("down", "--state-dir", state_dir / "s")


def test_what_a_cleaner_removes_is_made_again(state_dir: Path, tree: Path) -> None:
    """The service goes on, nobody else can take the directory meanwhile, and what a program needs at its next start is there."""
    home = state_dir / "s"
    run("up", "--detach", "--state-dir", home, tree)
    layout = Layout(home)
    try:
        with StateDirectory(home) as state, pytest.raises(BlockingIOError):  # systemd-tmpfiles asks so before it cleans
            fcntl.flock(state.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        removed = [layout.settings, layout.plan, layout.supervisord_conf, home / "life.json", home / "index.db-redo"]
        removed += layout.locks.iterdir()
        for path in removed:
            path.unlink()
        layout.locks.rmdir()
        shutil.rmtree(layout.run)
        with pytest.raises(InUseError):
            prepare(home, Settings(roots=(os.fsencode(tree),), include=("*",), exclude=()))
        needed = [layout.settings, layout.plan, layout.supervisord_conf, home / "life.json", layout.service_lock]
        needed += [home / "index.db-redo", *layout.sockets()]
        eventually(lambda: all(path.exists() for path in needed), 60, what="they are made again")
        holder = eventually(lambda: _holder(layout.service_lock), what="the lock says by whom it is held")
        assert Path(f"/proc/{holder.pid}").exists()
        assert "by a cleaner perhaps" in layout.log("supervisord").read_text()
        (tree / "later.json").write_text("{}")
        run("sync", "--state-dir", home)
        there = service.programs(layout, ANSWER_S)
        assert [program["name"] for program in there if program["hung"]] == [], "nobody counts as silent who could not be heard"
        for program in there:
            deliver(int(program["pid"]), signal.SIGKILL)
        eventually(lambda: run("sync", "--state-dir", home, check=False).returncode == 0, 60, what="all are back")
    finally:
        run("down", "--state-dir", home)


def test_a_plan_that_is_lost_while_it_runs(state_dir: Path, tree: Path) -> None:
    """The coordinator is killed and finds no plan: shards are started with the next one, and nothing is waited for in vain."""
    home = state_dir / "s"
    run("up", "--detach", "--state-dir", home, tree)
    layout = Layout(home)
    try:
        pids = {str(row["name"]): int(row["pid"]) for row in service.programs(layout, ANSWER_S)}
        layout.plan.unlink()
        deliver(pids["coordinator"], signal.SIGKILL)
        eventually(layout.plan.exists, 30, what="another plan")
        (tree / "later.json").write_text("{}")
        eventually(lambda: run("sync", "--state-dir", home, check=False).returncode == 0, 60, what="a sync under the new plan")
        assert "later.json" in run("pull", "--group", "g", "--from", "start", "--state-dir", home).stdout
        eventually(lambda: run("status", "--state-dir", home, check=False).returncode == 0, what="all is well")
    finally:
        run("down", "--state-dir", home)


@pytest.mark.root
def test_a_first_start_on_a_full_disk_hinders_no_second(state_dir: Path, tree: Path) -> None:
    """Whatever was left behind is known as ours."""
    from disks import fill, small_disk

    with small_disk(state_dir / "disk", "1m") as disk:
        filler = fill(disk)
        for _ in range(3):
            done = run("up", "--detach", "--state-dir", disk / "s", tree, check=False)
            assert done.returncode == 2 and "its disk is full" in done.stderr, done.stderr
            filler.write_bytes(b"x" * (filler.stat().st_size - 4096))  # room for a page more: the next failure comes later
        filler.unlink()
    with small_disk(state_dir / "disk2", "16m") as disk:
        (disk / "s").mkdir()
        for leftover in (".settings.json.0123456789abcdef", "SHARDWATCH.TAG"):
            (disk / "s" / leftover).write_text("")
        run("up", "--detach", "--state-dir", disk / "s", tree)
        run("down", "--state-dir", disk / "s")


@pytest.mark.root
def test_the_service_does_not_hear_itself(state_dir: Path) -> None:
    """Its state directory is in the tree, by another path (a bind mount), and with it that of another service."""
    real, bound = state_dir / "real", state_dir / "bound"
    real.mkdir()
    bound.mkdir()
    other = real / "deep/other"
    run("up", "--detach", "--state-dir", other, state_dir / "bound")
    with Mount("--bind", real, bound):
        try:
            run("up", "--detach", "--include", "*", "--state-dir", real / "st", bound)
            (bound / "file").write_text("x")
            run("sync", "--state-dir", real / "st")
            told = run("pull", "--group", "g", "--from", "start", "--json", "--state-dir", real / "st").stdout
            assert [json.loads(line)["path"] for line in told.splitlines()] == [str(bound / "file")]
            for place in (other, real / "st", other, real / "st"):  # both are busy
                run("pull", "--group", "g", "--from", "start", "--state-dir", place)
            run("sync", "--state-dir", real / "st")
            assert run("pull", "--group", "g", "--json", "--state-dir", real / "st").stdout == ""
            assert run("audit", "--state-dir", real / "st").returncode == 0
        finally:
            run("down", "--state-dir", real / "st", check=False)
            run("down", "--state-dir", other, check=False)


def test_only_a_usage_error_for_what_is_foreign(home: Path, tree: Path) -> None:
    """What was planted while the directory was open to all stops `up` before anything is written."""
    precious = home.parent / "precious"
    precious.write_text("precious")
    home.chmod(0o777)
    (home / "logs").symlink_to(home.parent)
    (home / f".settings.json.{os.getpid()}").symlink_to(precious)
    before = home.parent.stat().st_mode
    with pytest.raises(UsageError, match="logs is a link"):
        prepare(home, Settings(roots=(os.fsencode(tree),), include=("*",), exclude=()))
    assert (precious.read_text(), home.parent.stat().st_mode) == ("precious", before)
