"""examples/extract/: whatever is killed, its database equals one that is made from nothing."""

from __future__ import annotations

import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from cli_process import Command, command_of, environment
from documents import Shell, blocks, sessions
from running import EQUAL_S, GUARD_S, Running, running, settings_for, walk
from waiting import eventually

from shardwatch.supervisor.demo import tree as demo_tree

pytestmark = pytest.mark.usefixtures("no_leaks")

ROOT = Path(__file__).parents[2]
PROGRAM = ROOT / "examples/extract/extract.py"
#: What is written into the tree in turn: real modules, small ones, and what is none.
SOURCES = (
    "json/__init__.py", "json/decoder.py", "json/tool.py", "email/charset.py", "logging/config.py", "bisect.py", "this.py",
)  # fmt: skip
EVERYTHING = """
    SELECT path, name, problem, '' FROM module
    UNION ALL SELECT path, 'import', import.name, import.line FROM import JOIN module ON module.id = module
    UNION ALL SELECT path, 'function', function.name, function.line FROM function JOIN module ON module.id = module
    ORDER BY 1, 2, 3, 4
"""


@pytest.fixture(scope="module")
def contents() -> list[bytes]:
    """Of files: AST JSON, and what is none."""
    return [*(demo_tree.parse_file(demo_tree.library() / source) for source in SOURCES), b"", b"{"]


@pytest.fixture
def root(tmp_path: Path, contents: list[bytes]) -> Path:
    """A tree of forty files in five directories."""
    made = tmp_path / "tree"
    for number in range(40):
        path = made / f"d{number % 5}" / f"m{number}.ast.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(contents[number % len(contents)])
    return made


def program(database: Path, root: Path, *more: str | Path) -> list[str | bytes | Path]:
    return [sys.executable, PROGRAM, "--database", database, "--tree", root, *more]


def facts(database: Path) -> list[tuple[object, ...]]:
    """All that a database says; nothing where it is not there yet."""
    try:
        with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=GUARD_S)) as db:
            return db.execute(EVERYTHING).fetchall()
    except sqlite3.OperationalError:
        return []


class Kept:
    """A database, and the command that keeps it, which can be killed and begun again."""

    def __init__(self, database: Path, group: str, command: list[str | bytes | Path]) -> None:
        self.database = database
        self.group = group
        self._command = command
        self._process = Command(command=command)

    def kill(self) -> None:
        self._process.end(signal.SIGKILL)
        self.restart()

    def restart(self) -> None:
        self._process.__exit__(None, None, None)
        self._process = Command(command=self._command)

    def restart_if_ended(self) -> None:
        """A worker that begins while the service is away ends, as it says."""
        if self._process.process.poll() is not None:
            self.restart()

    def end(self) -> None:
        self._process.end(signal.SIGTERM)
        self._process.__exit__(None, None, None)


def worker(state_dir: Path, root: Path, database: Path) -> Kept:
    return Kept(database, "worker", program(database, root, "--follow", state_dir, "--group", "worker"))


def by_exec(state_dir: Path, root: Path, database: Path) -> Kept:
    options: list[str | Path] = ["--group", "exec", "--initial", "--on", "created,modified,deleted,moved,fresh", "--batch", "10"]
    command = command_of("exec", *options, "--jobs", "2", "--state-dir", state_dir, "--")
    return Kept(database, "exec", [*command, *program(database, root, "{}")])


@pytest.fixture
def service(state_dir: Path, root: Path) -> Iterator[Running]:
    """Leases are short, since whoever is killed has some; no path is set aside for that."""
    with running(state_dir, settings_for(root, shards=1, lease_ms=2000, attempts_max=1000)) as it:
        yield it


@pytest.fixture
def both(service: Running, root: Path, tmp_path: Path) -> Iterator[tuple[Kept, Kept]]:
    """A worker, and a run of `exec`."""
    kept = [make(service.layout.state_dir, root, tmp_path / f"{make.__name__}.db") for make in (worker, by_exec)]
    try:
        yield kept[0], kept[1]
    finally:
        for one in kept:
            one.end()


def edit(root: Path, contents: list[bytes], chance: random.Random) -> None:
    """One change to the tree: a file is written, replaced, removed or renamed, or a directory is."""
    files = sorted(path for path in root.rglob("*.ast.json"))
    directory = chance.choice(sorted(path for path in root.iterdir() if path.is_dir()))
    match chance.randrange(8):
        case 0 | 1 | 2:
            chance.choice(files).write_bytes(chance.choice(contents))
        case 3:
            beside = root / "new.tmp"
            beside.write_bytes(chance.choice(contents))
            beside.replace(chance.choice(files))
        case 4:
            (directory / f"n{chance.randrange(1000)}.ast.json").write_bytes(chance.choice(contents))
        case 5 if len(files) > 20:
            chance.choice(files).unlink()
        case 6:
            chance.choice(files).rename(directory / f"r{chance.randrange(1000)}.ast.json")
        case _:
            directory.rename(root / f"d{chance.randrange(10_000)}")


def assert_equal(service: Running, root: Path, both: tuple[Kept, Kept], tmp_path: Path) -> None:
    """Waits until both databases say what one says that is made from the files as they are now."""
    service.client.sync(GUARD_S, patience_s=GUARD_S)
    anew = tmp_path / "anew.db"
    anew.unlink(missing_ok=True)
    paths = [os.fsdecode(path) for path in walk(root, service.settings)]
    subprocess.run(program(anew, root, *paths), check=True, env=environment())
    wanted = facts(anew)
    assert wanted

    def equal() -> bool:
        for one in both:
            one.restart_if_ended()
            found = facts(one.database)
            assert found == wanted, f"{one.group}: {sorted(set(map(str, found)) ^ set(map(str, wanted)))[:5]}"
        return True

    eventually(equal, EQUAL_S, every_s=0.1)


def test_the_database_is_right_after_a_run_with_kills(
    service: Running, root: Path, both: tuple[Kept, Kept], contents: list[bytes], tmp_path: Path
) -> None:
    """Of the worker, of `exec` and of the aggregator, while they are at work; and groups that are begun anew."""
    chance = random.Random(12)
    first, second = both

    def reset(one: Kept) -> None:
        service.client.sync(GUARD_S, patience_s=GUARD_S)  # it is back by then
        service.client.reset(one.group)

    deeds: list[Callable[[], object]] = [
        first.kill, second.kill, lambda: service.kill("aggregator"), second.kill, lambda: reset(second), first.kill,
        lambda: service.kill("aggregator"), lambda: reset(first),
    ]  # fmt: skip
    assert_equal(service, root, both, tmp_path)
    for deed in deeds:
        for _ in range(chance.randrange(5, 25)):
            edit(root, contents, chance)
        if chance.random() < 0.5:
            service.client.sync(GUARD_S, patience_s=GUARD_S)
        deed()
    assert_equal(service, root, both, tmp_path)


def test_what_went_while_the_index_was_lost_is_forgotten(
    state_dir: Path, root: Path, contents: list[bytes], tmp_path: Path
) -> None:
    """Nobody can tell of a deletion then: `fresh` does, or the groups that are not there any more."""
    settings = settings_for(root, shards=1)
    service = Running(state_dir, settings)
    both = worker(state_dir, root, tmp_path / "worker.db"), by_exec(state_dir, root, tmp_path / "exec.db")
    try:
        assert_equal(service, root, both, tmp_path)
        losses: list[Callable[[], object]] = [service.layout.index_db.unlink, lambda: shutil.rmtree(state_dir)]
        for lose in losses:
            service.stop()
            lose()
            sorted(root.rglob("*.ast.json"))[0].unlink()
            service = Running(state_dir, settings)
            assert_equal(service, root, both, tmp_path)
    finally:
        for one in both:
            one.end()
        service.stop()


def assert_says(shell: Shell, command: str, output: str) -> None:
    """Waits until a command prints this."""
    eventually(lambda: shell.run(command, check=False).stdout == output, every_s=0.2, what=f"`{command}` says {output}")


def test_the_readme_shows_what_it_answers(state_dir: Path, tmp_path: Path, contents: list[bytes]) -> None:
    """The commands of README.md as they stand; what they print is what it says, moments after a save.

    Those of the example's own page do the same, and one more keeps the database.
    """
    start, keep, ask, save = blocks(ROOT / "README.md", "An extract stage")
    same_start, same_keep, follow, ask_more = blocks(ROOT / "examples/extract/README.md", "Running it")
    assert (same_start, same_keep) == (start, keep)
    folder = tmp_path / "clone"
    for source, content in zip(SOURCES, contents[: len(SOURCES)], strict=True):
        path = folder / ".demo/tree" / demo_tree.mirrored(Path(source))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    (folder / "examples").symlink_to(ROOT / "examples")
    shell = Shell(folder, state_dir)
    shell.run(start)
    try:
        with shell.begin(keep) as keeping:
            for shown in (ask, save):
                for command, output in sessions(shown):
                    assert_says(shell, command, output)
            assert keeping.end(signal.SIGTERM) == 128 + signal.SIGTERM
        follow = follow.replace("facts.db", "other.db").replace("STATE", f'"{state_dir}"')
        with shell.begin(follow):
            ask_more = ask_more.replace("facts.db", "other.db")
            eventually(lambda: "json.decoder" in shell.run(ask_more, check=False).stdout, every_s=0.2)
    finally:
        shell.run("shardwatch down")
