"""Lock files of version control: seen at once, whatever becomes of the directory that they are in."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from shardwatch.shard.version_control import locks as module
from shardwatch.shard.version_control.locks import Locks

BEAT_NS = 2_000_000_000


class Looking:
    """Locks of one root, with a clock set by hand."""

    def __init__(self, *roots: Path) -> None:
        self.locks = Locks([os.fsencode(root) for root in roots])
        self.now = 0

    def look(self) -> bool:
        """A turn of the main loop, long before the next beat."""
        return self._finds_another_answer(1)

    def beat(self) -> bool:
        return self._finds_another_answer(BEAT_NS)

    def _finds_another_answer(self, after_ns: int) -> bool:
        before = self.locks.there
        self.now += after_ns
        self.locks.look(self.now)
        return self.locks.there != before

    def watches(self) -> int:
        """Watches that the kernel holds for it."""
        lines = Path(f"/proc/self/fdinfo/{self.locks.fileno()}").read_text().splitlines()
        return sum(line.startswith("inotify ") for line in lines)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root/.git/objects").mkdir(parents=True)
    return tmp_path / "root"


@pytest.fixture
def looking(root: Path, no_leaks: None) -> Iterator[Looking]:
    """A root with a repository, looked at once."""
    looking = Looking(root)
    assert not looking.look() and looking.locks.there == []
    yield looking
    looking.locks.close()


def test_a_lock_file_comes_and_goes(root: Path, looking: Looking) -> None:
    """Said once each."""
    lock = root / ".git/index.lock"
    lock.touch()
    assert looking.look() and looking.locks.there == [os.fsencode(lock)]
    assert not looking.look()
    lock.rename(root / ".git/index")
    assert looking.look() and looking.locks.there == []
    assert not looking.look() and not looking.beat()


def test_one_that_was_gone_before_it_was_looked_at(root: Path, looking: Looking) -> None:
    """Nothing to tell: the operation is over, and what it changed is looked at after it."""
    (root / ".git/index.lock").touch()
    (root / ".git/index.lock").unlink()
    assert not looking.look()


def test_other_roots_are_looked_at_from_now_on(root: Path, looking: Looking, tmp_path: Path) -> None:
    """One that was there goes on with its watch; in one that is not any more, nothing is watched."""
    other = tmp_path / "other"
    (other / ".git").mkdir(parents=True)
    lock, held = root / ".git/index.lock", other / ".git/index.lock"
    lock.touch()
    assert looking.look()
    held.touch()
    looking.locks.keep_to([os.fsencode(root), os.fsencode(other)])
    assert looking.look() and looking.locks.there == [os.fsencode(lock), os.fsencode(held)] and looking.watches() == 2
    looking.locks.keep_to([os.fsencode(other)])
    assert looking.look() and looking.locks.there == [os.fsencode(held)] and looking.watches() == 1
    held.unlink()
    assert looking.look() and looking.locks.there == []


def test_a_wlock_is_a_link_that_leads_nowhere(root: Path, looking: Looking) -> None:
    """Mercurial's has the holder's host and process for a target; its directory was not there at the beginning."""
    (root / ".hg").mkdir()
    (root / ".hg/wlock").symlink_to("host:123")
    assert looking.look() and looking.locks.there == [os.fsencode(root / ".hg/wlock")]
    looking.beat()
    assert looking.watches() == 2


def test_the_directory_only_wakes_for_names(root: Path, looking: Looking) -> None:
    """One watch, not recursive; what is written into its files or below it is not heard of."""
    (root / ".git/objects/pack").touch()
    (root / ".git/objects/pack").write_text("x")
    assert looking.locks._bell is not None and looking.locks._bell.rang() == (set(), set())
    assert looking.watches() == 1


@pytest.mark.parametrize("how", ["deleted", "moved"])
def test_a_repository_that_is_replaced(root: Path, looking: Looking, how: str) -> None:
    """Its lock file ends with it; the new one is watched, and nothing of the old one is."""
    (root / ".git/index.lock").touch()
    assert looking.look()
    if how == "deleted":
        shutil.rmtree(root / ".git")
    else:
        (root / ".git").rename(root / "old")
    assert looking.look() and looking.locks.there == [] and looking.watches() == 0
    (root / ".git").mkdir()
    (root / ".git/index.lock").touch()
    assert looking.look(), "looked at in each turn, as long as it is not watched"
    looking.beat()
    assert looking.watches() == 1
    (root / ".git/index.lock").unlink()
    assert looking.look() and looking.locks.there == []


def test_a_root_that_is_replaced(root: Path, looking: Looking) -> None:
    """No event tells of it: the next beat finds out."""
    root.rename(root.with_name("old"))
    (root / ".git").mkdir(parents=True)
    assert not looking.beat() and looking.watches() == 1
    (root / ".git/index.lock").touch()
    assert looking.look()


@pytest.mark.parametrize("absolute", [True, False])
def test_a_worktree(tmp_path: Path, root: Path, no_leaks: None, absolute: bool) -> None:
    """Its `.git` is a file that names the directory."""
    tree, gitdir = tmp_path / "tree", root / ".git/worktrees/tree"
    gitdir.mkdir(parents=True)
    (gitdir / "HEAD").touch()
    tree.mkdir()
    named = gitdir if absolute else os.path.relpath(gitdir, tree)
    (tree / ".git").write_text(f"gitdir: {named}\n")
    looking = Looking(tree)
    assert not looking.look() and looking.watches() == 1
    (gitdir / "index.lock").touch()
    assert looking.look() and len(looking.locks.there) == 1
    looking.locks.close()


@pytest.mark.parametrize("content", [b"", b"gitdir: \n", b"x", b"gitdir: \0\n", b"x" * 10_000, b"gitdir: /nowhere"])
def test_files_that_name_nothing(tmp_path: Path, no_leaks: None, content: bytes) -> None:
    """No lock there, and no trouble."""
    (tmp_path / ".git").write_bytes(content)
    looking = Looking(tmp_path)
    assert not looking.look() and not looking.beat() and looking.watches() == 0
    looking.locks.close()


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    """Whatever is called `.git`."""
    os.mkfifo(tmp_path / ".git")
    looking = Looking(tmp_path)
    assert not looking.look()
    looking.locks.close()


def test_two_roots_with_one_repository(tmp_path: Path, root: Path, no_leaks: None) -> None:
    """One watch serves both, until both have left it."""
    other = tmp_path / "other"
    other.mkdir()
    (root / ".git/HEAD").touch()
    (other / ".git").write_text(f"gitdir: {root}/.git")
    looking = Looking(root, other)
    assert not looking.look() and looking.watches() == 1
    (root / ".git/index.lock").touch()
    assert looking.look() and len(looking.locks.there) == 2
    (other / ".git").unlink()
    assert looking.beat() and len(looking.locks.there) == 1 and looking.watches() == 1
    looking.locks.close()


def test_more_roots_than_are_renewed_at_once(tmp_path: Path, no_leaks: None) -> None:
    """All have their turn."""
    roots = [tmp_path / str(n) for n in range(300)]
    for root in roots:
        (root / ".git").mkdir(parents=True)
    looking = Looking(*roots)
    for _ in range(3):
        looking.beat()
    assert looking.watches() == 300
    (roots[-1] / ".git/index.lock").touch()
    assert looking.look() and len(looking.locks.there) == 1
    looking.locks.close()


def test_no_instance_is_left(root: Path, monkeypatch: pytest.MonkeyPatch, no_leaks: None) -> None:
    """The disk is asked in every turn."""

    def refused() -> object:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(module, "Bell", refused)
    looking = Looking(root)
    assert looking.locks.fileno() == -1
    looking.look()
    (root / ".git/index.lock").touch()
    assert looking.look()
    looking.locks.close()


def test_without_roots_there_is_no_instance() -> None:
    """What is not asked for costs nothing."""
    assert Locks([]).fileno() == -1
