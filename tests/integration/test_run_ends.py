"""However a run of tests ends, it leaves no process, mount, folder or changed sysctl: the guard sees to it, or the next run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path

import guard
import pytest
import session
from waiting import eventually

TESTS = Path(__file__).parents[1]
pytestmark = pytest.mark.xdist_group("run_ends")

#: Makes everything that a test can leave, tells what it was, and waits for its end.
UNRULY = """
import json, os, subprocess, time
from pathlib import Path
import guard, session

def test_it(tmp_path):
    lent = Path(os.environ["LENT"])
    mount = tmp_path / "mount"
    mount.mkdir()
    if os.environ["MOUNTS"] == "1":
        subprocess.run(["mount", "-t", "tmpfs", "sw-test", mount], check=True)
    process = subprocess.Popen(["sleep", "1000"], start_new_session=True)
    stopped = subprocess.Popen(["sh", "-c", "trap '' TERM INT HUP; kill -STOP $$; sleep 1000"], start_new_session=True)
    place, memory = session.place(), session.place(where=session.memory())
    (place / "shut").mkdir()
    (place / "shut/f").touch()
    (place / "out").symlink_to(os.environ["OUTSIDE"])
    (place / "shut").chmod(0)
    with guard.borrowed(lent, "lent"):
        Path(os.environ["SAID"]).write_text(json.dumps(
            {"pids": [process.pid, stopped.pid], "paths": [str(place), str(memory), str(tmp_path)], "mount": str(mount),
             "record": str(guard.home() / f"{session.mark()}.run")}))
        WAIT
"""

class Nested:
    """A run of pytest of its own, whose test left things and waits (or ends)."""

    def __init__(self, at: Path, *arguments: str, wait: str = "time.sleep(1000)", below: Sequence[str] = ()) -> None:
        self.outside, self.lent, self.said = at / "outside", at / "lent", at / "said"
        self.outside.mkdir()
        (self.outside / "kept").write_text("not the run's")
        self.lent.write_text("before")
        folder = at / "nested"
        folder.mkdir()
        (folder / "test_it.py").write_text(UNRULY.replace("WAIT", wait))
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST", "COV")) and k not in {"TMPDIR", "HOME"}}
        own = {"LENT": self.lent, "OUTSIDE": self.outside, "SAID": self.said, "MOUNTS": str(int(os.geteuid() == 0))}
        self.process = subprocess.Popen(
            [*below, sys.executable, "-m", "pytest", "-p", "conftest", "-p", "no:cacheprovider", "-o", "addopts=",
             *arguments, folder],
            cwd=folder, env={**kept, **{k: str(v) for k, v in own.items()}, "PYTHONPATH": str(TESTS)},
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip

    def told(self) -> dict[str, object]:
        eventually(lambda: self.said.exists() and self.said.read_text(), 60)
        found: dict[str, object] = json.loads(self.said.read_text())
        return found

    def close(self) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        assert self.process.stdout is not None
        self.process.stdout.close()
        self.process.wait()


@pytest.fixture
def nested(tmp_path: Path) -> Iterator[Nested]:
    it = Nested(tmp_path)
    yield it
    it.close()


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[0] == b"Z"
    except OSError:
        return True


def assert_nothing_is_left(nested: Nested, told: dict[str, object]) -> None:
    """And what the run did not make is as it was, also behind a link."""
    paths, pids = told["paths"], told["pids"]
    assert isinstance(paths, list) and isinstance(pids, list)
    eventually(lambda: not Path(str(told["record"])).exists(), 60, what="the guard is done")
    assert [pid for pid in pids if not gone(pid)] == []
    assert [path for path in paths if os.path.lexists(path)] == []
    assert str(told["mount"]) not in Path("/proc/self/mountinfo").read_text()
    eventually(lambda: nested.lent.read_text() == "before", 60, what="whoever gives the loan back is done")
    assert (nested.outside / "kept").read_text() == "not the run's"


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_an_interrupted_run_leaves_nothing(nested: Nested, how: signal.Signals) -> None:
    """Processes, also stopped ones that ignore signals, mounts, folders on disk and in memory, and what it had lent."""
    told = nested.told()
    nested.process.send_signal(how)
    nested.process.wait(60)
    assert_nothing_is_left(nested, told)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_an_interrupted_run_with_workers_leaves_nothing(tmp_path: Path, how: signal.Signals) -> None:
    """The test was in a worker of xdist, which outlives its master for a while."""
    nested = Nested(tmp_path, "-n", "1")
    try:
        told = nested.told()
        nested.process.send_signal(how)
        nested.process.wait(60)
        assert_nothing_is_left(nested, told)
    finally:
        nested.close()


def test_a_run_ends_with_make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """kill -9 of who started it, as the Makefile asks; here a shell in make's place."""
    monkeypatch.setenv(session.WITH_PARENT, "1")
    nested = Nested(tmp_path, below=["sh", "-c", '"$@" & wait', "sh"])
    try:
        told = nested.told()
        nested.process.kill()
        nested.process.wait(60)
        assert_nothing_is_left(nested, told)
    finally:
        nested.close()


def test_the_next_run_tidies_where_the_guard_died_too(nested: Nested, monkeypatch: pytest.MonkeyPatch) -> None:
    """kill -9 of the run and of its guard at once. The next run may be this one, or any other on the machine."""
    told = nested.told()
    record = Path(str(told["record"]))
    guards = [int(p.name) for p in Path("/proc").iterdir() if p.name.isdigit() and str(record) in guard.words(int(p.name))]
    (watcher,) = [pid for pid in guards if "guard.py" in guard.words(pid)]
    session.deliver(nested.process.pid, signal.SIGSTOP)  # so that it is not told of the guard's death
    session.deliver(watcher, signal.SIGKILL)
    eventually(lambda: gone(watcher), 60)
    assert record.exists() and nested.lent.read_text() == "lent"  # nobody takes it from a run that is stopped
    session.deliver(nested.process.pid, signal.SIGKILL)
    nested.process.wait(60)
    guard.tidy_the_dead()
    assert_nothing_is_left(nested, told)


def test_what_a_test_leaves_behind_fails_the_run(tmp_path: Path) -> None:
    """A run that ends by itself says what it had to take away."""
    nested = Nested(tmp_path, wait="pass")
    try:
        assert nested.process.stdout is not None
        output = nested.process.stdout.read().decode()
        assert nested.process.wait(60) == 8
        assert "1 passed" in output and "left behind by tests" in output and "sleep 1000" in output
        assert ("mount /" in output) == (os.geteuid() == 0)
        assert_nothing_is_left(nested, nested.told())
    finally:
        nested.close()


def test_a_living_run_is_left_alone(nested: Nested) -> None:
    """Another run that begins meanwhile takes nothing from it."""
    told = nested.told()
    guard.tidy_the_dead()
    pids, paths = told["pids"], told["paths"]
    assert isinstance(paths, list) and isinstance(pids, list)
    assert not any(map(gone, pids)) and all(map(os.path.lexists, paths))
    assert nested.lent.read_text() == "lent"


#: A borrower that is killed, among loans of its own: those of this machine are given back by any run that begins meanwhile.
KILLED_BORROWER = """
import guard, os, pathlib, sys
lent, home = map(pathlib.Path, sys.argv[1:])
guard.home = lambda: home
loan = guard.borrowed(lent, "x")
loan.__enter__()
os._exit(9)
"""


def test_a_loan_is_given_back_to_what_was_there_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A borrower that was killed left its value: the next one knows what was there before, and so does the end."""
    lent, home = tmp_path / "lent", tmp_path / "home"
    home.mkdir()
    monkeypatch.setattr(guard, "home", lambda: home)
    lent.write_text("before")
    environ = {**os.environ, "PYTHONPATH": str(TESTS)}
    assert subprocess.run([sys.executable, "-c", KILLED_BORROWER, lent, home], env=environ, check=False).returncode == 9
    assert lent.read_text() == "x"
    with guard.borrowed(lent, "second") as before:
        assert (before, lent.read_text()) == ("before", "second")
    assert lent.read_text() == "before"


def test_only_the_runs_own_processes_are_signalled() -> None:
    """A pid read from a file may be another's by now; 0 and below are groups; a process of ours is reached."""
    stranger = subprocess.Popen(["sleep", "1000"], env={"PATH": os.environ["PATH"]}, start_new_session=True)
    try:
        session.deliver(stranger.pid, signal.SIGCONT)  # descends from us, though it has no mark
        for pid in (1, 0, -1, os.getppid() if not guard.carries(os.getppid(), session.mark()) else 1):
            with pytest.raises(ProcessLookupError):
                session.deliver(pid, signal.SIGCONT)
    finally:
        session.deliver(stranger.pid, signal.SIGKILL)
        stranger.wait()


def test_nothing_of_the_callers_leads_elsewhere() -> None:
    """GIT_DIR of a hook, HOME and the XDG folders, options of ours: none of them reaches a test."""
    assert Path(os.environ["HOME"]).is_relative_to(session.folder())
    assert not [name for name in os.environ if name.startswith(("XDG_", "SHARDWATCH_"))]
    assert {name for name in os.environ if name.startswith("GIT_")} == {"GIT_CONFIG_GLOBAL", "GIT_CONFIG_NOSYSTEM"}


def test_git_stays_in_its_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a repository above nor one that the environment names is touched."""
    from repository import git

    (tmp_path / "below").mkdir()
    git(tmp_path, "init", "-q")
    (tmp_path / "f").write_text("not committed")
    git(tmp_path, "add", "f")
    git(tmp_path, "commit", "-qm", "one")
    (tmp_path / "f").write_text(uuid.uuid4().hex)
    (tmp_path / "new").write_text("not even added")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(tmp_path))
    for arguments in (["stash", "-q", "-u"], ["clean", "-fdq"], ["checkout", "-q", "-f", "HEAD"]):
        with pytest.raises(subprocess.CalledProcessError):
            git(tmp_path / "below", *arguments)
    assert (tmp_path / "f").read_text() != "not committed" and (tmp_path / "new").exists()
