"""Directories as they are read: large ones, and those whose names lie on several devices. Real files, but for the device."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from shardwatch.shard.contract.files.packed import DIRECTORY, FILE, WIDTH, kinds, pieces, unpack
from shardwatch.shard.contract.filter.filter import Filter
from shardwatch.shard.disk.disk import Disk
from shardwatch.shard.disk.look import Reader, in_order
from shardwatch.shard.disk.reading import NAMES_AT_ONCE


@pytest.fixture
def fd(tmp_path: Path) -> Iterator[int]:
    """The directory of the test."""
    opened = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    yield opened
    os.close(opened)


class Counted(Disk):
    """Notes how many names each call looks at."""

    def __init__(self) -> None:
        self.calls: list[int] = []

    def look_at(
        self, fd: int, names: list[bytes], start: int, coarse_ns: int, device: int, invented: bool
    ) -> tuple[bytes, int]:
        found = super().look_at(fd, names, start, coarse_ns, device, invented)
        self.calls.append(len(names) - start)
        return found


class Patchwork(Disk):
    """As if each name were on another device than the one before it, as on an overlay of several filesystems."""

    def look_at(
        self, fd: int, names: list[bytes], start: int, coarse_ns: int, device: int, invented: bool
    ) -> tuple[bytes, int]:
        real = os.fstat(fd).st_dev
        if start < len(names) and device != start:
            return b"", start
        stats, _ = super().look_at(fd, names[: start + 1], start, coarse_ns, real, invented)
        return stats, start + 1 if start + 1 < len(names) else device


def test_signs_of_life_are_given_while_a_large_directory_is_looked_at(tmp_path: Path, fd: int) -> None:
    """A look at a million names takes seconds. Whoever is silent for so long is taken for hung, and killed."""
    disk, signs = Counted(), []
    reader = Reader(
        Filter(("*.json",), ()), state_dir=b"/nowhere", disk=disk, on_progress=lambda: signs.append(len(disk.calls))
    )
    (tmp_path / "d").mkdir()
    count = 3 * NAMES_AT_ONCE + 7
    os.close(os.open(b"0.json", os.O_CREAT | os.O_WRONLY, 0o600, dir_fd=fd))
    for number in range(1, count):
        os.link(b"0.json", b"%d.json" % number, src_dir_fd=fd, dst_dir_fd=fd)
    seen, directories = reader.directory(os.fsencode(tmp_path), fd, b"")
    assert directories == [b"d"]
    assert seen.names == sorted([b"d", *(b"%d.json" % number for number in range(count))])
    assert sorted(kinds(seen.stats)) == [FILE] * count + [DIRECTORY]
    assert {stat[5] for name, stat in zip(seen.names, unpack(seen.stats), strict=True) if name != b"d"} == {count}
    assert disk.calls[-4:] == [NAMES_AT_ONCE, NAMES_AT_ONCE, NAMES_AT_ONCE, 7]
    # Of 3,008 entries, 3 signs while they are read; of 4 parts, one while each is filtered, sorted and looked at, and one merge.
    assert signs.count(0) == 3 + 4 + 4 + 1
    assert sorted(set(signs)) == sorted({0, *range(len(disk.calls) - 3, len(disk.calls) + 1)})


def test_signs_of_life_are_given_while_many_directories_are_filtered(tmp_path: Path, fd: int) -> None:
    """As for files."""
    signs: list[None] = []
    reader = Reader(Filter(("*.json",), ("*.d",)), state_dir=b"/nowhere", on_progress=lambda: signs.append(None))
    names = [b"%d%s" % (number, b".d" if number % 2 else b"") for number in range(2 * NAMES_AT_ONCE + 1)]
    assert reader.watched(os.fsencode(tmp_path), b"", names) == names[::2]
    assert len(signs) == 3


@pytest.mark.parametrize("count", [0, 1, 2, NAMES_AT_ONCE, NAMES_AT_ONCE + 1, 17 * NAMES_AT_ONCE + 3])
def test_names_are_sorted_in_parts(count: int) -> None:
    """As by one call, with a sign of life after each part and each merge."""
    names = [b"%d" % number for number in range(count)]
    random.Random(count).shuffle(names)
    before, signs = list(names), list[None]()
    assert in_order(names, lambda: signs.append(None)) == sorted(names)
    assert names == before
    parts = -(-count // NAMES_AT_ONCE)
    assert len(signs) == {0: 0, 1: 0, 2: 2 + 1, 18: 18 + 3 + 1}[parts]


def test_a_small_directory_is_looked_at_in_silence(tmp_path: Path, fd: int) -> None:
    """Most are: a sign for each would cost more than it tells."""
    (tmp_path / "f.json").write_text("x")
    signs: list[None] = []
    reader = Reader(Filter(("*.json",), ()), state_dir=b"/nowhere", on_progress=lambda: signs.append(None))
    assert reader.directory(os.fsencode(tmp_path), fd, b"")[0].names == [b"f.json"]
    assert signs == []


def test_names_on_many_devices_are_all_looked_at(tmp_path: Path, fd: int) -> None:
    """Of each filesystem is asked whether it invents its inode numbers; no name is left out or takes another's stat."""
    names = [b"%d.json" % number for number in range(9)]
    for number, name in enumerate(names):
        (tmp_path / os.fsdecode(name)).write_bytes(b"x" * number)
    reader = Reader(Filter(("*.json",), ()), state_dir=b"/nowhere", disk=Patchwork())
    stats = reader.stats(os.fsencode(tmp_path), names, fd, 1 << 62)
    assert len(stats) == WIDTH * len(names)
    assert [fields[1] for fields in unpack(stats)] == list(range(9))
    assert len(set(pieces(stats))) == 9


def test_where_links_are_followed_only_links_are_looked_at(tmp_path: Path, fd: int) -> None:
    """A directory may be the mount point of a filesystem that hangs: a listing of the one above it does not touch it."""
    (tmp_path / "mounted").mkdir()
    (tmp_path / "elsewhere").symlink_to(tmp_path / "mounted")
    (tmp_path / "circle").symlink_to(tmp_path)

    class Asked(Disk):
        def loops(self, path: bytes) -> bool:
            asked.append(os.path.basename(path))
            return super().loops(path)

    asked: list[bytes] = []
    reader = Reader(Filter(("*",), ()), state_dir=b"/nowhere", follow=True, disk=Asked())
    files, directories = reader.listed(os.fsencode(tmp_path), fd, b"")
    assert (sorted(files), sorted(directories)) == ([b"circle"], [b"elsewhere", b"mounted"])
    assert sorted(asked) == [b"circle", b"elsewhere"]
