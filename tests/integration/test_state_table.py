"""Whatever is removed from a state directory, restored into it, or made of it while nothing runs, after a stop and after a kill.

Each life takes up the tree as it is, and hands out all that is pending. What was handed out before is in the mirror, and each
time a file that was handed out is deleted meanwhile: a position that is wrong leaves it there. So after each life the mirror must
equal the tree, and the outcome must be the one that the table in docs/state.md says.
"""

from __future__ import annotations

import itertools
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from state_life import Lives

from shardwatch.shard.contract.state.contents import FILES
from shardwatch.shard.contract.state.directory import TAG

pytestmark = pytest.mark.xdist_group("state_table")

ROOT = Path(__file__).parents[2]
ON, FRESH = "on", "fresh"

#: What may be removed -> what the next start does. A database goes with its companions.
REMOVED: dict[str, str] = {
    "settings.json": ON,
    "plan.json": ON,
    "supervisord.conf": ON,
    "index.db": FRESH,
    "groups.db": FRESH,
    "locks/": ON,
    "run/": ON,
    "logs/": ON,
}
#: The same, of files that are not in every combination.
REMOVED_ALONE: dict[str, str] = {TAG: ON, ".gitignore": ON, "life.json": FRESH}


class Ground:
    """A tree, a state directory, and what happens to both between two lives."""

    def __init__(self, base: Path, lives: Lives) -> None:
        self.base, self.root, self.state, self.lives = base, lives.root, base / "state", lives
        self.round = 0
        self.change()
        self.live("stop")

    def change(self) -> None:
        """A file that was handed out goes, another changes, a third comes."""
        self.round += 1
        (self.root / f"f{self.round}.json").write_text("new")
        (self.root / "kept.json").write_text("x" * self.round)
        (self.root / f"f{self.round - 1}.json").unlink(missing_ok=True)

    def live(self, end: str, at: Path | None = None) -> str:
        """One life; what it handed out must make the mirror equal to the tree, unless it is refused."""
        outcome = self.lives.live(at or self.state, end)
        if not outcome.startswith("refused"):
            assert self.lives.mirror == self.lives.there(), outcome
        return outcome

    def backup(self, name: str = "backup") -> Path:
        """A copy as `cp -a` makes it; sockets are left out, as backup tools do."""
        copy = self.base / name
        shutil.copytree(self.state, copy, symlinks=True, ignore=_sockets)
        return copy


def _sockets(directory: str, names: list[str]) -> list[str]:
    return [name for name in names if Path(directory, name).is_socket()]


def remove(state: Path, what: str) -> None:
    if what.endswith("/"):
        shutil.rmtree(state / what, ignore_errors=True)
        return
    for companion in ("", "-wal", "-shm", "-redo") if what.endswith(".db") else ("",):
        (state / (what + companion)).unlink(missing_ok=True)


@pytest.fixture
def ground(state_dir: Path) -> Iterator[Ground]:
    root = state_dir / "root"
    root.mkdir()
    with Lives(root) as lives:
        yield Ground(state_dir, lives)


def test_every_combination_of_deletions(ground: Ground) -> None:
    """Each goes on, or is `fresh` where a database is among what was removed; after a stop and after a kill -9 in turn."""
    wrong = []
    for number, chosen in enumerate(itertools.product((False, True), repeat=len(REMOVED))):
        removed = [what for what, is_chosen in zip(REMOVED, chosen, strict=True) if is_chosen]
        end = ("stop", "kill")[number.bit_count() % 2]
        ground.change()
        for what in removed:
            remove(ground.state, what)
        expected = FRESH if any(REMOVED[what] == FRESH for what in removed) else ON
        outcome = ground.live(end)
        if outcome.partition(":")[0] != expected:
            wrong.append(f"without {removed}: {outcome}, and not {expected}")
    assert wrong == []


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_each_deletion_alone(ground: Ground, end: str) -> None:
    """One after another, with both ways in which the life before may have ended."""
    assert ground.live(end) == ON
    for what, expected in {**REMOVED, **REMOVED_ALONE}.items():
        ground.change()
        remove(ground.state, what)
        assert (what, ground.live(end).partition(":")[0]) == (what, expected)


def test_a_life_that_ends_at_its_beginning_keeps_the_names_of_the_groups(ground: Ground) -> None:
    """One or two of the three files that know them are lost before it, and one or two after it: every group hears of that."""
    know = ("index.db", "groups.db", "life.json")
    some = [*itertools.combinations(know, 1), *itertools.combinations(know, 2)]
    wrong = []
    for before, after in itertools.product(some, repeat=2):
        ground.change()
        for what in before:
            remove(ground.state, what)
        assert ground.lives.live(ground.state, "beginning") == ON
        for what in after:
            remove(ground.state, what)
        outcome = ground.lives.live(ground.state, "kill")
        if outcome.partition(":")[0] != FRESH or ground.lives.mirror != ground.lives.there():
            wrong.append(f"without {before}, and then {after}: {outcome}")
            ground.lives.mirror = ground.lives.there()
    assert wrong == []


#: What else may have been done to the directory.
Deed = Callable[[Ground, Path], Path | None]


def _move(ground: Ground, old: Path) -> Path:
    moved = ground.base / "moved"
    ground.state.rename(moved)
    return moved


def _copy(ground: Ground, old: Path) -> Path:
    return ground.backup("copy")


def _copy_aside(ground: Ground, old: Path) -> None:
    ground.backup("copy")


def _restore_all(ground: Ground, old: Path) -> None:
    shutil.rmtree(ground.state)
    shutil.copytree(old, ground.state, symlinks=True)


def _restore_in_place(ground: Ground, old: Path) -> None:
    """Every file keeps its inode, like `cp -a BACKUP/. STATE`."""
    for path in old.rglob("*"):
        if path.is_file():
            target = ground.state / path.relative_to(old)
            target.parent.mkdir(exist_ok=True)
            target.write_bytes(path.read_bytes())


def _restore(*names: str, in_place: bool = False) -> Deed:
    def restore(ground: Ground, old: Path) -> None:
        for name in names:
            if in_place:
                (ground.state / name).write_bytes((old / name).read_bytes())
                continue
            (ground.state / name).unlink(missing_ok=True)
            shutil.copy2(old / name, ground.state / name)

    return restore


def _remove_log(name: str) -> Deed:
    def log(ground: Ground, old: Path) -> None:
        (ground.state / f"{name}-wal").unlink(missing_ok=True)

    return log


def _remove_redo(ground: Ground, old: Path) -> None:
    (ground.state / "index.db-redo").unlink(missing_ok=True)


def _remove_shm(ground: Ground, old: Path) -> None:
    for name in ("index.db-shm", "groups.db-shm"):
        (ground.state / name).unlink(missing_ok=True)


def _plant(name: str, plant: Callable[[Path, Path], None]) -> Deed:
    def planted(ground: Ground, old: Path) -> None:
        path = ground.state / name
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        precious = ground.base / "precious"
        precious.write_text("precious")
        plant(path, precious)

    return planted


def _only_others(ground: Ground, old: Path) -> None:
    shutil.rmtree(ground.state)
    ground.state.mkdir()
    (ground.state / "thesis.tex").write_text("")


def _others_too(ground: Ground, old: Path) -> None:
    (ground.state / "thesis.tex").write_text("")


def _open_to_all(ground: Ground, old: Path) -> None:
    ground.state.chmod(0o777)


def _writable(ground: Ground, old: Path) -> None:
    (ground.state / "settings.json").chmod(0o666)


def _link(path: Path, precious: Path) -> None:
    path.symlink_to(precious)


def _fifo(path: Path, precious: Path) -> None:
    os.mkfifo(path)


def _hard_link(path: Path, precious: Path) -> None:
    path.hardlink_to(precious)


#: Row of docs/state.md -> (outcome after a stop, after a kill -9, what is done).
SITUATIONS: dict[str, tuple[str, str, tuple[Deed, ...]]] = {
    "moved or renamed (`mv`, on one filesystem)": (ON, ON, (_move,)),
    "copied: the original": (ON, ON, (_copy_aside,)),
    "copied: the copy": (FRESH, FRESH, (_copy,)),
    "restored whole from a backup": (FRESH, FRESH, (_restore_all, _restore_in_place)),
    "`index.db` or `groups.db` restored from a backup, or both": (
        FRESH,
        FRESH,
        (
            _restore("index.db"),
            _restore("groups.db"),
            _restore("index.db", "groups.db"),
            _restore("index.db", in_place=True),
            _restore("groups.db", in_place=True),
            _restore("index.db", "groups.db", in_place=True),
        ),
    ),
    "`life.json` restored from a backup": (FRESH, FRESH, (_restore("life.json"), _restore("life.json", in_place=True))),
    "`settings.json`, `plan.json` or `supervisord.conf` restored from a backup": (
        ON,
        ON,
        (_restore("settings.json"), _restore("plan.json"), _restore("settings.json", "plan.json", "supervisord.conf")),
    ),
    "`index.db-wal` or `groups.db-wal` removed": (ON, FRESH, (_remove_log("index.db"), _remove_log("groups.db"))),
    "`index.db-redo` removed": (ON, FRESH, (_remove_redo,)),
    "`index.db-shm` or `groups.db-shm` removed": (ON, ON, (_remove_shm,)),
    "a link, FIFO, hard link or directory in the place of a file, or a link in the place of a directory": (
        "refused",
        "refused",
        (
            *(_plant(name, plant) for name in ("index.db", "locks/aggregator.lock") for plant in (_link, _fifo, _hard_link)),
            *(_plant(name, _link) for name in ("logs", "run", "locks", "settings.json", "plan.json", "life.json", TAG)),
        ),
    ),
    "other files in it too": (ON, ON, (_others_too,)),
    "nothing but other files in it": ("refused", "refused", (_only_others,)),
    "mode 0777": (ON, ON, (_open_to_all,)),
    "`settings.json` writable by others": ("refused", "refused", (_writable,)),
}


@pytest.mark.parametrize("end", ["stop", "kill"])
@pytest.mark.parametrize("situation", SITUATIONS)
def test_every_situation(ground: Ground, situation: str, end: str) -> None:
    """The backup is of a life before the last: positions were handed out since, and one more file is deleted after that."""
    after_stop, after_kill, deeds = SITUATIONS[situation]
    for deed in deeds:
        ground.live(end)
        old = ground.backup(f"backup-{deeds.index(deed)}")
        for last in ("stop", end) if after_stop != "refused" else ():
            ground.change()
            assert ground.live(last) == ON
        ground.change()
        at = deed(ground, old)
        outcome = ground.live(end, at)
        assert outcome.partition(":")[0] == (after_stop if end == "stop" else after_kill), (deed, outcome)
        if outcome.startswith("refused"):
            assert re.search(r"\(.+\)$", outcome), "the remedy is missing"
            for name in (*FILES, "logs", "run", "locks"):
                path = ground.state / name
                if path.is_symlink() or path.is_fifo():
                    path.unlink()
            shutil.rmtree(ground.state)
            shutil.rmtree(old)
            ground.lives.mirror.clear()
        elif at is not None and at.name == "moved":
            at.rename(ground.state)
        precious = ground.base / "precious"
        assert not precious.exists() or precious.read_text() == "precious"
        precious.unlink(missing_ok=True)


def test_everything_is_gone(ground: Ground) -> None:
    """A new beginning: every file there is comes as `created`, and nobody can know who was told what."""
    shutil.rmtree(ground.state)
    ground.lives.mirror.clear()
    assert ground.live("stop") == ON


def test_a_group_keeps_its_name_when_both_databases_are_lost(ground: Ground) -> None:
    """Else it would be a new one, and not hear of what was deleted."""
    ground.change()
    for name in ("index.db", "groups.db"):
        remove(ground.state, name)
    assert ground.live("stop").startswith("fresh: its position was lost")


def test_the_documented_table_is_this_one() -> None:
    """docs/state.md says of everything above what the next start does."""
    text = (ROOT / "docs/state.md").read_text()
    rows = [[cell.strip() for cell in line.strip("| \n").split(" | ")] for line in text.splitlines() if line.startswith("|")]
    said = {row[0]: row[1:] for row in rows}
    words = {ON: "goes on", FRESH: "`fresh`", "refused": "refused"}
    for what, outcome in {**REMOVED, **REMOVED_ALONE}.items():
        assert said.get(f"`{what}` removed") == [words[outcome]] * 2, what
    for situation, (after_stop, after_kill, _) in SITUATIONS.items():
        assert said.get(situation) == [words[after_stop], words[after_kill]], situation
