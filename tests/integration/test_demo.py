"""`make run`: does it show what it promises, end by itself, and leave the tree as it was?"""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from pictures import draw
from waiting import eventually

pytestmark = [pytest.mark.usefixtures("no_leaks"), pytest.mark.xdist_group("demo")]
COMMAND = [sys.executable, "-P", "-m", "shardwatch.supervisor.demo"]


def _digest(tree: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(p for p in tree.rglob("*") if p.is_file()):
        digest.update(path.relative_to(tree).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the demo keeps its tree, shared by these tests as by the runs of one clone."""
    return tmp_path_factory.mktemp("demo")


def test_it_shows_batches_and_ends_by_itself(home: Path) -> None:
    """Every edit arrives, exit 0, and the words say what to try next."""
    done = subprocess.run([*COMMAND, home], capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    for words in ("created", "modified", "deleted", "email_renamed/", "burst_", "Ctrl-C: everything gone", "Try next:"):
        assert words in done.stdout
    shown = done.stdout[done.stdout.index("$ shardwatch") : done.stdout.index("Try next:")]
    draw("run", "make run", shown.replace(str(home), ".demo").rstrip())
    # Written anew from the sources, the tree must be what the run left.
    left = _digest(home / "tree")
    (home / "tree.json").unlink()
    code = "import sys; from pathlib import Path; from shardwatch.supervisor.demo.tree import make_tree as m"
    subprocess.run([sys.executable, "-P", "-c", f"{code}; m(Path(sys.argv[1]))", home / "tree"], check=True)
    assert _digest(home / "tree") == left


def test_a_killed_run_leaves_no_process(home: Path, tmp_path: Path) -> None:
    """kill -9 of the demonstration ends its watch, and the service, too."""
    output = tmp_path / "output"
    with output.open("w") as f, subprocess.Popen([*COMMAND, home], stdout=f, stderr=f, start_new_session=True) as child:
        eventually(lambda: child.poll() is not None or "1. create" in output.read_text(), 120)
        child.kill()
    # What is left would be found by no_leaks.


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_it_can_be_stopped(home: Path, how: signal.Signals, tmp_path: Path) -> None:
    """Nothing of it stays behind, and the next run starts equal."""
    output = tmp_path / "output"
    with output.open("w") as f:
        child = subprocess.Popen([*COMMAND, home], stdout=f, stderr=f, start_new_session=True)
    try:
        eventually(lambda: child.poll() is not None or "1. create" in output.read_text(), 120)
        assert child.poll() is None, output.read_text()
        os.killpg(child.pid, how)
        assert child.wait(60) == 128 + how
    finally:
        if child.poll() is None:
            child.kill()
            child.wait()
    assert not (home / "tree/demo").exists()


def test_two_at_once_are_refused(home: Path) -> None:
    """They would edit the same tree."""
    import fcntl

    with (home / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = subprocess.run([*COMMAND, home], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "another run uses" in done.stderr
