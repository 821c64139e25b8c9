"""`shardwatch watch` as a user meets it: what it prints, how it ends, what it leaves (nothing), and how it resumes."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import select
import shutil
import signal
import sqlite3
import subprocess
import sys
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from cli_process import GUARD_S, Command, environment, lines_of, put, run
from waiting import eventually

pytestmark = pytest.mark.usefixtures("no_leaks")


@pytest.fixture
def temporary(state_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A TMPDIR of its own, with a short name: what a watch leaves in it is seen."""
    path = state_dir / "t"
    path.mkdir()
    monkeypatch.setenv("TMPDIR", str(path))
    yield path
    monkeypatch.delenv("TMPDIR")


def processes_of(place: Path) -> list[psutil.Process]:
    """Living processes that work in, or name, something below `place`."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.status() == psutil.STATUS_ZOMBIE:
                continue
            texts = [process.cwd(), *process.cmdline()]
        except psutil.Error:
            continue
        if any(text.startswith(str(place)) for text in texts):
            found.append(process)
    return found


def all_gone(place: Path) -> None:
    """Waits until no process of a service in `place` is left, and nothing is in it."""
    eventually(lambda: not processes_of(place), GUARD_S, what="no process left")
    eventually(lambda: not list(place.iterdir()), GUARD_S, what="no temporary directory left")


def program_in(place: Path, module: str) -> psutil.Process:
    """The process of the service in `place` that runs that module of ours.

    Waits while there is none, or two: supervisord starts another, and a child has its parent's command line until it runs
    something else. A child that does not, such as the one that plans, is not meant.
    """

    def found() -> psutil.Process:
        those = {}
        for process in processes_of(place):
            with contextlib.suppress(psutil.NoSuchProcess):  # it has ended since: what is looked for runs on
                if module in process.cmdline():
                    those[process.pid] = (process, process.ppid())
        outermost = [process for process, parent in those.values() if parent not in those]
        assert len(outermost) == 1, those
        return outermost[0]

    return eventually(found, GUARD_S, what=module)


def test_ready_then_events_all_valid(tree: Path, temporary: Path) -> None:
    """ready comes first, with all its fields; a creation, a change and a deletion follow, valid under the schema."""
    with Command("watch", "--json", tree) as watch:
        ready = watch.ready()
        assert ready["roots"] == [str(tree)]
        assert (ready["files"], ready["shards"], ready["backend"]) == (6, 1, "inotify")
        assert 0 < ready["ready_s"] < GUARD_S
        put(tree / "new.ast.json", "{}")
        line = watch.event()
        assert (line["event_type"], line["path"], line["size"]) == ("created", str(tree / "new.ast.json"), 2)
        put(tree / "new.ast.json", "[1]")
        line = watch.event()
        assert (line["event_type"], line["size"]) == ("modified", 3)
        (tree / "new.ast.json").unlink()
        line = watch.event()
        assert (line["event_type"], line["size"], line["mtime_ns"]) == ("deleted", None, None)
        assert watch.end(signal.SIGTERM) == 0
        assert watch.errors() == ""
    all_gone(temporary)


def test_ready_names_the_backend_of_every_shard(tree: Path, temporary: Path) -> None:
    """watchdog's observer is named as soon as ready is said, and by then all that is polled has been told."""
    with Command("watch", "--json", "--backend", "native", "--shards", "3", tree) as watch:
        assert watch.ready()["backend"] == "native:InotifyObserver"
        assert watch.end(signal.SIGTERM) == 0
    with Command("watch", "--json", "--backend", "polling", "--shards", "3", tree) as watch:
        *before, ready = watch.until(lambda line: line["type"] == "ready")
        polled = rf"[1-9] director(y|ies) polled \({re.escape(str(tree))}.*polling was asked for"
        assert any(re.fullmatch(polled, line["message"]) for line in before), before
        assert ready["backend"] == "polling"
        assert watch.end(signal.SIGTERM) == 0
    all_gone(temporary)


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("when", ["starting", "running"])
def test_signals_end_it_cleanly(signum: signal.Signals, when: str, tree: Path, temporary: Path) -> None:
    """Ctrl-C, SIGTERM and SIGHUP: exit 0, no process and no directory left, in the middle of the start too."""
    with Command("watch", "--json", tree) as watch:
        if when == "running":
            watch.ready()
        else:
            eventually(lambda: list(temporary.iterdir()), what="the start has begun")
        assert watch.end(signum) == 0
        assert watch.errors() == ""
    all_gone(temporary)


def test_a_closed_standard_output_ends_it_while_idle(tree: Path, temporary: Path) -> None:
    """Nobody reads any more: it notices without having anything to print."""
    with Command("watch", "--json", tree) as watch:
        watch.ready()
        assert watch.process.stdout is not None
        watch.process.stdout.close()
        assert watch.end() == 0
        assert watch.errors() == ""
    all_gone(temporary)


def test_a_closed_standard_output_ends_it_before_ready(tree: Path, temporary: Path) -> None:
    """As in `shardwatch watch . | true`."""
    with Command("watch", "--json", tree) as watch:
        assert watch.process.stdout is not None
        watch.process.stdout.close()
        assert watch.end() == 0
    all_gone(temporary)


def test_a_reader_that_stalls_does_not_hold_up_the_end(tmp_path: Path, temporary: Path) -> None:
    """The pipe is full and nobody reads: SIGTERM still ends it in time."""
    for i in range(2000):
        (tmp_path / f"{i:05}-{'x' * 100}.json").touch()
    with Command("watch", "--json", "--from", "start", tmp_path) as watch:
        assert watch.process.stdout is not None
        watch.ready()
        state = psutil.Process(watch.process.pid)
        eventually(lambda: not watch.silent(0.0) and state.status() == psutil.STATUS_SLEEPING, what="the pipe is full")
        assert watch.end(signal.SIGTERM) == 0
    all_gone(temporary)


def test_kill_9_of_watch_leaves_nothing(tree: Path, temporary: Path) -> None:
    """The service notices the death of the one who started it, and removes its temporary directory."""
    with Command("watch", "--json", tree) as watch:
        watch.ready()
        watch.process.kill()
        watch.end()
        all_gone(temporary)


def test_kill_9_of_supervisord_is_a_clear_error(tree: Path, temporary: Path) -> None:
    """watch ends with code 6 and one line, and nothing is left."""
    with Command("watch", "--json", tree) as watch:
        watch.ready()
        program_in(temporary, "shardwatch.supervisor.run").kill()
        assert watch.end() == 6
        errors = watch.errors().splitlines()
        assert len(errors) == 1 and "killed by signal 9" in errors[0]
        all_gone(temporary)


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGTERM])
def test_a_restarted_aggregator_is_outlived(signum: signal.Signals, tree: Path, temporary: Path) -> None:
    """kill -9 of the aggregator, or supervisorctl restart: supervisord starts another, and watch goes on printing."""
    with Command("watch", "--json", tree) as watch:
        watch.ready()
        aggregator = program_in(temporary, "shardwatch.aggregator.main")
        aggregator.send_signal(signum)
        put(tree / "later.ast.json", "{}")
        found = watch.until(lambda line: line.get("path") == str(tree / "later.ast.json"))
        assert found[-1]["event_type"] == "created"
        assert watch.end(signal.SIGTERM) == 0
    all_gone(temporary)


def test_an_aggregator_that_hangs_is_outlived(tree: Path, temporary: Path) -> None:
    """It is noticed and replaced; what changed meanwhile comes then, and status lines at most are between."""
    with Command("watch", "--json", tree) as watch:
        watch.ready()
        aggregator = program_in(temporary, "shardwatch.aggregator.main")
        aggregator.suspend()
        put(tree / "later.ast.json", "{}")
        found = watch.until(lambda line: line["type"] == "event")
        assert found[-1]["path"] == str(tree / "later.ast.json")
        assert watch.end(signal.SIGTERM) == 0
    all_gone(temporary)


def test_a_service_that_can_not_live_is_an_error(tree: Path, state_dir: Path) -> None:
    """A program that ends again and again before ready (its index is a newer version's): code 6, why, nothing left running."""
    with Command("watch", "--json", tree, "--state-dir", state_dir) as watch:
        watch.ready()
        assert watch.end(signal.SIGTERM) == 0
    with contextlib.closing(sqlite3.connect(state_dir / "index.db")) as index, index:
        index.execute("UPDATE state SET schema = 99")
    with Command("watch", "--json", tree, "--state-dir", state_dir) as watch:
        assert watch.end() == 6
        assert "schema 99" in watch.errors()
    eventually(lambda: not processes_of(state_dir), GUARD_S, what="no process left")


def test_resume_prints_what_changed_in_between_and_nothing_else(tree: Path, state_dir: Path) -> None:
    """With a kept state directory a second watch goes on where the first ended, right after ready."""
    state = state_dir / "s"
    with Command("watch", "--json", tree, "--state-dir", state) as watch:
        watch.ready()
        put(tree / "seen.ast.json", "{}")
        watch.until(lambda line: line["type"] == "event")
        assert watch.end(signal.SIGTERM) == 0
    (tree / "pkg/a.ast.json").write_text("[1, 2, 3]")
    (tree / "pkg/b.ast.json").unlink()
    (tree / "pkg/deep/er/new.ast.json").write_text("{}")
    with Command("watch", "--json", tree, "--state-dir", state) as watch:
        watch.ready()
        found = {line["path"]: line["event_type"] for line in (watch.event() for _ in range(3))}
        assert found == {
            str(tree / "pkg/a.ast.json"): "modified",
            str(tree / "pkg/b.ast.json"): "deleted",
            str(tree / "pkg/deep/er/new.ast.json"): "created",
        }
        put(tree / "after.ast.json", "{}")
        assert watch.event()["path"] == str(tree / "after.ast.json")
        assert watch.end(signal.SIGTERM) == 0
    with Command("watch", "--json", tree, "--state-dir", state) as watch:
        watch.ready()
        put(tree / "last.ast.json", "{}")
        assert watch.event()["path"] == str(tree / "last.ast.json")
        assert watch.end(signal.SIGTERM) == 0
    eventually(lambda: not processes_of(state_dir), GUARD_S, what="no process left")


def test_resume_after_kill_9(tree: Path, state_dir: Path) -> None:
    """What came while nobody watched is there at once, also when the watch before was killed."""
    state = state_dir / "s"
    with Command("watch", "--json", tree, "--state-dir", state) as watch:
        watch.ready()
        watch.process.kill()
        watch.end()
    eventually(lambda: not processes_of(state_dir), GUARD_S, what="no process left")
    (tree / "main.ast.json").write_text("[1]")
    with Command("watch", "--json", tree, "--state-dir", state) as watch:
        watch.ready()
        assert watch.event()["path"] == str(tree / "main.ast.json")
        assert watch.end(signal.SIGTERM) == 0


def test_resume_after_kill_9_in_the_middle_of_a_batch(tmp_path: Path, state_dir: Path) -> None:
    """What was handed out and never printed comes right after ready, not when its lease ends."""
    root = tmp_path / "r"
    root.mkdir()
    for i in range(3000):
        (root / f"{i:05}-{'x' * 100}.json").touch()
    with Command("watch", "--json", root, "--from", "start", "--state-dir", state_dir) as watch:
        watch.ready()
        state = psutil.Process(watch.process.pid)
        eventually(lambda: not watch.silent(0.0) and state.status() == psutil.STATUS_SLEEPING, what="the pipe is full")
        watch.process.kill()
        watch.end()
    eventually(lambda: not processes_of(state_dir), GUARD_S, what="no process left")
    with Command("watch", "--json", root, "--state-dir", state_dir) as watch:
        watch.ready()
        assert len({watch.event()["path"] for _ in range(3000)}) == 3000
        assert watch.end(signal.SIGTERM) == 0


def test_resume_with_other_roots_and_filters_says_so(tree: Path, tmp_path: Path, state_dir: Path) -> None:
    """What came in is scanned and reported, what went out is told as deleted; both are said before ready."""
    other = tmp_path / "other"
    other.mkdir()
    (other / "o.ast.json").write_text("{}")
    with Command("watch", "--json", tree, "--state-dir", state_dir) as watch:
        watch.ready()
        assert watch.end(signal.SIGTERM) == 0
    with Command("watch", "--json", other, "--include", "*.json", "--include", "*.x", "--state-dir", state_dir) as watch:
        before = watch.until(lambda line: line["type"] == "ready")
        said = " ".join(line["message"] for line in before[:-1])
        assert str(other) in said and str(tree) in said and "*.x" in said
        told = watch.until(lambda line: line.get("path") == str(other / "o.ast.json"))
        gone = {line["path"] for line in told if line.get("event_type") == "deleted"}
        (other / "p.ast.json").write_text("{}")
        more = watch.until(lambda line: line.get("path") == str(other / "p.ast.json"))
        gone |= {line["path"] for line in more if line.get("event_type") == "deleted"}
        assert gone == {str(path) for path in tree.rglob("*.json") if "node_modules" not in str(path)}
        assert watch.end(signal.SIGTERM) == 0


def test_from_start_prints_every_file(tree: Path, temporary: Path) -> None:
    """Right after ready, all there is, as created."""
    with Command("watch", "--json", "--from", "start", tree) as watch:
        files = watch.ready()["files"]
        found = [watch.event() for _ in range(files)]
        assert {line["event_type"] for line in found} == {"created"}
        assert {line["path"] for line in found} == {str(p) for p in tree.rglob("*.json") if "node_modules" not in str(p)}
        assert watch.end(signal.SIGINT) == 0


def test_a_name_that_is_not_utf8_carries_its_bytes(tree: Path, temporary: Path) -> None:
    """Replacement characters for people, the exact bytes in base64; also of a root."""
    root = os.fsencode(tree) + b"/r\xff"
    os.mkdir(root)
    with Command("watch", "--json", root) as watch:
        ready = watch.ready()
        assert [b64decode(path) for path in ready["roots_b64"]] == [root]
        name = root + b"/\xfe\n'.json"
        with open(name, "wb") as f:  # noqa: PTH123 - pathlib takes no bytes
            f.write(b"{}")
        line = watch.event()
        assert b64decode(line["path_b64"]) == name
        assert "\N{REPLACEMENT CHARACTER}" in line["path"]
        assert watch.end(signal.SIGTERM) == 0


def test_people_get_a_banner_and_plain_lines(tree: Path, temporary: Path) -> None:
    """Not on a terminal: no escape code, no bar; roots, counts, backend and filter first, then a line an event."""
    with Command("watch", tree) as watch:
        banner = [watch.line().decode() for _ in range(4)]
        assert str(tree) in banner[0]
        assert "6 files in" in banner[1] and "1 shard" in banner[1] and "inotify" in banner[1]
        assert "*.json" in banner[2]
        put(tree / "a\nb.json", "{}")
        assert watch.line().decode() == f"created   {tree}/a\\nb.json  2 B"
        assert watch.end(signal.SIGINT) == 0


def test_a_terminal_gets_colour_and_ctrl_c(tree: Path, temporary: Path) -> None:
    """On a terminal: the bar while scanning, coloured lines, and Ctrl-C typed there ends all of it with 0."""
    master, slave = pty.openpty()
    command = [sys.executable, "-P", "-m", "shardwatch.supervisor.cli.main", "watch", str(tree)]
    environ = environment(TERM="xterm")
    # setsid(1) makes the terminal the controlling one: only then does a typed Ctrl-C become a signal.
    process = subprocess.Popen(["setsid", "-c", "-w", *command], stdin=slave, stdout=slave, stderr=slave, env=environ)
    os.close(slave)
    text = b""

    def read_until(wanted: bytes) -> None:
        nonlocal text
        while wanted not in text:
            assert select.select([master], [], [], GUARD_S)[0], text
            text += os.read(master, 65536)

    try:
        read_until(b"state ")
        put(tree / "typed.json", "{}")
        read_until(b"typed.json")
        assert b"\x1b[32mcreated" in text
        os.write(master, b"\x03")
        assert process.wait(GUARD_S) == 0
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        os.close(master)
    all_gone(temporary)


def test_two_watches_of_one_state_dir(tree: Path, state_dir: Path) -> None:
    """The second is told that the directory is in use (4), and the first is not disturbed."""
    state = state_dir / "s"
    with Command("watch", "--json", tree, "--state-dir", state) as watch:
        watch.ready()
        second = run("watch", "--json", tree, "--state-dir", state, check=False)
        assert second.returncode == 4 and len(second.stderr.splitlines()) == 1 and second.stdout == ""
        put(tree / "x.json", "{}")
        assert watch.event()["path"] == str(tree / "x.json")
        assert watch.end(signal.SIGTERM) == 0


def test_a_root_that_is_missing_at_the_second_start_is_waited_for(tmp_path: Path, state_dir: Path) -> None:
    """The first start refuses a missing root; a service that had it waits for it, says so, and sees it come back."""
    root = tmp_path / "r"
    assert run("watch", "--json", root, "--state-dir", state_dir / "s", check=False).returncode == 2
    assert not (state_dir / "s").exists()
    root.mkdir()
    (root / "a.json").write_text("{}")
    with Command("watch", "--json", root, "--state-dir", state_dir / "s") as watch:
        watch.ready()
        assert watch.end(signal.SIGTERM) == 0
    shutil.rmtree(root)
    with Command("watch", "--json", root, "--state-dir", state_dir / "s") as watch:
        before = watch.until(lambda line: line["type"] == "ready")
        assert any(line["type"] == "status" and str(root) in line["message"] for line in before)
        deleted = watch.until(lambda line: line["type"] == "event")[-1]
        assert (deleted["event_type"], deleted["path"]) == ("deleted", str(root / "a.json"))
        root.mkdir()
        put(root / "b.json", "{}")
        created = watch.until(lambda line: line["type"] == "event")[-1]
        assert (created["event_type"], created["path"]) == ("created", str(root / "b.json"))
        assert watch.end(signal.SIGTERM) == 0


def test_nested_roots_report_each_path_once(tree: Path, temporary: Path) -> None:
    """A root inside another is allowed; every directory has one owner."""
    with Command("watch", "--json", tree, tree / "pkg", tree, "--shards", "2") as watch:
        watch.ready()
        put(tree / "pkg/n.json", "{}")
        assert watch.event()["path"] == str(tree / "pkg/n.json")
        put(tree / "z.json", "{}")
        assert watch.event()["path"] == str(tree / "z.json")
        assert watch.end(signal.SIGTERM) == 0


def test_lines_of_pull_are_those_of_watch(tree: Path, state_dir: Path) -> None:
    """A watch with a kept state directory is a service like any other: a second terminal may pull from it."""
    with Command("watch", "--json", tree, "--state-dir", state_dir) as watch:
        watch.ready()
        found = lines_of(run("pull", "--group", "g", "--from", "start", "--json", "--state-dir", state_dir))
        assert len(found) == 6
        assert watch.end(signal.SIGTERM) == 0
