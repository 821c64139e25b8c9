"""What is remembered of filesystems, by their device numbers."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from shardwatch.shard.contract.files.identity import INVENTS_INODES
from shardwatch.shard.disk.disk import Disk
from shardwatch.shard.disk.filesystems import Filesystems
from shardwatch.shard.disk.statx import filesystem_type


class Told(Disk):
    """Says of each file what it is told to say next."""

    def __init__(self, *types: int) -> None:
        self.types = list(types)

    def filesystem_type(self, name: bytes, fd: int) -> int:
        return self.types.pop(0)


def test_what_cannot_be_found_out_now_is_asked_again() -> None:
    """As long as no descriptor is left, or the file is gone: a verdict would hold until something is mounted, and inode numbers
    that are made up would count as others' files."""
    fat = min(INVENTS_INODES)
    filesystems = Filesystems(Told(-1, -1, fat, 0))
    for expected in (False, False, True, True):
        assert filesystems.invents(7, b"f.json", 0) is expected
        assert filesystems.last == ((7, True) if expected else (-1, False))
    assert filesystems.invents(8, b"f.json", 0) is filesystems.invents(8, b"f.json", 0) is False  # it never says
    assert filesystems.last == (8, False)


@pytest.mark.parametrize("name", [b".", b"f"])
def test_the_type_of_a_filesystem_is_that_of_the_file(tmp_path: Path, name: bytes) -> None:
    """Of a directory that is open it can be said without another descriptor."""
    (tmp_path / "f").write_text("x")
    fd, proc = (os.open(path, os.O_RDONLY | os.O_DIRECTORY) for path in (tmp_path, "/proc"))
    try:
        there = filesystem_type(name, fd)
        assert there > 0 and there == filesystem_type(b".", fd)
        assert filesystem_type(b".", proc) == filesystem_type(b"mounts", proc) == 0x9FA0
        assert filesystem_type(b"none", fd) == -1
    finally:
        os.close(fd)
        os.close(proc)
