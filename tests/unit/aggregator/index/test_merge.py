"""Records against rows: what becomes a change, and with which tick."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from entries import Entry, seen

from shardwatch.aggregator.index.burial import bury
from shardwatch.aggregator.index.changes import Changes
from shardwatch.aggregator.index.holders import ALL
from shardwatch.aggregator.index.merge import merge
from shardwatch.aggregator.index.row import GONE, WRITTEN, Known
from shardwatch.aggregator.index.ticks import Ticks
from shardwatch.shard.contract.files.packed import DIRECTORY, FILE, LINK


def known(name: bytes = b"f", **fields: Any) -> Known:
    """A living row of a file; everything else on demand."""
    usual = Known(
        name, 0, ino=10, size=5, mtime_ns=100, ctime_ns=100, dev=1, nlink=1, kind=FILE, racy=0, lane=0, tick=7, held=0
    )
    return usual._replace(**fields)


def entry(name: bytes = b"f", /, **fields: Any) -> Entry:
    """The very file of `known`."""
    values = {"kind": FILE, "dev": 1, "ino": 10, "nlink": 1, "size": 5, "mtime": 100, "ctime": 100, "racy": False} | fields
    return (name, *values.values())


def directory(name: bytes = b"f") -> Entry:
    return (name, DIRECTORY, 0, 0, 0, 0, 0, 0, False)


def directory_row(name: bytes = b"f", **fields: Any) -> Known:
    return Known(name, 1, 0, 0, 0, 0, 0, 0, DIRECTORY, 0, None, 0, 0)._replace(**fields)


def run(
    rows: list[Known], entries: Sequence[Entry] = (), absent: Sequence[bytes] = (), *, complete: bool = False, handed: int = 0,
    last: int = 50, lane_of: dict[bytes, int] | int = 0, directories: bool = False, positions: Sequence[int] = (),
    content_only: bool = False,
) -> Changes:  # fmt: skip
    ticks = Ticks(last)
    for bit, position in enumerate(positions):
        ticks.holders.place(bit, 0, position)
    for lane in (0, 5):
        ticks.note_handed(lane, handed)
    return merge(
        {(r.name, r.directory): r for r in rows}, seen(entries), absent, complete=complete, at=999, ticks=ticks, lane_of=lane_of,
        directories_are_events=directories, content_only=content_only,
    )  # fmt: skip


def updated(changes: Changes, *fields: str) -> list[Any]:
    """Of each update the field of that name, or a tuple of several."""
    return named(changes.updates, WRITTEN, fields)


def inserted(changes: Changes, *fields: str) -> list[Any]:
    return named(changes.inserts, WRITTEN, fields)


def named(rows: Sequence[tuple[object, ...]], names: tuple[str, ...], fields: tuple[str, ...]) -> list[Any]:
    read = [dict(zip(names, row, strict=True)) for row in rows]
    return [tuple(row[field] for field in fields) if len(fields) > 1 else row[fields[0]] for row in read]


#: As in an `Entry`.
STAT = ("kind", "dev", "ino", "nlink", "size", "mtime_ns", "ctime_ns", "racy")


def test_an_equal_stat_is_no_change() -> None:
    """A rescan of a million files writes nothing."""
    changes = run([known()], [entry()], complete=True)
    assert not changes
    assert (changes.files, changes.linked, changes.gone_directories) == (0, {}, [])


@pytest.mark.parametrize("field", ["ino", "size", "mtime", "ctime"])
def test_any_difference_is_a_change(field: str) -> None:
    """Time of change above all: it can't be set back by a program."""
    changes = run([known()], [entry(b"f", **{field: 1234})], handed=7)
    assert updated(changes, "tick") == [51]
    assert changes.files == 0


@pytest.mark.parametrize("fields", [{"dev": 9}, {"nlink": 2}, {"ino": 0}, {"dev": 9, "racy": True}], ids=str)
def test_what_says_nothing_of_the_file_is_noted(fields: dict[str, Any]) -> None:
    """A remount gives another device number to all of a tree: the rows take it over, and nobody is told."""
    changes = run([known()], [entry(b"f", **fields)], handed=7)
    assert updated(changes, "tick") == [7]
    assert updated(changes, *STAT) == [entry(b"f", **fields)[1:]]
    assert changes.linked == ({(1, 10): 0} if "nlink" in fields else {})


def test_content_only_notes_what_is_no_content() -> None:
    """Another mode or owner changes nothing but the time of change."""
    for fields, tick in (({"ctime": 1234}, 7), ({"ctime": 1234, "nlink": 2}, 7), ({"ctime": 1234, "size": 6}, 51)):
        assert updated(run([known()], [entry(b"f", **fields)], handed=7, content_only=True), "tick") == [tick]
        assert updated(run([known()], [entry(b"f", **fields)], handed=7), "tick") == [51]


def test_a_link_that_becomes_a_file_is_a_change() -> None:
    """Of one row: both are entries that are no directory."""
    assert len(run([known(kind=LINK)], [entry()]).updates) == 1


def test_a_racy_stat_proves_nothing() -> None:
    """Rule 7: what was looked at within the clock's tick of its change may have changed once more, unseen."""
    assert not run([known()], [entry(racy=True)])
    changes = run([known(racy=1)], [entry()])
    assert updated(changes, "racy") == [False]


def test_a_birth_gets_a_tick_and_its_lane() -> None:
    """One for each, in order."""
    changes = run([], [entry(b"a"), entry(b"b")], lane_of={b"a": 5})
    assert inserted(changes, "name", "lane", "tick") == [(b"a", 5, 51), (b"b", 0, 52)]
    assert (changes.files, changes.directories) == (2, 0)


def test_directories_are_events_on_demand_only() -> None:
    """Else they have no lane and no tick."""
    quiet, told = run([], [directory()]), run([], [directory()], directories=True)
    assert inserted(quiet, "directory", "lane", "tick") == [(1, None, 0)]
    assert inserted(told, "directory", "lane", "tick") == [(1, 0, 51)]
    assert quiet.directories == 1


def test_of_a_directory_only_its_existence_counts() -> None:
    """Rule 8: its times change with every file in it."""
    assert not run([directory_row()], [directory()], complete=True)


def test_a_file_that_becomes_a_directory_is_two_changes() -> None:
    """Rule 8: a deletion, then a creation, in one batch."""
    changes = run([known(tick=7)], [directory()], handed=7, directories=True)
    assert updated(changes, "kind", "tick", "directory") == [(GONE, 51, 0)]
    assert inserted(changes, "directory", "tick") == [(1, 52)]
    assert (changes.files, changes.directories) == (-1, 1)


def test_a_directory_that_becomes_a_file_takes_all_below_it_along() -> None:
    """The rows below are the index's to bury."""
    changes = run([directory_row()], [entry()])
    assert changes.gone_directories == [b"f"]
    assert changes.forgotten == [(b"f", 1)]
    assert (changes.files, changes.directories) == (1, -1)


def test_both_kinds_of_row_are_asked_about_an_absent_name() -> None:
    """A tombstone of the one does not hide the other."""
    changes = run([known(kind=GONE), directory_row()], absent=[b"f"])
    assert changes.gone_directories == [b"f"]
    assert changes.updates == []


def test_only_a_complete_listing_buries_what_it_does_not_name() -> None:
    """Rule 1: a listing says absent of every name that it covers; looks say it of what they name."""
    rows = [known(b"a"), known(b"b"), known(b"c", kind=GONE)]
    assert run(rows, [entry(b"a")]).files == 0
    assert run(rows, [entry(b"a")], complete=True, handed=7).files == -1
    assert run(rows, [], [b"a"], handed=7).files == -1
    assert not run(rows, [], [b"c", b"never"], handed=7)


def test_a_row_that_nobody_holds_needs_no_tombstone() -> None:
    """Rule 18: it was not handed to anybody, under this tick or an earlier one."""
    assert run([known(tick=8)], absent=[b"f"], handed=7).forgotten == [(b"f", 0)]


def test_a_delete_of_what_was_handed_out_is_never_suppressed() -> None:
    """Rule 18: however late the last change was. The tombstone says who is to be told."""
    changes = run([known(held=4, tick=40)], absent=[b"f"], handed=7)
    assert updated(changes, "kind", "tick", "held") == [(GONE, 40, 4)]
    changes = run([known(tick=7)], absent=[b"f"], handed=7)
    assert updated(changes, "kind", "tick", "held") == [(GONE, 51, ALL)]


def test_a_tombstone_remembers_which_file_it_was() -> None:
    """Size, times and inode tell a rename later."""
    changes = run([known(nlink=2)], absent=[b"f"], handed=7)
    assert updated(changes, *STAT) == [(GONE, 1, 10, 2, 5, 100, 100, False)]
    assert changes.linked == {(1, 10): 2}


def test_a_row_that_waits_is_not_stamped_again() -> None:
    """Rule 20: else a path that changes all the time would always be at the tail."""
    assert updated(run([known(tick=40)], [entry(size=6)], handed=39), "tick") == [40]
    assert updated(run([known(tick=40)], [entry(size=6)], handed=40), "tick") == [51]


def test_a_revived_row_is_known_to_those_who_were_not_told_of_its_end() -> None:
    """Who was told that it was gone holds it no more; who was not hears of a change."""
    told = run([known(kind=GONE, tick=40, held=ALL)], [entry()], handed=40, positions=[40, 39])
    assert updated(told, "tick", "held") == [(51, ~1)]
    untold = run([known(kind=GONE, tick=40, held=ALL)], [entry()], handed=39)
    assert updated(untold, "tick", "held") == [(40, ALL)]
    assert (told.files, untold.files) == (1, 1)


def test_a_directory_that_is_no_event_is_revived_without_a_tick() -> None:
    """Its row has no lane."""
    changes = run([directory_row(kind=GONE)], [directory()])
    assert updated(changes, "tick") == [0]
    assert changes.directories == 1


@pytest.mark.parametrize("forget", [False, True])
def test_burial_of_what_nobody_is_told_of(forget: bool) -> None:
    """It has no lane, or is to be forgotten: nothing stays."""
    changes = Changes()
    bury(changes, known(held=ALL) if forget else directory_row(), 9, Ticks(3), forget=forget)
    assert (changes.updates, changes.forgotten) == ([], [(b"f", 0 if forget else 1)])
    assert (changes.files, changes.directories) == ((-1, 0) if forget else (0, -1))


def test_a_tombstone_that_is_buried_again_is_counted_once() -> None:
    """What is left out by new settings may be gone already."""
    changes = Changes()
    bury(changes, known(kind=GONE, held=ALL), 9, Ticks(3))
    assert updated(changes, "kind", "held") == [(GONE, ALL)]
    assert (changes.files, changes.linked) == (0, {})


def test_a_file_with_several_names_is_noted() -> None:
    """Rule 11: writing by one name tells the directories of the others nothing."""
    birth = run([], [entry(nlink=2)])
    change = run([known()], [entry(size=9, nlink=2)])
    revival = run([known(kind=GONE)], [entry(nlink=3)])
    for changes in (birth, change, revival):
        assert changes.linked == {(1, 10): 0}
        assert changes.links
    single = run([], [entry()])
    assert (single.linked, single.links) == ({}, False)


def test_a_name_that_gets_another_file_leaves_the_old_ones_names_in_doubt() -> None:
    """Rule 11: the link count of the file that was there fell."""
    changes = run([known(nlink=2)], [entry(ino=11)])
    assert changes.linked == {(1, 10): 2}


def test_changes_are_true_when_something_is_to_be_written() -> None:
    """What only belongs to other rows is no write."""
    assert not Changes(gone_directories=[b"x"])
    assert Changes(forgotten=[(b"x", 0)])
