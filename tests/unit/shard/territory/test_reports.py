"""What a shard reports of a directory with very many names."""

from __future__ import annotations

from entries import seen

from shardwatch.shard.contract.files.packed import FILE
from shardwatch.shard.contract.limits import FRAME_ENTRIES_MAX
from shardwatch.shard.contract.wire.frames import Record
from shardwatch.shard.disk.disk import Disk
from shardwatch.shard.disk.reading import NAMES_AT_ONCE
from shardwatch.shard.territory.reports import Reports
from shardwatch.shard.territory.swept import Swept
from shardwatch.shard.tree.nodes import Top
from shardwatch.shard.tree.racy import RacyNames
from shardwatch.shard.tree.renames import Renames


class Born(Disk):
    """A disk that knows when every file was made."""

    def birth_ns(self, name: bytes, ino: int, fd: int) -> int:
        return ino


def test_signs_of_life_are_given_between_the_records_of_a_directory() -> None:
    """A million names are 4,000 frames. A directory that needs one record is reported in silence."""
    records: list[Record] = []
    signs: list[int] = []
    reports = Reports(records.append, Swept(lambda: 0), RacyNames(), lambda: signs.append(len(records)))
    found = seen((b"%06d" % number, FILE, 1, 1, 1, 1, 1, 1, False) for number in range(4 * FRAME_ENTRIES_MAX))
    reports.listing(Top(b"/r", 0), b"/r", 1, found.part(0, FRAME_ENTRIES_MAX), {})
    assert (len(records), signs) == (1, [])
    reports.listing(Top(b"/r", 0), b"/r", 1, found, {})
    assert (len(records), signs) == (1 + 4, [2, 3, 4])


def test_signs_of_life_are_given_while_files_are_asked_when_they_were_made() -> None:
    """A directory that was moved into the tree may have a million of them."""
    signs: list[None] = []
    renames = Renames(Born(), lambda: signs.append(None))
    found = seen((b"%06d" % number, FILE, 1, number, 1, 1, 1, 1, False) for number in range(2 * NAMES_AT_ONCE + 1))
    births = renames.all_births(-1, found)
    assert births == {name: number for number, name in enumerate(found.names) if number}
    assert len(signs) == 2
