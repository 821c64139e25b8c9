"""The store of a fleet's workers in SQLite, as earlier versions have left it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from shardwatch.bridge.fleet.sqlite import SqliteFleetStore
from shardwatch.bridge.fleet.store import FleetPosition, Kept, PathKnown, SourceStanding
from shardwatch.shard.contract.errors import UsageError

#: Its tables, before it was noted what was seen, read and missed.
EARLIER = """
CREATE TABLE fleet_position (partition INTEGER PRIMARY KEY, stream TEXT, grp TEXT, sequence INTEGER);
CREATE TABLE fleet_source (source TEXT, partition INTEGER, begun INTEGER, complete INTEGER,
  PRIMARY KEY (source, partition)) WITHOUT ROWID;
CREATE TABLE fleet_path (source TEXT, path BLOB, generation INTEGER, tick INTEGER, is_there INTEGER,
  is_directory INTEGER, PRIMARY KEY (source, path)) WITHOUT ROWID;
INSERT INTO fleet_position VALUES (0, 'stream', 'g', 7);
INSERT INTO fleet_source VALUES ('host', 0, 2, 1);
INSERT INTO fleet_path VALUES ('host', x'2f61', 2, 5, 1, 0);
"""


def test_a_store_of_an_earlier_version_goes_on(tmp_path: Path) -> None:
    """What it knows stays, what it could not know is nothing, and it takes what comes now; opened again, it is as it was left."""
    with closing(sqlite3.connect(tmp_path / "store")) as connection:
        connection.executescript(EARLIER)
    before, after = FleetPosition("stream", "g", 7), FleetPosition("stream", "g", 9, 8)
    with closing(SqliteFleetStore(tmp_path / "store")) as store:
        assert store.position(0) == before
        assert store.standing("host", 0) == SourceStanding(2, 1)
        assert store.known("host", [b"/a"]) == {b"/a": PathKnown(2, 5, True, False)}
        standings, paths = {"host": SourceStanding(3, 2, 9, 1)}, {("host", b"/b"): PathKnown(3, 6, True, False)}
        assert store.keep(Kept(0, before, after, standings, paths, {}))
    with closing(SqliteFleetStore(tmp_path / "store")) as store:
        assert store.position(0) == after
        assert store.standing("host", 0) == SourceStanding(3, 2, 9, 1)


@pytest.mark.parametrize("autocommit", [True, False])
def test_a_connection_whose_commits_are_others_is_refused(autocommit: bool) -> None:
    """With True nothing would ever be committed; with False whoever has read anything could not commit after others have."""

    class OfPython312(sqlite3.Connection):
        """Made with `autocommit`."""

    OfPython312.autocommit = autocommit  # type: ignore[attr-defined, unused-ignore]
    with closing(sqlite3.connect(":memory:", factory=OfPython312)) as connection, pytest.raises(UsageError) as caught:
        SqliteFleetStore(connection)
    assert "autocommit" in caught.value.message and "leave out" in caught.value.hint
