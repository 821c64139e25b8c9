"""Whose files count: those of the caller and of root, in directories where nobody else can put another in their place."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

import pytest
from descriptors import descriptors, opened_since

from shardwatch.shard.contract.errors import UsageError
from shardwatch.shard.contract.state.trust import open_believed, open_regular, read_at_most, replaceable, stranger


def a_stat(mode: int, uid: int = 1000, gid: int = 1000) -> os.stat_result:
    """What a stat would say of something with this mode and owner."""
    return os.stat_result((mode, 1, 1, 1, uid, gid, 0, 0, 0, 0))


def believed(path: Path) -> bytes:
    """The content of a file that counts."""
    fd = open_believed(path)
    try:
        return read_at_most(fd, 1000)
    finally:
        os.close(fd)


def why(path: Path) -> str:
    """Why it does not count."""
    with pytest.raises(UsageError) as refused:
        open_believed(path)
    return refused.value.message


def put(path: Path, kind: str) -> None:
    """Something that is no regular file."""
    if kind == "FIFO":
        os.mkfifo(path)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as it:
            it.bind(os.fspath(path))
    elif kind == "link":
        path.symlink_to("/dev/zero")
    else:
        path.mkdir()


@pytest.mark.parametrize("kind", ["FIFO", "socket", "link", "directory"])
def test_only_a_regular_file_is_opened(state_dir: Path, kind: str) -> None:
    """Whatever lies in its place: an error at once, without waiting for anybody."""
    put(state_dir / "x", kind)
    with pytest.raises(OSError, match=r"regular|symbolic|No such device"):
        open_regular(state_dir / "x")


def test_a_device_is_no_regular_file() -> None:
    """/dev/zero would never end."""
    with pytest.raises(OSError, match="not a regular file"):
        open_regular("/dev/zero")


def test_a_link_is_followed_only_where_asked(tmp_path: Path) -> None:
    """By whoever was named the path by the caller; also then it must lead to a regular file."""
    (tmp_path / "file").write_bytes(b"content")
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "null").symlink_to("/dev/null")
    fd = open_regular(tmp_path / "link", follow=True)
    assert read_at_most(fd, 100) == b"content"
    os.close(fd)
    with pytest.raises(OSError, match="not a regular file"):
        open_regular(tmp_path / "null", follow=True)


@pytest.mark.parametrize(("length", "fits"), [(0, True), (9, True), (10, True), (11, False), (10_000_000, False)])
def test_what_is_read_is_bounded(tmp_path: Path, length: int, fits: bool) -> None:
    """A longer file is refused, however long it says to be (it may grow while it is read)."""
    path = tmp_path / "file"
    path.write_bytes(b"")
    os.truncate(path, length)
    fd = open_regular(path)
    try:
        if fits:
            assert read_at_most(fd, 10) == bytes(length)
        else:
            with pytest.raises(OSError, match="longer than 10 bytes"):
                read_at_most(fd, 10)
    finally:
        os.close(fd)


@pytest.mark.parametrize(("owner", "caller", "counts"), [(0, 1, True), (1, 1, True), (2, 1, False), (1, 0, False), (0, 0, True)])
def test_the_caller_and_root_are_believed(owner: int, caller: int, counts: bool) -> None:
    """Nobody else: root does not believe its users either."""
    assert (stranger(a_stat(stat.S_IFREG | 0o600, owner), caller) == "") is counts


@pytest.mark.parametrize(
    ("mode", "private_group", "expected"),
    [
        (0o700, False, False), (0o755, False, False), (0o775, False, True), (0o757, False, True), (0o777, False, True),
        (0o1777, False, False), (0o1775, False, False), (0o775, True, False), (0o777, True, True),
    ],
)  # fmt: skip
def test_who_can_replace_a_file_in_a_directory(mode: int, private_group: bool, expected: bool) -> None:
    """Everybody who may write it, unless it is sticky; the group of one member counts as that member."""
    assert replaceable(a_stat(stat.S_IFDIR | mode), private_group) is expected


def test_a_file_of_ours_is_believed(tmp_path: Path) -> None:
    """The ordinary case: all directories from the root on are ours or root's."""
    path = tmp_path / "a" / "b" / "file"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"content")
    assert believed(path) == b"content"


@pytest.mark.parametrize("kind", ["FIFO", "socket", "link"])
def test_what_is_no_file_is_not_believed(state_dir: Path, kind: str) -> None:
    """And the reason says what it is."""
    put(state_dir / "x", kind)
    assert why(state_dir / "x") == f"{state_dir}/x " + ("is a link" if kind == "link" else "is not a regular file")


def test_what_others_can_replace_is_not_believed(tmp_path: Path) -> None:
    """A directory on the way that all may write; a link on the way."""
    path = tmp_path / "a" / "b" / "file"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"content")
    (tmp_path / "a").chmod(0o777)
    assert why(path) == f"its directory {tmp_path}/a can be written by others (mode 0777)"
    (tmp_path / "a").chmod(0o1777)
    assert believed(path) == b"content"
    (tmp_path / "link").symlink_to("a")
    assert why(tmp_path / "link" / "b" / "file") == f"{tmp_path}/link is a link"


def test_a_second_name_in_a_shared_directory_is_not_believed(tmp_path: Path) -> None:
    """Somebody else may have linked there what we wrote for another place."""
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    (tmp_path / "mine").write_bytes(b"content")
    os.link(tmp_path / "mine", shared / "file")
    assert "has 2 names" in why(shared / "file")
    (tmp_path / "mine").unlink()
    assert believed(shared / "file") == b"content"


def test_what_is_not_there_is_said_as_the_system_does(tmp_path: Path) -> None:
    """An OSError: there is nothing to distrust."""
    for path in (tmp_path / "none", tmp_path / "none" / "file"):
        with pytest.raises(FileNotFoundError):
            open_believed(path)


def test_nothing_is_left_open(tmp_path: Path) -> None:
    """Whatever the outcome, no descriptor stays."""
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "link").symlink_to("file")
    before = descriptors()
    believed(tmp_path / "file")
    why(tmp_path / "link")
    with pytest.raises(OSError, match="No such file"):
        open_believed(tmp_path / "none")
    assert opened_since(before) == []
