"""`exec PATH` as a user meets it: the whole service in the foreground, and a command that runs for what changes."""

from __future__ import annotations

import os
import pty
import select
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_process import GUARD_S, Command, put, run
from waiting import eventually

pytestmark = pytest.mark.usefixtures("no_leaks")

ECHO = ("--", "sh", "-c", 'echo "${1##*/} $SHARDWATCH_KINDS"', "sh", "{}")
#: What a run prints that is not for any path.
SAY = ("--", "sh", "-c", 'echo "run $SHARDWATCH_KINDS"')


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """An empty directory to be watched."""
    made = tmp_path / "watched"
    made.mkdir()
    return made


@pytest.fixture(autouse=True)
def temporary(state_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A TMPDIR of its own, in which nothing is left."""
    path = state_dir / "t"
    path.mkdir()
    monkeypatch.setenv("TMPDIR", str(path))
    yield path
    eventually(lambda: not list(path.iterdir()), what="no temporary directory left")
    monkeypatch.delenv("TMPDIR")


def is_gone(pid: int) -> bool:
    """Whether a process has ended, reaped or not."""
    try:
        return ") Z " in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return True


def test_each_file_that_changes_is_handed_to_the_command(tree: Path) -> None:
    """Whatever it is, unless it is noise; what configures a tool is not. The filter is named, and Ctrl-C ends it."""
    (tree / ".git").mkdir()
    with Command("exec", tree, *ECHO) as worker:
        worker.complains("shardwatch: ready: 0 files in 1 directory")
        worker.complains("shardwatch: filter: keeps *; leaves out")
        for noise in (".git/index", "a.swp", "main.pyc", ".coverage"):
            put(tree / noise, "1")
        for name in ("main.py", "package.json", "README"):
            put(tree / name, "1")
            assert worker.line() == f"{name} created".encode()
        put(tree / "main.py", "12")
        assert worker.line() == b"main.py modified"
        (tree / "main.py").unlink()
        assert worker.line() == b"main.py deleted"
        assert worker.end(signal.SIGINT) == 130


def test_only_files_with_these_suffixes(tree: Path) -> None:
    """-e replaces what is watched otherwise; what is left out stays so."""
    with Command("exec", tree, "-e", "py,.md", *ECHO) as worker:
        worker.complains("filter: keeps *.py, *.md;")
        for name in ("a.json", "build.txt"):
            put(tree / name, "1")
        for name in ("a.py", "b.md"):
            put(tree / name, "1")
            assert worker.line() == f"{name} created".encode()
        assert worker.end(signal.SIGTERM) == 128 + signal.SIGTERM


def test_a_command_that_is_told_no_paths_runs_at_once_with_initial(tree: Path) -> None:
    """Once, whatever exists; and then for what changes."""
    for name in ("a", "b", "c"):
        put(tree / name, "1")
    with Command("exec", tree, "--initial", *SAY) as worker:
        assert worker.line() == b"run "
        worker.complains("ready: 3 files")
        put(tree / "a", "12")
        assert worker.line() == b"run modified"
        assert worker.end(signal.SIGTERM) == 128 + signal.SIGTERM


def test_a_command_that_is_told_paths_gets_all_of_them_with_initial(tree: Path) -> None:
    """As created."""
    for name in ("a", "b"):
        put(tree / name, "1")
    with Command("exec", tree, "--initial", *ECHO) as worker:
        assert {worker.line() for _ in range(2)} == {b"a created", b"b created"}
        assert worker.end(signal.SIGTERM) == 128 + signal.SIGTERM


def test_a_failure_is_said_and_nothing_is_tried_again(tree: Path) -> None:
    """The next change runs the command as ever."""
    fail = ("--", "sh", "-c", 'echo "$SHARDWATCH_ATTEMPT ${1##*/}"; exit 3', "sh", "{}")
    with Command("exec", tree, *fail) as worker:
        worker.complains("filter:")
        for name in ("a", "b"):
            put(tree / name, "1")
            assert worker.line() == f"1 {name}".encode()
            worker.complains(f"{name}': exit code 3\n")
        assert worker.end(signal.SIGTERM) == 128 + signal.SIGTERM


def test_what_changes_during_a_run_waits(tree: Path, tmp_path: Path) -> None:
    """It is run for when the run has ended."""
    wait = ("--", "sh", "-c", 'echo "${1##*/}"; until [ -e "$2" ]; do sleep 0.05; done', "sh", "{}", str(tmp_path / "go"))
    with Command("exec", tree, *wait) as worker:
        worker.complains("filter:")
        put(tree / "a", "1")
        assert worker.line() == b"a"
        put(tree / "b", "1")
        put(tmp_path / "go", "1")
        assert worker.line() == b"b"
        assert worker.end(signal.SIGTERM) == 128 + signal.SIGTERM


def test_a_server_is_restarted(tree: Path) -> None:
    """It is ended, with what it has started, before the next one begins; at the end it is gone."""
    server = ("--", "sh", "-c", "sleep 1000 & echo $$ $!; wait")
    with Command("exec", tree, "--initial", "--on-busy", "restart", *server) as worker:
        first = [int(pid) for pid in worker.line().split()]
        worker.complains("filter:")
        put(tree / "a.py", "1")
        second = [int(pid) for pid in worker.line().split()]
        # Who is killed is gone a moment later, on a machine that is busy.
        eventually(lambda: all(is_gone(pid) for pid in first), what="the end of the first server")
        assert not any(is_gone(pid) for pid in second)
        assert worker.end(signal.SIGTERM) == 128 + signal.SIGTERM
        eventually(lambda: all(is_gone(pid) for pid in second), what="the end of the second server")


def test_a_server_is_told_by_a_signal(tree: Path) -> None:
    """HUP, if no other is given; at the end it is asked to end all the same."""
    server = ("--", "sh", "-c", 'trap "echo told" HUP; echo up; while :; do sleep 1000 & wait; done')
    with Command("exec", tree, "--initial", "--on-busy", "signal", *server) as worker:
        assert worker.line() == b"up"
        worker.complains("filter:")
        put(tree / "a.py", "1")
        assert worker.line() == b"told"
        assert worker.end(signal.SIGTERM) == 128 + signal.SIGTERM


def test_a_kept_state_directory_is_resumed(tree: Path, state_dir: Path) -> None:
    """What has changed in between is run for."""
    kept = state_dir / "kept"
    with Command("exec", tree, "--state-dir", kept, *ECHO) as worker:
        worker.complains("filter:")
        put(tree / "a", "1")
        assert worker.line() == b"a created"
        assert worker.end(signal.SIGTERM) == 128 + signal.SIGTERM
    put(tree / "b", "1")
    with Command("exec", tree, "--state-dir", kept, *ECHO) as worker:
        while (line := worker.line()) != b"b created":
            assert line == b"a created"  # again, if the first run had not quite ended when it was ended
        assert worker.end(signal.SIGTERM) == 128 + signal.SIGTERM
    shutil.rmtree(kept)


def test_a_killed_exec_leaves_nothing(tree: Path, temporary: Path) -> None:
    """Neither its run, nor the service, nor its directory."""
    with Command("exec", tree, "--initial", "--", "sh", "-c", "echo $$; exec sleep 1000") as worker:
        pid = int(worker.line())
        worker.end(signal.SIGKILL)
        eventually(lambda: is_gone(pid), what="the run has ended")


@pytest.mark.parametrize(("program", "code"), [("no-such-program", 127), ("/etc/passwd", 126)])
def test_a_command_that_is_not_there(tree: Path, temporary: Path, program: str, code: int) -> None:
    """The exit code is that of a shell, before anything is started."""
    done = run("exec", tree, "--", program, check=False)
    assert done.returncode == code
    assert program in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_terminal_is_cleared_before_each_run(tree: Path) -> None:
    """With --clear, and if standard output is one; the command writes to it itself, so it may use colours."""
    master, slave = pty.openpty()
    script = ("--", "sh", "-c", "test -t 1 && echo terminal")
    seen = b""
    try:
        with Command("exec", tree, "--initial", "--clear", *script, stdout=slave) as worker:
            while seen.count(b"terminal\r\n") < 2:
                ready, _, _ = select.select([master], [], [], GUARD_S)
                assert ready, seen
                seen += os.read(master, 4096)
                if seen.endswith(b"terminal\r\n") and not (tree / "a").exists():
                    worker.complains("filter:")
                    put(tree / "a", "1")
            assert worker.end(signal.SIGTERM) == 128 + signal.SIGTERM
    finally:
        os.close(slave)
        os.close(master)
    assert seen == b"\x1b[H\x1b[2J\x1b[3Jterminal\r\n" * 2


def test_without_a_terminal_nothing_is_cleared(tree: Path) -> None:
    """The output is the command's, and nothing else."""
    with Command("exec", tree, "--initial", "--clear", *SAY) as worker:
        assert worker.line() == b"run "
        assert worker.end(signal.SIGTERM) == 128 + signal.SIGTERM


LOOP = ("--", "sh", "-c", 'echo "${1##*/}"; echo x >> "$1"', "sh", "{}")


def test_a_command_that_changes_what_it_watches_is_noticed(tree: Path) -> None:
    """One warning says so, and its runs wait. What somebody else changes does not wait for them."""
    with Command("exec", tree, *LOOP) as worker:
        worker.complains("filter:")
        put(tree / "loop", "1")
        assert [worker.line() for _ in range(2)] == [b"loop", b"loop"]
        worker.complains("loop' changes during run after run")
        (tree / "other").write_text("1")
        while worker.line() != b"other":
            pass
        assert worker.end(signal.SIGTERM) == 128 + signal.SIGTERM
        assert worker.errors().count("run after run") == 1


def test_a_loop_that_somebody_else_is_in_goes_on(tree: Path) -> None:
    """What was changed again since its run is run for again, with the last content."""
    script = ("--", "sh", "-c", 'cat "$1"; echo x >> "$1"', "sh", "{}")
    with Command("exec", tree, *script) as worker:
        worker.complains("filter:")
        put(tree / "loop", "first\n")
        worker.complains("changes during run after run")
        put(tree / "loop", "second\n")
        while worker.line() != b"second":
            pass
        assert worker.end(signal.SIGTERM) == 128 + signal.SIGTERM


def test_a_server_that_writes_what_it_watches_is_noticed(tree: Path) -> None:
    """Its restarts for that wait; a restart for something else does not."""
    server = ("--", "sh", "-c", 'ls "$1"; echo x >> "$1/log"; exec sleep 1000', "sh", str(tree))
    with Command("exec", tree, "--initial", "--on-busy", "restart", *server) as worker:
        worker.complains("log' changes during run after run")
        put(tree / "a.py", "1")
        while worker.line() != b"a.py":
            pass
        assert worker.end(signal.SIGTERM) == 128 + signal.SIGTERM
