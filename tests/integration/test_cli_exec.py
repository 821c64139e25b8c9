"""`exec` as a user meets it: a real service, real commands."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from cli_process import Command, put, run
from session import deliver
from waiting import eventually

pytestmark = pytest.mark.usefixtures("no_leaks")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """An empty directory to be watched."""
    made = tmp_path / "watched"
    made.mkdir()
    return made


def group(service: Path) -> dict[str, Any]:
    """The group `g`, as `groups list` shows it."""
    groups = json.loads(run("groups", "list", "--json", "--state-dir", service).stdout)["groups"]
    (found,) = [one for one in groups if one["name"] == "g"]
    return dict(found)


def is_done(service: Path) -> bool:
    found = group(service)
    return not (found["backlog"] or found["leased"])


def test_each_path_is_handed_to_the_command(tree: Path, service: Path) -> None:
    """With its kind and the attempt in the environment; exit code 0 acknowledges it for good."""
    for name in ("a", "b"):
        put(tree / f"{name}.json", "1")
    say = 'echo "$1 $SHARDWATCH_GROUP $SHARDWATCH_KINDS $SHARDWATCH_ATTEMPT"'
    with Command("exec", "--group", "g", "--initial", "--state-dir", service, "--", "sh", "-c", say, "sh", "{}") as worker:
        assert {worker.line() for _ in range(2)} == {f"{tree / name}.json g created 1".encode() for name in ("a", "b")}
        put(tree / "a.json", "12")
        assert worker.line() == f"{tree / 'a.json'} g modified 1".encode()
        eventually(lambda: is_done(service))
        assert worker.end(signal.SIGTERM) == 128 + signal.SIGTERM


@pytest.mark.parametrize("given", ["nul", "json"])
def test_paths_come_on_standard_input(tree: Path, service: Path, given: str) -> None:
    """All of a batch in one run: separated by NUL, or as the events are printed."""
    names = [tree / f"{name}.json" for name in ("a", "b", "ü x")]
    for name in names:
        put(name, "1")
    run("sync", "--state-dir", service)
    cat = ["sh", "-c", "tr '\\0' '\\n'; echo end"]
    with Command("exec", "--group", "g", "--initial", "--input", given, "--state-dir", service, "--", *cat) as worker:
        lines = [worker.line().decode() for _ in range(4)]
        assert lines.pop() == "end"
        assert sorted(lines if given == "nul" else [json.loads(line)["path"] for line in lines]) == [str(name) for name in names]
        assert worker.end(signal.SIGINT) == 130


def test_what_fails_is_tried_again_and_set_aside(tree: Path, service: Path) -> None:
    """The others of its batch are done, and the reason is listed."""
    for name in ("a", "bad", "c"):
        put(tree / f"{name}.json", "1")
    run("sync", "--state-dir", service)
    fail = 'case "$*" in *bad*) exit 3;; esac'
    with Command("exec", "--group", "g", "--initial", "--state-dir", service, "--", "sh", "-c", fail, "sh", "{}") as worker:
        worker.complains("bad.json': exit code 3 (attempt 1)")
        worker.complains("bad.json': exit code 3 (attempt 2)")
        eventually(lambda: group(service)["parked_paths"] == 1)
        (aside,) = group(service)["parked"]
        assert (aside["path"], aside["reason"]) == (str(tree / "bad.json"), "exit code 3")
        assert is_done(service)
        worker.end(signal.SIGTERM)


def test_without_retries_a_failure_is_only_said(tree: Path, service: Path) -> None:
    """It is acknowledged, and nothing is set aside."""
    put(tree / "bad.json", "1")
    words: list[str | Path] = ["exec", "--group", "g", "--initial", "--no-retry", "--state-dir", service, "--", "false", "{}"]
    with Command(*words) as worker:
        worker.complains("bad.json': exit code 1\n")
        eventually(lambda: is_done(service))
        assert group(service)["parked_paths"] == 0
        worker.end(signal.SIGTERM)


def test_a_run_that_takes_too_long_is_ended(tree: Path, service: Path) -> None:
    """With all that it has started; it counts as a failure."""
    put(tree / "a.json", "1")
    words: list[str | Path] = ["exec", "--group", "g", "--initial", "--no-retry", "--timeout", "0.3", "--state-dir", service]
    with Command(*words, "--", "sh", "-c", "trap '' TERM; sleep 1000 & echo $!; wait; wait") as worker:
        sleeping = int(worker.line())
        worker.complains("a.json': timeout of 0.3 s")
        eventually(lambda: not Path(f"/proc/{sleeping}").exists() or ") Z " in Path(f"/proc/{sleeping}/stat").read_text())
        worker.end(signal.SIGTERM)


@pytest.mark.parametrize(("program", "code"), [("no-such-program", 127), ("/etc/passwd", 126)])
def test_a_command_that_is_not_there(tree: Path, service: Path, program: str, code: int) -> None:
    """The exit code is that of a shell, and nothing was pulled."""
    put(tree / "a.json", "1")
    done = run("exec", "--group", "g", "--initial", "--state-dir", service, "--", program, "{}", check=False)
    assert done.returncode == code
    assert program in done.stderr
    assert json.loads(run("groups", "list", "--json", "--state-dir", service).stdout)["groups"] == []


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--group", "g"], "no command given"),
        (["--group", "g", "--jobs", "0", "--", "true"], "--jobs 0 is out of range"),
        (["--group", "g", "--on", "created,gone", "--", "true"], "--on: 'gone' is no kind of change"),
        (["--group", "g", "--stop-signal", "NO", "--", "true"], "there is no signal 'NO'"),
        (["--group", "g", "--timeout", "0", "--", "true"], "--timeout 0 is out of range"),
        (["--group", "g", "src", "--", "true"], "PATH... is for a service in the foreground"),
        (["--group", "g", "-e", "py", "--", "true"], "a tree option is for a service in the foreground"),
        (["--group", "g", "--on-busy", "drop", "--", "true"], "--on-busy is for a service in the foreground"),
        (["src", "--retry", "--", "true"], "--retry is for a durable worker"),
        (["src", "--on-busy", "restart", "--jobs", "2", "--", "true"], "--on-busy restart is for one run at a time"),
        (["src", "-e", "py,*", "--", "true"], "'*' is no suffix of a file's name"),
        (["no-such-directory", "--", "true"], "no-such-directory"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_arguments(words: list[str], complaint: str) -> None:
    """One line, and exit code 2, before anything is asked."""
    done = run("exec", *words, check=False)
    assert done.returncode == 2
    assert complaint in done.stderr


def test_what_was_not_done_at_the_end_comes_again(tree: Path, service: Path) -> None:
    """A run that is ended by Ctrl-C has not failed: its path comes at once, as the same attempt."""
    put(tree / "a.json", "1")
    words: list[str | Path] = ["exec", "--group", "g", "--initial", "--state-dir", service, "--", "sh", "-c"]
    with Command(*words, "echo $SHARDWATCH_ATTEMPT; exec sleep 1000") as worker:
        assert worker.line() == b"1"
        assert worker.end(signal.SIGINT) == 130
    with Command(*words, "echo $SHARDWATCH_ATTEMPT $SHARDWATCH_KINDS") as worker:
        assert worker.line() == b"1 created"
        eventually(lambda: is_done(service))
        worker.end(signal.SIGTERM)


def test_runs_of_a_killed_exec_are_ended(tree: Path, service: Path) -> None:
    """With what they have started, also in another session: else a path could be run twice at a time once its lease is over."""
    put(tree / "a.json", "1")
    script = "sh -c 'echo $$; exec sleep 1000' & setsid sh -c 'echo $$; exec sleep 1000' & wait"
    with Command("exec", "--group", "g", "--initial", "--state-dir", service, "--", "sh", "-c", script) as worker:
        started = [int(worker.line()), int(worker.line())]
        try:
            worker.end(signal.SIGKILL)
            eventually(lambda: not any(Path(f"/proc/{pid}/environ").exists() and _is_alive(pid) for pid in started))
        finally:
            for pid in started:
                deliver(pid, signal.SIGKILL)


def _is_alive(pid: int) -> bool:
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False


def test_output_is_passed_on_whole(tree: Path, service: Path) -> None:
    """Runs side by side that write in pieces: the lines of each stay together, behind its path if that is asked for."""
    for number in range(6):
        put(tree / f"{number}.json", "1")
    words: list[str | Path] = ["exec", "--group", "g", "--initial", "--jobs", "3", "--prefix", "--state-dir", service]
    with Command(*words, "--", "sh", "-c", "for i in 1 2 3; do echo $i; sleep 0.01; done; echo last", "sh", "{}") as worker:
        lines = [worker.line().decode() for _ in range(24)]
        worker.end(signal.SIGTERM)
    for first in range(0, 24, 4):
        name, _, _ = lines[first].partition(": ")
        assert lines[first : first + 4] == [f"{name}: {word}" for word in ("1", "2", "3", "last")]


def test_the_files_of_a_command_are_its_own_affair(tree: Path, service: Path, tmp_path: Path) -> None:
    """Our umask of 077 is not its umask; it runs where we were started, and our variables do not end a command of ours."""
    put(tree / "a.json", "1")
    script = f"touch made; {sys.executable} -P -m shardwatch.supervisor.cli.main config >/dev/null; echo $?"
    before = os.umask(0o022)
    try:
        words: list[str | Path] = ["exec", "--group", "g", "--initial", "--state-dir", service]
        with Command(*words, "--", "sh", "-c", f"cd {tmp_path}; {script}") as worker:
            assert worker.line() == b"0"
            assert (tmp_path / "made").stat().st_mode & 0o777 == 0o644
            worker.end(signal.SIGTERM)
    finally:
        os.umask(before)


def test_the_service_may_go_away_and_come_back(tree: Path, service: Path) -> None:
    """A run that ends meanwhile is acknowledged later, and what changes then is run for."""
    put(tree / "a.json", "1")
    with Command("exec", "--group", "g", "--initial", "--state-dir", service, "--", "sh", "-c", "echo $1", "sh", "{}") as worker:
        assert worker.line() == os.fsencode(tree / "a.json")
        run("down", "--state-dir", service)
        run("up", "--detach", "--state-dir", service, tree)
        put(tree / "b.json", "1")
        assert worker.line() == os.fsencode(tree / "b.json")
        eventually(lambda: is_done(service))
        worker.end(signal.SIGTERM)


def test_a_command_that_changes_what_its_group_is_told_of_is_noticed(tree: Path, service: Path) -> None:
    """Its runs wait, on lease; another path is run for meanwhile, and what waits comes again after the end."""
    script = 'echo "${1##*/}"; echo x >> "$1"'
    words: list[str | Path] = ["exec", "--group", "g", "--state-dir", service, "--", "sh", "-c", script, "sh", "{}"]
    put(tree / "loop.json", "1")
    with Command(*words[:3], "--initial", *words[3:]) as worker:
        worker.complains("changes during run after run")
        put(tree / "other.json", "1")
        while worker.line() != b"other.json":
            pass
        worker.end(signal.SIGTERM)
    with Command(*words) as worker:
        assert worker.line() in (b"loop.json", b"other.json")
        worker.end(signal.SIGTERM)
