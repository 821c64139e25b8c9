"""The disk refuses any one statement, or the redo file, in the midst of anything: the next start has what was committed, all of
it and nothing else."""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from engine import rows
from entries import Entry, seen

from shardwatch.aggregator.index.index import Index
from shardwatch.shard.contract.files.packed import FILE
from shardwatch.shard.contract.wire.frames import Gone, Listing, Looks

DIRECTORIES = [b"/r/%d" % number for number in range(6)]
NAMES = [b"%d" % number for number in range(8)]


class Refusing(sqlite3.Connection):
    """Refuses the statement with a number, and waits for no disk."""

    statements = 0
    refused = 0
    #: not done | done: the answer is lost | undone: with the whole transaction, as SQLite does where it has no room.
    how = "not done"

    def _counted(self, run: Callable[..., Any], *arguments: Any) -> Any:
        Refusing.statements += 1
        if Refusing.statements != Refusing.refused:
            return run(*arguments)
        if self.how == "done":
            run(*arguments)
        if self.how == "undone" and self.in_transaction:
            super().execute("ROLLBACK")
        raise sqlite3.OperationalError("database or disk is full")

    def execute(self, sql: str, *arguments: Any) -> Any:
        sql = "PRAGMA synchronous=OFF" if sql.startswith("PRAGMA synchronous=") else sql
        return self._counted(super().execute, sql, *arguments)

    def executemany(self, *arguments: Any) -> Any:
        return self._counted(super().executemany, *arguments)


def opened(path: Path) -> Index:
    return Index(path, connect=lambda path: sqlite3.connect(path, isolation_level=None, factory=Refusing))


def entry(directory: int, name: int, version: int, nlink: int = 1) -> Entry:
    return (NAMES[name], FILE, 1, 1 + 10 * directory + name, nlink, version, version, version, False)


def some(index: Index, version: int, name: int) -> None:
    """One file of each directory has changed; the commit may be deferred."""
    index.begin()
    looks = [Looks(path, version, *seen([entry(number, name, version)]), []) for number, path in enumerate(DIRECTORIES)]
    for left in index.records.scattered(looks):
        index.records.looks(left, ())
    index.commit(may_defer=True)


def one(index: Index, number: int, *entries: Entry) -> None:
    index.begin()
    index.records.listing(Listing(DIRECTORIES[number], 9, *seen(entries)), ())
    index.commit()


def gone(index: Index, number: int) -> None:
    index.begin()
    index.records.gone(Gone(DIRECTORIES[number], 9), ())
    index.commit()


#: Files leave pages and come back to them, as rows that change again; one has several names; what is gone is forgotten.
STEPS: Sequence[Callable[[Index], object]] = (
    lambda index: some(index, 2, 3),
    lambda index: some(index, 3, 3),
    lambda index: one(index, 0, *(entry(0, name, 4) for name in range(8))),
    lambda index: some(index, 5, 4),
    lambda index: gone(index, 1),
    lambda index: index.tombstones.collect({0: index.tick}, 1 << 62),
    lambda index: index.consumers.keep({"g": index.tick}),
    lambda index: some(index, 6, 5),
    lambda index: one(index, 2, *(entry(2, name, 7, nlink=1 + (name == 0)) for name in range(8))),
    lambda index: some(index, 8, 6),
    lambda index: index.commit_deferred(),
)


def said(index: Index) -> object:
    ticks = [(row.path, row.tick, row.kind) for row in index.backlog.pending(0, 0, 1000).rows]
    return rows(index), ticks, index.files, index.directories, index.consumers.known(), index.backlog.collected


@pytest.fixture
def content(tmp_path: Path) -> bytes:
    """The file of an index with pages."""
    index = Index(tmp_path / "first.db")
    index.begin()
    for number, path in enumerate(DIRECTORIES):
        index.records.listing(Listing(path, 1, *seen(entry(number, name, 1) for name in range(8))), ())
    index.commit()
    index.close()
    return (tmp_path / "first.db").read_bytes()


@pytest.fixture(autouse=True)
def _refuses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("statements", 0), ("refused", 0), ("how", "not done")):
        monkeypatch.setattr(Refusing, name, value)


def after_a_refusal(place: Path, content: bytes, refuse: Callable[[], None]) -> tuple[int, object]:
    """How many steps were done before one was refused, and what the next start finds."""
    place.mkdir()
    path = place / "index.db"
    path.write_bytes(content)
    index = opened(path)
    done = 0
    refuse()
    with pytest.raises(sqlite3.OperationalError):
        for step in STEPS:
            index.backlog.note_handed(0, index.tick)
            step(index)
            done += 1
    index.abandon()
    Refusing.refused = 0
    index = opened(path)
    found = said(index)
    index.close()
    return done, found


def test_any_statement_is_refused(content: bytes, tmp_path: Path) -> None:
    """One after the other, in turn in each way."""
    states = expected(content, tmp_path)
    last = Refusing.statements
    assert last > 100
    for number in range(1, last + 1):

        def refuse(number: int = number) -> None:
            Refusing.statements, Refusing.refused = 0, number
            Refusing.how = ("not done", "done", "undone")[number % 3]

        done, found = after_a_refusal(tmp_path / str(number), content, refuse)
        assert found in states[done : done + 2], f"statement {number}, {Refusing.how}, in step {done}"


def expected(content: bytes, tmp_path: Path) -> list[object]:
    """What the index says before and after each step where nothing is refused. The statements of the steps are counted."""
    (tmp_path / "index.db").write_bytes(content)
    index = opened(tmp_path / "index.db")
    states = [said(index)]
    Refusing.statements = 0
    deferred = 0
    for step in STEPS:
        index.backlog.note_handed(0, index.tick)
        step(index)
        deferred += index.deferring
        before = Refusing.statements
        states.append(said(index))
        Refusing.statements = before
    index.abandon()
    assert deferred >= 4
    return states


@pytest.mark.parametrize("written", [0.0, 0.5, 1.0])
def test_the_redo_file_is_refused(content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: float) -> None:
    """Whatever part of a transaction was written there, the database has it."""
    states = expected(content, tmp_path)
    pwrite, writes = os.pwrite, 0

    def refused(fd: int, data: bytes, at: int) -> int:
        nonlocal writes
        writes += 1
        if writes != refused_at:
            return pwrite(fd, data, at)
        pwrite(fd, bytes(data)[: int(len(data) * written)], at)
        raise OSError(errno.ENOSPC, "no room")

    monkeypatch.setattr(os, "pwrite", refused)
    for refused_at in range(1, 5):
        writes = 0
        place = tmp_path / f"{refused_at}"
        place.mkdir()
        (place / "index.db").write_bytes(content)
        index = opened(place / "index.db")
        for step, state in zip(STEPS, states[1:], strict=True):
            index.backlog.note_handed(0, index.tick)
            step(index)
            assert said(index) == state
        index.abandon()
        index = opened(place / "index.db")
        assert said(index) == states[-1]
        index.close()
