"""How the databases await the disk, by what is to survive. What a loss of power leaves of them is test_power's."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from shardwatch.aggregator.groups.schema import open_groups
from shardwatch.aggregator.index.index import Index
from shardwatch.aggregator.storage.durability import TEMPORARY

#: SQLite's numbers of OFF, NORMAL and FULL (PRAGMA synchronous).
LEVELS = {TEMPORARY: 0, "process": 1, "power": 2}


def level(db: Any) -> int:
    return int(db.execute("PRAGMA synchronous").fetchone()[0])


@pytest.mark.parametrize("durability", LEVELS)
def test_ordinary_commits(tmp_path: Path, durability: str) -> None:
    index = Index(tmp_path / "index.db", durability=durability)
    assert level(index.file.db) == LEVELS[durability]
    index.close()
    groups = open_groups(tmp_path / "groups.db", durability, lambda path: sqlite3.connect(path, isolation_level=None))
    assert level(groups) == LEVELS[durability]
    groups.close()


@pytest.mark.parametrize("durability", LEVELS)
def test_what_has_to_be_on_the_disk_under_every_durability(tmp_path: Path, durability: str) -> None:
    """The file, its schema and the ticks that are reserved; nothing of a temporary file has to be."""
    levels: list[int] = []

    class Noting(sqlite3.Connection):
        def execute(self, sql: str, *arguments: Any) -> sqlite3.Cursor:
            if sql.startswith(("PRAGMA journal_mode", "UPDATE state SET tick")):
                levels.append(level(super()))
            return super().execute(sql, *arguments)

    index = Index(
        tmp_path / "index.db",
        durability=durability,
        connect=lambda path: sqlite3.connect(path, isolation_level=None, factory=Noting),
    )
    index.close()
    assert levels[:2] == ([0, 0] if durability == TEMPORARY else [2, 2])
