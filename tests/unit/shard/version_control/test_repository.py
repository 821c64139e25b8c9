"""Which `.git` and `.hg` of a root are obeyed: directories of somebody believed, and what a file of theirs names."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from shardwatch.shard.version_control.locks import Locks
from shardwatch.shard.version_control.repository import NotBelievedError, open_repository

MALLORY, BOB = 61001, 61002
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="gives files to other users, which only root can")


def located(root: Path, name: bytes = b".git") -> Path:
    """The directory in which the lock file is made."""
    path, fd = open_repository(os.fsencode(root), name)
    os.close(fd)
    return Path(os.fsdecode(path))


def why(root: Path, name: bytes = b".git") -> str:
    """Why what is there does not count."""
    with pytest.raises(NotBelievedError) as refused:
        located(root, name)
    return str(refused.value)


@pytest.fixture
def root(state_dir: Path) -> Path:
    path = state_dir / "r"
    path.mkdir()
    return path


@pytest.fixture
def gitdir(state_dir: Path) -> Path:
    """A directory of git's outside of the root, as a worktree has it."""
    path = state_dir / "main" / ".git" / "worktrees" / "r"
    path.mkdir(parents=True)
    (path / "HEAD").write_text("ref: refs/heads/main\n")
    return path


@pytest.mark.parametrize("name", [b".git", b".hg"])
def test_a_directory_counts(root: Path, name: bytes) -> None:
    """The ordinary repository."""
    (root / os.fsdecode(name)).mkdir()
    assert located(root, name) == root / os.fsdecode(name)


@pytest.mark.parametrize("name", [b".git", b".hg"])
@pytest.mark.parametrize("target", ["/proc", "/dev", "/dev/zero", "/nowhere", "main/.git/worktrees/r"])
def test_a_link_does_not_count(root: Path, gitdir: Path, state_dir: Path, name: bytes, target: str) -> None:
    """Whatever it leads to, and be it a repository: nothing of it is opened."""
    (root / os.fsdecode(name)).symlink_to(state_dir / target)
    assert why(root, name) == "it is a link, or a socket"


def test_what_is_neither_does_not_count(root: Path) -> None:
    """A FIFO is not waited for, a socket not connected to."""
    os.mkfifo(root / ".git")
    assert why(root) == "it is neither a directory nor a file"
    with socket.socket(socket.AF_UNIX) as it:
        it.bind(os.fspath(root / ".hg"))
    assert why(root, b".hg") == "it is a link, or a socket"


@pytest.mark.parametrize("form", ["{}", "{}/", "{}\n", "{}\r\n", "{}/../r"])
def test_a_file_names_a_directory(root: Path, gitdir: Path, form: str) -> None:
    """Of a worktree it is absolute, of a submodule relative."""
    (root / ".git").write_text("gitdir: " + form.format(gitdir))
    assert located(root) == gitdir
    (root / ".git").write_text("gitdir: " + form.format("../main/.git/worktrees/r"))
    assert located(root) == gitdir


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "names no directory"), (b"gitdir: \n", "names no directory"), (b"x", "names no directory"),
        (b"gitdir: /a\0b", "names no directory"), (b"gitdir: /proc\ngitdir: /dev", "names no directory"),
        (b" gitdir: /proc", "names no directory"), (b"gitdir: /" + b"x" * 10_000, "is too long"),
        (b"gitdir: /proc", "has no HEAD"), (b"gitdir: ..", "has no HEAD"), (b"gitdir: .", "has no HEAD"),
    ],
)  # fmt: skip
def test_a_file_that_names_none(root: Path, content: bytes, expected: str) -> None:
    """It may have been written by anybody who could write the root: a directory that is none of git's is not watched."""
    (root / ".git").write_bytes(content)
    assert expected in why(root)


@pytest.mark.parametrize("content", [b"gitdir: /nowhere", b"gitdir: /etc/passwd", b"gitdir: /dev/zero"])
def test_a_file_that_names_what_is_no_directory(root: Path, content: bytes) -> None:
    """Nothing is there: a worktree whose repository was removed, for one."""
    (root / ".git").write_bytes(content)
    with pytest.raises(OSError, match=r"No such file|Not a directory"):
        located(root)


def test_a_gitdir_that_is_a_link_does_not_count(root: Path, gitdir: Path) -> None:
    """Git names the directory itself."""
    (root / "link").symlink_to(gitdir)
    (root / ".git").write_text("gitdir: link")
    with pytest.raises(OSError, match=r"Not a directory|symbolic"):
        located(root)


@pytest.mark.parametrize(("point", "kind", "counts"), [("main", "nfs4", False), ("main", "ext4", True), ("", "nfs4", True)])
def test_a_gitdir_on_a_filesystem_that_can_hang_does_not_count(
    root: Path, gitdir: Path, state_dir: Path, point: str, kind: str, counts: bool
) -> None:
    """To look there could stop the shard, with all that it watches elsewhere. If the root is there too, nothing is added."""
    (root / ".git").write_text(f"gitdir: {gitdir}")
    mounts = [(b"/", "ext4"), (os.fsencode(state_dir / point), kind)]
    if counts:
        _, fd = open_repository(os.fsencode(root), b".git", lambda: mounts)
        os.close(fd)
    else:
        with pytest.raises(NotBelievedError, match="can hang"):
            open_repository(os.fsencode(root), b".git", lambda: mounts)


@needs_root
@pytest.mark.parametrize("what", ["directory", "file", "named", "head"])
def test_another_users_repository_does_not_count(root: Path, gitdir: Path, what: str) -> None:
    """Who may write the root can put a `.git` there: only its owner's is obeyed, the service's user's, and root's."""
    os.chown(root, BOB, BOB)
    at = root / ".git"
    if what == "directory":
        at.mkdir()
    else:
        at.write_text(f"gitdir: {gitdir}")
    planted = {"directory": at, "file": at, "named": gitdir, "head": gitdir / "HEAD"}[what]
    for owner in (0, BOB):
        os.chown(planted, owner, owner)
        assert located(root) == (at if what == "directory" else gitdir)
    os.chown(planted, MALLORY, MALLORY)
    assert f"belongs to user {MALLORY}" in why(root)


@needs_root
def test_a_lock_of_what_is_not_believed_holds_nothing(root: Path, caplog: pytest.LogCaptureFixture) -> None:
    """No watch, no lock, one line in the log; once it belongs to the right user it is obeyed."""
    (root / ".git").mkdir()
    (root / ".git" / "index.lock").touch()
    os.chown(root / ".git", MALLORY, MALLORY)
    locks = Locks([os.fsencode(root)])
    for beat in range(3):
        locks.look(beat * 3_000_000_000)
        assert locks.there == []
    assert "inotify " not in Path(f"/proc/self/fdinfo/{locks.fileno()}").read_text()
    assert [record.message for record in caplog.records] == [
        f"{root}/.git does not count: it belongs to user {MALLORY}, and not to the owner of the root"
    ]
    os.chown(root / ".git", 0, 0)
    locks.look(20_000_000_000)
    assert locks.there == [os.fsencode(root / ".git" / "index.lock")]
    locks.close()


def test_a_link_in_the_place_of_a_repository_holds_nothing(root: Path, gitdir: Path) -> None:
    """Between two beats too, where nothing is watched: the lock file behind it is not believed."""
    locks = Locks([os.fsencode(root)])
    locks.look(0)
    assert locks.there == []
    (gitdir / "index.lock").touch()
    (root / ".git").symlink_to(gitdir)
    locks.look(1)
    assert locks.there == []
    (root / ".git").unlink()
    (root / ".git").write_text(f"gitdir: {gitdir}")
    locks.look(10_000_000_000)
    assert locks.there == [os.fsencode(gitdir / "index.lock")]
    locks.close()
