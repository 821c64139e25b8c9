"""The redo file: what follows a commit is read back as it was written, and nothing else is, whatever a crash has left."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from shardwatch.aggregator.index import redo as redo_module
from shardwatch.aggregator.index.redo import RedoFile, Write
from shardwatch.shard.contract.errors import UsageError

NAME = 7


def transaction(number: int) -> list[Write]:
    return [("INSERT INTO one VALUES (?, ?)", [(number, b"\xff%d" % number), (number, None)]), ("UPDATE two", [(-number,)])]


def read(file: RedoFile, name: int = NAME) -> list[Any]:
    return [[(sql, [tuple(row) for row in rows]) for sql, rows in writes] for writes in file.transactions(name)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "index.db"


@pytest.fixture
def file(path: Path) -> Iterator[RedoFile]:
    file = RedoFile(path, None)
    yield file
    file.close()


def content(path: Path) -> bytes:
    return path.with_name("index.db-redo").read_bytes()


def test_what_follows_a_commit_is_read_back(path: Path, file: RedoFile) -> None:
    """By whoever opens it next, and who can go on with it."""
    assert file.append(NAME, transaction(1))
    assert file.append(NAME, transaction(2))
    again = RedoFile(path, None)
    assert read(again) == [transaction(1), transaction(2)]
    assert again.append(NAME, transaction(3))
    assert read(file) == [transaction(1), transaction(2), transaction(3)]
    again.close()
    assert path.with_name("index.db-redo").stat().st_mode & 0o777 == 0o600


def test_what_follows_another_commit_is_nothing(file: RedoFile) -> None:
    file.append(NAME, transaction(1))
    assert read(file, NAME + 1) == []


def test_what_an_earlier_commit_has_left_is_no_part_of_it(file: RedoFile) -> None:
    """Of the same length, and at the right place: also if the name were the same, the checksum tells."""
    for number in (1, 2, 3):
        file.append(NAME, transaction(number))
    file.begin_anew()
    file.append(NAME, transaction(4))
    assert read(file) == [transaction(4)]


def test_wherever_it_was_cut_off_all_before_is_there(path: Path, file: RedoFile) -> None:
    lengths = [0]
    for number in (1, 2):
        file.append(NAME, transaction(number))
        lengths.append(len(content(path)))
    whole = content(path)
    for length in range(len(whole)):
        path.with_name("index.db-redo").write_bytes(whole[:length])
        assert len(read(file)) == sum(length >= end for end in lengths[1:])


def test_what_was_not_written_whole_ends_it(path: Path, file: RedoFile) -> None:
    """Any byte of it."""
    file.append(NAME, transaction(1))
    first = len(content(path))
    file.append(NAME, transaction(2))
    whole = content(path)
    for place in range(first, len(whole)):
        spoilt = bytearray(whole)
        spoilt[place] ^= 0x10
        path.with_name("index.db-redo").write_bytes(spoilt)
        assert read(file) == [transaction(1)], place


def test_a_disk_that_refuses_is_said_by_the_answer(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The caller commits the database then. What was there before is, still; a write that fails half way leaves nothing."""
    file = RedoFile(path, None)
    file.append(NAME, transaction(1))
    pwrite = os.pwrite

    def refuse(fd: int, data: memoryview, at: int) -> int:
        if len(data) < 20:
            raise OSError(errno.ENOSPC, "No space left on device")
        return pwrite(fd, data[:7], at)

    monkeypatch.setattr(os, "pwrite", refuse)
    assert not file.append(NAME, transaction(2))
    monkeypatch.undo()
    assert read(file) == [transaction(1)]
    file.close()


def test_a_sync_that_fails_is_said_by_the_answer(path: Path) -> None:
    def refuse(fd: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    file = RedoFile(path, refuse)
    assert not file.append(NAME, transaction(1))
    file.close()


def test_it_has_a_bound(file: RedoFile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redo_module, "BYTES_MAX", 200)
    assert file.append(NAME, transaction(1))
    assert file.append(NAME, transaction(2))
    assert not file.append(NAME, transaction(3))
    assert read(file) == [transaction(1), transaction(2)]
    file.empty()
    assert read(file) == []
    assert file.append(NAME, transaction(3))


def test_what_is_no_file_of_ours_is_refused(path: Path, tmp_path: Path) -> None:
    """A link is not followed, and what it leads to is not written."""
    precious = tmp_path / "precious"
    precious.write_bytes(b"precious")
    path.with_name("index.db-redo").symlink_to(precious)
    with pytest.raises(UsageError):
        RedoFile(path, None)
    assert precious.read_bytes() == b"precious"
