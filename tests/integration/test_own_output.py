"""Output into a file that is watched: a line about it would be a change of it, and cause the next line, without end."""

from __future__ import annotations

import contextlib
import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cli_process import GUARD_S, Command, put
from running import Running, settings_for
from waiting import eventually

pytestmark = pytest.mark.usefixtures("no_leaks")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A directory to be watched, and printed into."""
    made = tmp_path / "watched"
    made.mkdir()
    return made


@contextlib.contextmanager
def printing(out: Path, *arguments: str | Path) -> Iterator[Command]:
    """A command whose standard output is a file; ended by Ctrl-C, which it has to obey."""
    with out.open("ab") as file, Command(*arguments, stdout=file.fileno()) as command:
        yield command
        command.process.send_signal(signal.SIGINT)
        command.process.wait(GUARD_S)


def told(out: Path) -> list[str]:
    """The names that the whole lines of the file are about, in order."""
    whole = out.read_bytes().rpartition(b"\n")[0].splitlines()
    lines: list[dict[str, Any]] = [json.loads(line) for line in whole]
    return [Path(line["path"]).name for line in lines if line["type"] == "event"]


def rounds(tree: Path, out: Path, command: Command) -> None:
    """Each file that is made is told of, and the file with the output never is. A change of that was due before each of them."""
    for name in ("a.json", "b.json", "c.json"):
        put(tree / name, name)
        eventually(lambda name=name: name in told(out), GUARD_S)
        command.complains(f"standard output goes to {out}")
    assert set(told(out)) == {"a.json", "b.json", "c.json"}


def test_a_watch_that_prints_into_what_it_watches(tree: Path) -> None:
    """It says that it leaves its output out, and why."""
    out = tree / "out.json"
    with printing(out, "watch", tree, "--json") as command:
        eventually(lambda: b'"ready"' in out.read_bytes(), GUARD_S)
        rounds(tree, out, command)


def test_a_pull_and_an_exec_that_print_into_what_is_watched(tree: Path, state_dir: Path) -> None:
    """The same. What runs print counts as well: none is made for the file that they print to."""
    service = Running(state_dir, settings_for(tree))
    try:
        out = tree / "pulled.json"
        with printing(out, "pull", "--group", "p", "--from", "start", "--follow", "--json", "--state-dir", state_dir) as command:
            rounds(tree, out, command)
        log = tree / "log.json"
        with printing(log, "exec", "--group", "e", "--state-dir", state_dir, "--", "echo", "{}") as command:
            eventually(lambda: any(group["name"] == "e" for group in service.client.groups()), GUARD_S)
            for name in ("d.json", "e.json", "f.json"):
                path = tree / name
                put(path, name)
                eventually(lambda path=path: str(path) in log.read_text().splitlines(), GUARD_S)
                command.complains(f"standard output goes to {log}")
            assert str(log) not in log.read_text().splitlines()
    finally:
        service.stop()
