"""Is a directory with very many names read to its end, by native code and by Python code?"""

from __future__ import annotations

import os
import shutil

import pytest
import session

from shardwatch.shard.disk.reading import NAMES_AT_ONCE, list_names, look_at

_loops = pytest.importorskip("shardwatch.shard.compiled._loops", reason="native code is not built here (Debian: gcc)")


def test_a_million_names_are_listed() -> None:
    """Rule 9 of a listing: each name once, to the end; with a sign of life after each thousand, because the whole takes seconds.
    (In memory, and all of one file: that is quick to make.)"""
    at = session.place(where=session.memory())
    fd = os.open(at, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.mknod(b"0", 0o600, dir_fd=fd)
        for number in range(1, 1_000_000):
            os.link(b"0", b"%d" % number, src_dir_fd=fd, dst_dir_fd=fd)
        signs: list[int] = []
        names, directories = _loops.list_names(fd, lambda: signs.append(1))
        assert len(signs) == 1_000_000 // NAMES_AT_ONCE
        assert directories == []
        assert len(names) == 1_000_000
        assert set(names) == {b"%d" % number for number in range(1_000_000)}
        assert (names, directories) == list_names(fd, lambda: signs.append(2))
        assert signs.count(2) == signs.count(1)
        stats, device = _loops.look_at(fd, names[-1_000:], 0, 0, os.fstat(fd).st_dev, False)
        assert (stats, device) == look_at(fd, names[-1_000:], 0, 0, device, False)
    finally:
        os.close(fd)
        shutil.rmtree(at)
