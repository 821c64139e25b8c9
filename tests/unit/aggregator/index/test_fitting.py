"""A running service takes over other roots: the index is adapted where they differ, with the result of a walk through all."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from entries import Entry, seen
from index_rows import query
from msgspec.structs import replace

from shardwatch.aggregator.index.fitting import Fitting, differing
from shardwatch.aggregator.index.index import Index
from shardwatch.aggregator.index.opening import fingerprint, keeper, open_index, refit
from shardwatch.aggregator.index.refit import Refit
from shardwatch.aggregator.index.walk import Walk
from shardwatch.shard.contract.files.packed import DIRECTORY, FILE
from shardwatch.shard.contract.files.paths import is_below, join
from shardwatch.shard.contract.state.settings import Settings
from shardwatch.shard.contract.wire.frames import Listing

SETTINGS = Settings(roots=(b"/a", b"/b"), include=("*",), exclude=(), priorities={"hot/**": 2})
#: (directory, names of files, names of directories): /b2 lies in no root, and begins like one.
TREE = [
    (b"/a", [b"1", b"2", b"3", b"4"], [b"hot", b"sub"]),
    (b"/a/hot", [b"1", b"2", b"3", b"4"], []),
    (b"/a/sub", [b"1", b"2", b"3", b"4", b"5"], [b"hot"]),
    (b"/a/sub/hot", [b"1"], []),
    (b"/b", [b"1", b"2", b"3", b"4"], [b"x"]),
    (b"/b/x", [b"1", b"2", b"3"], []),
]


def entry(name: bytes, kind: int) -> Entry:
    return (name, kind, *((0, 0, 0, 0, 0, 0) if kind == DIRECTORY else (1, name[0], 1, 1, 1, 1)), False)


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Index]:
    """The tree, most of it in pages, as settled with SETTINGS and handed to a group."""
    index, _ = open_index(tmp_path / "index.db", SETTINGS)
    fit(index, SETTINGS)
    index.begin()
    for path, files, directories in TREE:
        entries = sorted([entry(name, FILE) for name in files] + [entry(name, DIRECTORY) for name in directories])
        index.records.listing(Listing(path, 1, *seen(entries)), ())
    index.commit()
    for lane in (0, 2):
        index.backlog.note_handed(lane, index.tick)
    yield index
    index.abandon()


def fit(index: Index, settings: Settings) -> None:
    work = refit(index, settings)
    while work is not None and work.step():
        pass


def known(index: Index) -> dict[tuple[bytes, int], tuple[int, int | None]]:
    """(kind, lane) of each entry."""
    sql = "SELECT d.path, e.name, e.directory, e.kind, e.lane FROM every e JOIN directory d ON d.id=e.dir"
    return {(join(path, name), about): (kind, lane) for path, name, about, kind, lane in query(index, sql)}


def finish(fitting: Fitting) -> int:
    """How many steps it takes."""
    steps = 0
    while fitting.works:
        fitting.step()
        steps += 1
    return steps


OTHERS = [
    {"roots": (b"/a",)},
    {"roots": (b"/a", b"/b", b"/c")},
    {"roots": (b"/a/sub", b"/b")},
    {"roots": (b"/a", b"/a/sub", b"/b")},
    {"roots": (b"/a", b"/a/sub")},
    {"roots": (b"/",)},
    {"roots": (b"/a", b"/b", b"/b/x"), "only": (b"/b/x",), "files": (b"/b/x/2",)},
    {"roots": (b"/a", b"/b"), "only": (b"/b",), "files": (b"/b/2",)},
    {"roots": (b"/a", b"/b"), "files": (b"/a/sub/2", b"/a/nothing")},
    {"roots": (b"/c",)},
]


@pytest.mark.parametrize("forget", [False, True])
@pytest.mark.parametrize("other", OTHERS)
def test_other_roots_are_taken_over_as_by_a_walk_through_all(
    index: Index, other: dict[str, tuple[bytes, ...]], forget: bool
) -> None:
    """What is in no root any more is gone, or forgotten."""
    running = replace(SETTINGS, forget_left_out=forget)
    notes: list[str] = []
    fitting = Fitting(index, running, notes)
    wanted = replace(running, **other)
    fitting.take_over(wanted)
    assert not (forget and fitting.works), "it is forgotten before any shard says anything"
    finish(fitting)
    keeps, found = keeper(wanted), known(index)
    assert all(keeps(path, bool(about)) for (path, about), (kind, _) in found.items() if kind)
    assert index.file.fingerprint == fingerprint(wanted) and not index.unfit
    assert len(notes) == any(not keeps(join(path, name), False) for path, names, _ in TREE for name in names)
    walk = Refit(index, keeps, fingerprint(wanted), forget=forget)
    while walk.step():
        pass
    assert known(index) == found and not walk.left_out


def test_a_note_stands_for_what_was_left_out_last(index: Index) -> None:
    """However often roots come and go."""
    fitting = Fitting(index, SETTINGS, notes := ["another"])
    for roots in ((b"/a",), (b"/a", b"/c"), (b"/c",)):
        fitting.take_over(replace(SETTINGS, roots=roots))
        finish(fitting)
    assert notes[0] == "another" and len(notes) == 2 and "left out now: 17, reported as deleted" in notes[1]


def test_only_what_lies_in_other_roots_is_read(index: Index) -> None:
    """A root that is added, of which nothing is known yet, takes one step, however large the index is."""
    fitting = Fitting(index, SETTINGS, [])
    assert not fitting.works
    more = replace(SETTINGS, roots=(*SETTINGS.roots, b"/c"))
    walk = Walk(index.tables, differing(SETTINGS, more))
    assert walk.take(100) == ([], False)
    fitting.take_over(more)
    assert index.unfit and finish(fitting) == 1
    fitting.take_over(more)
    assert not fitting.works


def test_roots_that_change_again_meanwhile(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was adapted to the settings in between is adapted once more, back to the first ones too."""
    monkeypatch.setattr("shardwatch.aggregator.index.refit.Refit.step.__defaults__", (1,))
    before = known(index)
    fitting = Fitting(index, SETTINGS, [])
    fitting.take_over(replace(SETTINGS, roots=(b"/b",)))
    for _ in range(3):
        fitting.step()
    assert index.unfit and known(index) != before
    fitting.take_over(SETTINGS)
    finish(fitting)
    assert not index.unfit and index.file.fingerprint == fingerprint(SETTINGS)
    assert all(lane == before[path][1] for path, (kind, lane) in known(index).items() if kind)


def test_an_index_that_was_left_in_the_midst_fits_nothing(index: Index) -> None:
    """After a kill, all of it is adapted, also to the settings from which it came."""
    fitting = Fitting(index, SETTINGS, [])
    fitting.take_over(replace(SETTINGS, roots=(b"/b",)))
    index.commit()
    index.abandon()
    again, _ = open_index(index.file.path, SETTINGS)
    assert refit(again, SETTINGS) is not None
    again.abandon()


@pytest.mark.parametrize("portion", [1, 2, 3, 7, 100])
def test_a_walk_meets_each_entry_once(index: Index, portion: int) -> None:
    """Of those at and below some paths, in portions of any size, while nothing changes."""
    chance = random.Random(portion)
    paths = [path for path, _, _ in TREE] + [b"/a/1", b"/a/hot/2", b"/nothing", b"/"]
    for _ in range(20):
        tops = chance.sample(paths, chance.randint(1, 4))
        walk, met, more = Walk(index.tables, tops), [], True
        while more:
            some, more = walk.take(portion)
            assert len(some) <= portion + len(tops)
            met += [join(entry.path, entry.row.name) for entry in some]
        wanted = [path for path, _ in known(index) if any(is_below(path, top) for top in tops)]
        assert sorted(met) == sorted(wanted)
