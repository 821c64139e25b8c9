"""Rows of pages become events as a whole: with the same result as one by one."""

from __future__ import annotations

from zlib import crc32

from hypothesis import given, settings
from hypothesis import strategies as st

from shardwatch.aggregator.groups.choice import Selection, cut
from shardwatch.aggregator.groups.holder_mark import HolderMark
from shardwatch.aggregator.groups.lane import Lane
from shardwatch.aggregator.groups.unit import Part
from shardwatch.aggregator.index.page import make
from shardwatch.aggregator.index.portion import Pieces, first, mixed, total
from shardwatch.aggregator.index.row import Row
from shardwatch.aggregator.index.stretch import Stretch
from shardwatch.shard.contract.files.packed import FILE, LINK, pack

NAMES = [b"a", b"b", b"c\xff", b"d", b"e", b"f"]


def stretch(base: int, names: list[bytes], directory: bytes = b"/r", held: int = 0, gone: tuple[int, ...] = ()) -> Stretch:
    """Of a page from which the entries at some places are gone."""
    stats = b"".join(pack(base + n, n, n + 1, n + 2, 7, 1, LINK if n % 3 else FILE, 0) for n in range(len(names)))
    page = make(3, 0, base, held, 5 * 10**9, names, stats)
    left = page.without(gone) if gone else page
    assert left is not None
    return left.stretch(directory)


def row(tick: int, path: bytes) -> Row:
    return Row(tick, 0, 0, FILE, 0, path, 1, 2, 3, 4, 5, 6, 0)


marks = st.one_of(st.integers(8, 16), st.integers(17, 40))
helds = st.sampled_from([0, 1, 2, -1])
#: Mostly not.
rarely = st.integers(0, 5).map(lambda number: number == 0)


@settings(max_examples=500)
@given(
    marks, marks, st.one_of(st.just((0, 0)), st.tuples(marks, marks)),
    st.one_of(st.tuples(helds, helds), helds.map(lambda held: (held, held))),
    st.one_of(st.just(set()), st.sets(st.sampled_from(NAMES))), rarely, st.sets(st.integers(0, 5), max_size=2), rarely,
)  # fmt: skip
def test_rows_of_pages_become_the_same_events_as_a_whole(
    begun: int,
    handed: int,
    skipped: tuple[int, int],
    held: tuple[int, int],
    leased: set[bytes],
    fence: bool,
    gone: set[int],
    odd: bool,
) -> None:
    """Wherever the group is, whatever it holds or has given up, and whichever paths are on lease."""
    names = NAMES if odd else [name[:1] for name in NAMES]
    pieces: list[Stretch | list[Row]] = [
        stretch(10, names, held=held[0], gone=tuple(gone)), stretch(16, names[:4], b"/s", held[1]),
        [row(20, b"/r/x"), row(21, b"/r/y")], stretch(22, names, b"/t", held[0]),
    ]  # fmt: skip
    results = []
    for some in (pieces, [[row for piece in pieces for row in piece]]):
        lane = Lane(0, handed, skipped)
        lane.leased.update(b"/r/" + name for name in leased)
        if fence:
            lane.fenced.add(crc32(b"/r/d"))
        part, choice = Part(0, handed, [], []), Selection(HolderMark(1, begun))
        choice.add_pieces(some, 0, lane, part)
        rows = [row for rows in choice.chunks for row in rows]
        results.append((list(choice.events), part.ticks, part.keys, choice.held, choice.gone, rows))
    assert results[0] == results[1]


def test_a_stretch_is_a_sequence_of_its_rows() -> None:
    """By place and by range, also of what follows a tick."""
    found = stretch(10, NAMES, b"/", gone=(1, 4))
    rows = list(found)
    assert [(r.tick, r.path) for r in rows] == [(10, b"/a"), (12, b"/c\xff"), (13, b"/d"), (15, b"/f")]
    assert rows[1] == Row(12, 0, 0, LINK, 0, b"/c\xff", 2, 3, 5 * 10**9, 7, 12, 4, 0)
    assert (found[-1], found[0], list(found[1:3]), len(found)) == (rows[3], rows[0], rows[1:3], 4)
    page = make(3, 0, 10, 0, 0, NAMES, b"".join(pack(0, 0, 0, 0, 0, 1, FILE, 0) for _ in NAMES))
    for after in range(9, 15):
        assert list(page.stretch(b"/", after).ticks) == list(range(max(10, after + 1), 16))


@st.composite
def pieces(draw: st.DrawFn) -> Pieces:
    """Of up to three directories, in the order of ticks."""
    found: list[Stretch | list[Row]] = []
    tick = 1
    for _ in range(draw(st.integers(1, 5))):
        directory, count = draw(st.sampled_from([b"/r", b"/r/x", b"/"])), draw(st.integers(1, 3))
        if draw(st.booleans()):
            found.append(stretch(tick, NAMES[:count], directory))
        else:
            found.append([row(tick + n, directory.rstrip(b"/") + b"/%d" % n) for n in range(count)])
        tick += count
    return found


@settings(max_examples=300)
@given(pieces(), st.integers(1, 10), st.integers(0, 6))
def test_a_batch_ends_at_the_same_row_whatever_its_pieces_are(found: Pieces, want: int, least: int) -> None:
    """And what is taken of them are the first rows."""
    rows = [row for piece in found for row in piece]
    want %= len(rows)
    if not want:
        return
    end = cut(found, want, least, len(rows))
    assert end == cut([rows], want, least, len(rows)) == _cut(rows, want, least)
    taken = first(found, end, len(rows))
    assert ([row for piece in taken for row in piece], total(taken)) == (rows[:end], end)


def _cut(rows: list[Row], want: int, least: int) -> int:
    """What `cut` says of itself."""
    directories = [row.path[: row.path.rfind(b"/") + 1] for row in rows]
    begin = want
    while begin and directories[begin - 1] == directories[want]:
        begin -= 1
    return begin if begin >= max(least, 1) else want


@given(st.sets(st.integers(0, 40)), st.sets(st.integers(0, 5), max_size=5))
def test_rows_are_put_where_their_ticks_are(ticks: set[int], gone: set[int]) -> None:
    """Between pages, and in the midst of one."""
    stretches = [stretch(begin, NAMES, gone=tuple(gone)) for begin in (10, 20)]
    taken = {row.tick for some in stretches for row in some}
    rows = [row(tick, b"/s/x") for tick in sorted(ticks - taken)]
    found = mixed(stretches, rows)
    assert all(found)
    assert [row for piece in found for row in piece] == sorted([*rows, *stretches[0], *stretches[1]])
