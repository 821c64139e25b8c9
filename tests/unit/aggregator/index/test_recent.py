"""Where files have changed since a tick, counted in the file of an index: in rows and in pages, whatever their lane."""

from __future__ import annotations

from pathlib import Path

import pytest
from entries import seen
from index_rows import pages

from shardwatch.aggregator.index.index import Index
from shardwatch.aggregator.index.reading import IndexReader
from shardwatch.aggregator.index.recent import changed_since
from shardwatch.shard.contract.errors import ServiceError
from shardwatch.shard.contract.files.packed import FILE
from shardwatch.shard.contract.wire.frames import Listing, Looks


def test_changes_are_counted_by_directory(tmp_path: Path) -> None:
    """Forty files come to lie in a page; of three others, two change later; of many, the latest are counted."""
    index = Index(tmp_path / "index.db")

    def lists(path: bytes, names: list[bytes], version: int) -> None:
        index.begin()
        found = seen([(name, FILE, 1, sum(name), 1, version, version, version, False) for name in sorted(names)])
        index.records.listing(Listing(path, 100, *found), ())
        index.commit()

    def looks(path: bytes, names: list[bytes], version: int) -> None:
        index.begin()
        names_, stats = seen([(name, FILE, 1, sum(name), 1, version, version, version, False) for name in sorted(names)])
        index.records.looks(Looks(path, 200, names_, stats, []), ())
        index.commit()

    lists(b"/r/few", [b"a", b"b", b"c"], 1)
    between = index.tick
    lists(b"/r/many", [b"%02d" % number for number in range(40)], 1)
    index.backlog.note_handed(0, index.tick)
    assert [page.dir for page in pages(index)], "they lie in a page"
    looks(b"/r/few", [b"a", b"c"], 2)
    with IndexReader(tmp_path / "index.db") as reader:
        assert changed_since(reader, between) == {b"/r/few": 2, b"/r/many": 40}
        assert changed_since(reader, between, rows_max=1) == {b"/r/few": 1, b"/r/many": 40}
        assert changed_since(reader, index.tick - 2) == {b"/r/few": 2}
        assert changed_since(reader, index.tick) == {}
    index.close()
    (tmp_path / "index.db").write_bytes(b"no database" * 1000)
    with IndexReader(tmp_path / "index.db") as reader, pytest.raises(ServiceError):
        changed_since(reader, 0)
