"""Reading the names of a directory, and looking at names: on real files, and where the kernel says something unusual."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from shardwatch.shard.contract.files.packed import (
    A_DIRECTORY,
    ANOTHER,
    FILE,
    INT_MAX,
    INT_MIN,
    LINK,
    NLINK_MAX,
    NOTHING,
    WIDTH,
    pack,
    pieces,
    unpack,
)
from shardwatch.shard.disk.reading import NAMES_AT_ONCE, list_names, look_at, packed, sorted_out

_LATER = 1 << 62


@pytest.fixture
def fd(tmp_path: Path) -> Iterator[int]:
    """The directory of the test."""
    opened = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    yield opened
    os.close(opened)


def quiet() -> None:
    """Takes signs of life, and does nothing."""


def names(fd: int) -> tuple[list[bytes], list[bytes]]:
    """What is listed, in the order of names."""
    others, directories = list_names(fd, quiet)
    return sorted(others), sorted(directories)


class Listed:
    """An entry of a listing."""

    def __init__(self, name: str, is_dir: bool | OSError) -> None:
        self.name = name
        self._is_dir = is_dir

    def is_dir(self, *, follow_symlinks: bool = True) -> bool:
        assert not follow_symlinks
        if isinstance(self._is_dir, OSError):
            raise self._is_dir
        return self._is_dir


# -- names


def test_names_are_told_apart_by_what_they_are(tmp_path: Path, fd: int) -> None:
    """A link is no directory, whatever it leads to; nor is what is no file either."""
    (tmp_path / "d").mkdir()
    (tmp_path / "f").write_text("x")
    (tmp_path / "l").symlink_to("d")
    (tmp_path / "nowhere").symlink_to("nowhere")
    os.mkfifo(tmp_path / "p")
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(tmp_path / "s"))
    assert names(fd) == ([b"f", b"l", b"nowhere", b"p", b"s"], [b"d"])


def test_an_empty_directory_has_no_names(fd: int) -> None:
    """Neither "." nor ".."."""
    assert list_names(fd, quiet) == ([], [])


def test_names_may_contain_every_byte(tmp_path: Path, fd: int) -> None:
    """All that a filesystem takes: everything but NUL and the slash, up to the longest name."""
    made = [bytes([byte]) for byte in range(1, 256) if bytes([byte]) not in b"./"]
    made += [b"..x", b".x", b"\xff" * 255, b"a\nb", b"\xc3\xa4"]
    for name in made:
        os.close(os.open(name, os.O_CREAT | os.O_WRONLY, 0o600, dir_fd=fd))
    assert names(fd) == (sorted(made), [])
    stats, _ = look_at(fd, sorted(made), 0, _LATER, tmp_path.stat().st_dev, False)
    assert [fields[6] for fields in unpack(stats)] == [FILE] * len(made)


def test_a_descriptor_is_read_from_the_beginning_each_time(tmp_path: Path, fd: int) -> None:
    """A directory is listed through the same descriptor again and again."""
    for number in range(2_000):
        (tmp_path / f"{number:04}").touch()
    first = names(fd)
    (tmp_path / "later").touch()
    assert len(first[0]) == 2_000
    assert names(fd) == (sorted([*first[0], b"later"]), [])


def test_a_listing_that_breaks_off_is_no_fact(fd: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else every name after the error would be taken for deleted."""

    def items() -> Iterator[Listed]:
        yield Listed("a", False)
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch, pytest.raises(OSError) as raised:
        patch.setattr(os, "scandir", lambda fd: contextlib.nullcontext(items()))
        list_names(fd, quiet)
    assert raised.value.errno == errno.EIO


def test_what_is_no_directory_can_not_be_listed(tmp_path: Path) -> None:
    """The error of the kernel is passed on."""
    (tmp_path / "f").write_text("x")
    fd = os.open(tmp_path / "f", os.O_RDONLY)
    try:
        with pytest.raises(NotADirectoryError):
            list_names(fd, quiet)
    finally:
        os.close(fd)


def test_a_name_that_can_not_be_told_is_an_error() -> None:
    """Where the filesystem does not say what a name is, and a look at it fails."""
    with pytest.raises(PermissionError):
        sorted_out([Listed("a", False), Listed("b", PermissionError(errno.EACCES, "Permission denied"))], quiet)


def test_a_name_that_is_given_twice_is_what_it_was_last() -> None:
    """readdir(3) may do so while the directory changes."""
    assert sorted_out([Listed("a", False), Listed("b", False), Listed("a", True)], quiet) == ([b"b"], [b"a"])
    assert sorted_out([Listed("a", True), Listed("a", False)], quiet) == ([b"a"], [])


@pytest.mark.parametrize(("count", "signs"), [(NAMES_AT_ONCE - 1, 0), (NAMES_AT_ONCE, 1), (2 * NAMES_AT_ONCE + 7, 2)])
def test_signs_of_life_are_given_while_names_are_read(count: int, signs: int) -> None:
    """One after each so many entries, whatever they are, and however often a name is given."""
    given: list[int] = []
    read = 0

    def items() -> Iterator[Listed]:
        nonlocal read
        for read in range(1, count + 1):
            yield Listed(str(read // 2), read % 3 == 0)

    sorted_out(items(), lambda: given.append(read))
    assert given == [NAMES_AT_ONCE * number for number in range(1, signs + 1)]


def test_what_a_sign_of_life_raises_ends_the_listing(tmp_path: Path, fd: int) -> None:
    """And the next one begins at the beginning."""
    for number in range(NAMES_AT_ONCE + 1):
        (tmp_path / f"{number:04}").touch()
    with pytest.raises(ZeroDivisionError):
        list_names(fd, lambda: 1 // 0)
    assert len(list_names(fd, quiet)[0]) == NAMES_AT_ONCE + 1


# -- looks


def test_a_look_packs_what_lstat_says(tmp_path: Path, fd: int) -> None:
    """In the order of the names, of a link itself, and nothing of a directory but that it is one."""
    (tmp_path / "d").mkdir()
    (tmp_path / "f").write_text("four")
    os.link(tmp_path / "f", tmp_path / "g")
    (tmp_path / "l").symlink_to("d")
    os.mkfifo(tmp_path / "p")
    device = tmp_path.stat().st_dev
    stats, same = look_at(fd, [b"l", b"d", b"none", b"p", b"f", b"f/under", b"l/x"], 0, _LATER, device, False)
    st, link = os.lstat(tmp_path / "f"), os.lstat(tmp_path / "l")
    assert same == device
    assert pieces(stats) == [
        pack(link.st_ino, 1, link.st_mtime_ns, link.st_ctime_ns, device, 1, LINK, 0),
        A_DIRECTORY,
        NOTHING,
        ANOTHER,
        pack(st.st_ino, 4, st.st_mtime_ns, st.st_ctime_ns, device, 2, FILE, 0),
        NOTHING,
        NOTHING,
    ]


def test_a_look_may_begin_in_the_midst(tmp_path: Path, fd: int) -> None:
    """After the names that were looked at before."""
    for name in "abc":
        (tmp_path / name).write_text(name * 3)
    device = tmp_path.stat().st_dev
    whole, _ = look_at(fd, [b"a", b"b", b"c"], 0, _LATER, device, False)
    for start in range(4):
        assert look_at(fd, [b"a", b"b", b"c"], start, _LATER, device, False) == (whole[start * WIDTH :], device)


def test_a_look_ends_before_another_device(tmp_path: Path, fd: int) -> None:
    """So that the caller can ask whether that filesystem invents its inode numbers. What is not there is on no device."""
    (tmp_path / "a").write_text("x")
    device = tmp_path.stat().st_dev
    assert look_at(fd, [b"none", b"a", b"b"], 0, _LATER, -1, False) == (NOTHING, device)
    assert look_at(fd, [b"none"], 0, _LATER, -1, False) == (NOTHING, -1)
    proc = os.open("/", os.O_RDONLY | os.O_DIRECTORY)
    try:
        root = os.stat("/").st_dev
        stats, other = look_at(proc, [b"none", b"proc", b"none"], 0, _LATER, root, False)
        assert (stats, other) == (NOTHING, os.stat("/proc").st_dev)
    finally:
        os.close(proc)


def test_inode_numbers_that_are_invented_are_left_out(tmp_path: Path, fd: int) -> None:
    """They would differ the next time."""
    (tmp_path / "a").write_text("x")
    device = tmp_path.stat().st_dev
    honest, invented = (look_at(fd, [b"a"], 0, _LATER, device, left_out)[0] for left_out in (False, True))
    assert honest[:8] != invented[:8] == bytes(8)
    assert honest[8:] == invented[8:]


def test_a_look_too_soon_after_a_change_is_racy(tmp_path: Path, fd: int) -> None:
    """By the clock that was read before the look."""
    (tmp_path / "a").write_text("x")
    st = os.lstat(tmp_path / "a")
    for coarse, racy in ((st.st_ctime_ns, 1), (st.st_ctime_ns + 10**10, 0)):
        assert look_at(fd, [b"a"], 0, coarse, st.st_dev, False)[0][45] == racy


@pytest.mark.parametrize("code", [errno.EACCES, errno.EIO, errno.ENAMETOOLONG, errno.EBADF])
def test_an_error_is_no_absence(fd: int, code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only ENOENT, ENOTDIR and ELOOP are. The name is told."""

    def refuse(name: bytes, **_: object) -> os.stat_result:
        raise OSError(code, os.strerror(code), name)

    with monkeypatch.context() as patch, pytest.raises(OSError) as raised:
        patch.setattr(os, "stat", refuse)
        look_at(fd, [b"a"], 0, _LATER, -1, False)
    assert (raised.value.errno, raised.value.filename) == (code, b"a")


def test_the_error_of_the_kernel_is_passed_on(fd: int) -> None:
    """With the name that could not be looked at."""
    name = b"x" * 256
    with pytest.raises(OSError) as raised:
        look_at(fd, [b"none", name], 0, _LATER, -1, False)
    assert (raised.value.errno, raised.value.filename) == (errno.ENAMETOOLONG, name)


class Odd:
    """A stat of a file as no usual filesystem has it."""

    def __init__(self, **fields: int) -> None:
        made = {"st_mode": 0o100644, "st_ino": 1, "st_dev": 1, "st_nlink": 1, "st_size": 1, "st_mtime_ns": 1, "st_ctime_ns": 1}
        self.__dict__.update(made | fields)


def test_values_beyond_a_field_are_limited_to_it() -> None:
    """Times beyond the year 2262, inode numbers of 64 bits, and more names than any filesystem allows."""
    for field, value, place, limited in (
        ("st_ino", 2**64 - 1, 0, INT_MAX), ("st_mtime_ns", 2**70, 2, INT_MAX), ("st_mtime_ns", -(2**70), 2, INT_MIN),
        ("st_ctime_ns", 2**63, 3, INT_MAX), ("st_ctime_ns", -(2**63) - 1, 3, INT_MIN), ("st_dev", 2**64 - 1, 4, INT_MAX),
        ("st_nlink", 2**32, 5, NLINK_MAX),
    ):  # fmt: skip
        (fields,) = unpack(packed(Odd(**{field: value}), 1 << 61, False))  # type: ignore[arg-type]
        usual = [1, 1, 1, 1, 1, 1, FILE, 0]
        usual[place] = limited
        assert list(fields) == usual, field


def test_a_time_that_was_limited_is_racy_by_what_is_stored() -> None:
    """Later looks compare the stored time, so it is the one that may stay equal."""
    for ctime, coarse, racy in ((-(2**70), INT_MIN, 1), (-(2**70), INT_MIN + 10**10, 0), (2**70, INT_MAX, 1)):
        assert packed(Odd(st_ctime_ns=ctime), coarse, False)[45] == racy  # type: ignore[arg-type]
