"""docs/recipes.md: each recipe does what it says, run as it stands."""

from __future__ import annotations

import os
import re
import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from cli_process import ROOT, Command, put
from documents import Shell, blocks, section
from waiting import eventually, next_tick

pytestmark = pytest.mark.usefixtures("no_leaks")

PAGE = ROOT / "docs/recipes.md"
ROWS = [row.strip("|").split(" | ") for row in section(PAGE, "Coming from another tool").splitlines() if row.startswith("| `")]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where a reader stands: a directory with sources in `src`."""
    made = tmp_path / "project"
    (made / "src").mkdir(parents=True)
    return made


@pytest.fixture
def shell(folder: Path, state_dir: Path) -> Shell:
    return Shell(folder, state_dir)


@contextmanager
def foreground(shell: Shell, command: str) -> Iterator[Command]:
    """A command with a path that is ready."""
    with shell.begin(command) as going:
        going.complains("shardwatch: filter:")
        going.complains("shardwatch: ready:")
        yield going
        assert going.end(signal.SIGTERM) == 128 + signal.SIGTERM


@contextmanager
def service(shell: Shell) -> Iterator[None]:
    """The service of the page's beginning."""
    start = blocks(PAGE, "Recipes")[0]
    shell.run(start)
    try:
        yield
    finally:
        shell.run("shardwatch down")


def until(going: Command, wanted: str) -> list[str]:
    """Lines up to and with the first that has this in it."""
    lines = [going.line().decode()]
    while wanted not in lines[-1]:
        lines.append(going.line().decode())
    return lines


def put_program(path: Path, script: str) -> None:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def test_a_linter_on_each_saved_file(folder: Path, shell: Shell) -> None:
    """It is run for the file that was saved."""
    (command,) = blocks(PAGE, "A linter on each saved file")
    with foreground(shell, command) as going:
        put(folder / "src/good.py", "a = 1\n")
        until(going, "All checks passed")
        put(folder / "src/bad.py", "import os\n")
        assert any("F401" in line for line in until(going, "Found 1 error"))


def test_output_does_not_rebuild(folder: Path, shell: Shell) -> None:
    """Each run is for a source, though each changes the output."""
    (command,) = blocks(PAGE, "Rebuild when sources change, but not when output does")
    put(folder / "Makefile", "out/all: src/*.c\n\t@mkdir -p out\n\t@cat src/*.c > out/all\n\t@echo built `cat out/all`\n")
    put(folder / "src/a.c", "0")
    with foreground(shell, command) as going:
        for number in "123":
            next_tick()  # else the output could be as young as its source, and `make` would have nothing to do
            put(folder / "src/a.c", number)
            lines = until(going, f"built {number}")
            assert all(line.startswith(f"{folder}/src/a.c: ") for line in lines), lines


def test_a_table_equals_the_tree(folder: Path, state_dir: Path) -> None:
    """The worker is killed, the tree changes in every way, and it goes on. What it had on lease comes again soon."""
    shell = Shell(folder, state_dir, SHARDWATCH_LEASE_MS="2000", SHARDWATCH_ATTEMPTS_MAX="1000")
    heading = "A table that equals the tree, over restarts"
    (program,), (command,) = blocks(PAGE, heading, "python"), blocks(PAGE, heading)
    (folder / "files.py").write_text(program)
    for name in "abc":
        put(folder / f"src/{name}.json", name)

    def equal() -> bool:
        try:
            with closing(sqlite3.connect(f"file:{folder}/files.db?mode=ro", uri=True, timeout=60)) as db:
                rows = db.execute("SELECT path, size, mtime_ns FROM file ORDER BY path").fetchall()
        except sqlite3.OperationalError:  # it is not there yet
            return False
        stats = [(str(path), path.stat()) for path in sorted((folder / "src").iterdir())]
        return rows == [(path, found.st_size, found.st_mtime_ns) for path, found in stats]

    with service(shell):
        for _ in range(2):
            with shell.begin(command.replace("STATE", f'"{state_dir}"')) as going:
                eventually(equal)
                going.end(signal.SIGKILL)
            put(folder / "src/a.json", "longer")
            (folder / "src/b.json").unlink(missing_ok=True)
            (folder / "src/c.json").rename(folder / "src/d.json")
            put(folder / "src/c.json", "again")
        with shell.begin(command.replace("STATE", f'"{state_dir}"')) as going:
            eventually(equal)
            going.end(signal.SIGTERM)


@pytest.mark.needs("node")
def test_hand_over_to_another_language(folder: Path, shell: Shell) -> None:
    """A program that knows JSON, and nothing of ours."""
    heading = "Hand-over to a program in another language"
    (program,), (command,) = blocks(PAGE, heading, "js"), blocks(PAGE, heading)
    (folder / "notes.mjs").write_text(program)
    with service(shell):
        put(folder / "src/a.json", "1")
        with shell.begin(command) as going:
            assert until(going, "a.json")[-1] == f"created {folder}/src/a.json 1"
            put(folder / "src/a.json", "12")
            assert until(going, " 2")[-1] == f"modified {folder}/src/a.json 2"
            going.end(signal.SIGTERM)


@pytest.mark.parametrize("number", [0, 1])
def test_only_python_and_markdown(folder: Path, shell: Shell, number: int) -> None:
    """What is not chosen is not told: it was saved before what is."""
    command = blocks(PAGE, "Only Python and Markdown")[number]
    (folder / "src/docs").mkdir()
    told: list[str] = []
    with foreground(shell, command) as going:
        for name in ("a.json", "b_pb2.txt"):
            put(folder / "src" / name, "1")
        for name in ("a.py", "docs/b.md"):
            put(folder / "src" / name, "1")
            told += until(going, name)
    assert set(told) == {f"{folder}/src/{name}" for name in ("a.py", "docs/b.md")}


def test_what_has_changed_since_yesterday(folder: Path, shell: Shell) -> None:
    """By time, and by a cursor, which tells of deletions, too."""
    recent, take, ask = blocks(PAGE, "What has changed since yesterday")
    with service(shell):
        put(folder / "src/old.json", "1")
        os.utime(folder / "src/old.json", (1, 1))
        put(folder / "src/new.json", "1")
        shell.run("shardwatch sync")
        assert shell.run(recent).stdout == f"{folder}/src/new.json\n"
        shell.run(take)
        (folder / "src/new.json").unlink()
        shell.run("shardwatch sync")
        shell.run(ask)
        assert f"{folder}/src/new.json" in (folder / "changes").read_text()
        shell.run(ask)
        assert "json" not in (folder / "changes").read_text()


def test_restart_a_server(folder: Path, shell: Shell) -> None:
    """It starts at once, and anew when a file is saved; the old one is gone by then."""
    (command,) = blocks(PAGE, "Restart a server")
    server = "import os, time\nprint('server', os.getpid(), flush=True)\ntime.sleep(1000)\n"
    put(folder / "src/server.py", server)
    with foreground(shell, command) as going:
        first = int(until(going, "server")[-1].split()[1])
        put(folder / "src/server.py", f"# changed\n{server}")
        second = int(until(going, "server")[-1].split()[1])
        assert first != second
        assert not Path(f"/proc/{first}").exists()


@pytest.mark.parametrize("row", ROWS, ids=[row[0].strip("` ") for row in ROWS])
def test_what_others_do(row: list[str], folder: Path, shell: Shell) -> None:
    """Our command of each row begins the program when a file is saved that it is for."""
    command, *before = (code.replace("\\|", "|") for code in re.findall(r"`([^`]+)`", row[1]))
    for name in ("pytest", "make", "psql", "ruby", "eslint", "python"):
        put_program(shell.programs / name, 'echo "began $*"')
    put_program(folder / "server", 'echo "began $*"')
    chosen = re.search(r"-e (\w+)", " ".join((command, *before)))
    saved = folder / f"src/saved.{chosen[1] if chosen else 'x'}"
    for line in before:
        shell.run(line)
    try:
        with shell.begin(command) as going:
            if not before:
                going.complains("shardwatch: ready:")
            else:
                eventually(lambda: "lint" in shell.run("shardwatch groups list").stdout)
            if "--initial" in command:
                until(going, "began")
            put(saved, "1")
            assert until(going, str(saved) if "{}" in command else "began")
            going.end(signal.SIGTERM)
    finally:
        if before:
            shell.run("shardwatch down")
