"""Stats as bytes: their layout, what a record may contain, and how they are cut and joined."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shardwatch.shard.contract.files.packed import (
    A_DIRECTORY,
    ABSENT,
    ANOTHER,
    DIRECTORY,
    FILE,
    INT_MAX,
    INT_MIN,
    LINK,
    NLINK_MAX,
    NOTHING,
    OTHER,
    WIDTH,
    Seen,
    Stat,
    are_whole,
    identifying,
    joined,
    kinds,
    pack,
    pieces,
    racies,
    same,
    unpack,
)

_large = st.integers(INT_MIN, INT_MAX)
_fields = st.tuples(
    _large, _large, _large, _large, _large, st.integers(0, NLINK_MAX), st.sampled_from((FILE, LINK, DIRECTORY)),
    st.integers(0, 1),
)  # fmt: skip


def test_the_layout_is_as_it_is_documented() -> None:
    """Little-endian on every machine: other code reads and writes the same bytes."""
    stat = pack(1, 2, 3, 4, 5, 6, FILE, 1)
    assert len(stat) == WIDTH
    assert [int.from_bytes(stat[at : at + 8], "little") for at in range(0, 40, 8)] == [1, 2, 3, 4, 5]
    assert (int.from_bytes(stat[40:44], "little"), stat[44], stat[45], stat[46:]) == (6, FILE, 1, b"\0\0")
    assert pack(-1, 0, 0, 0, 0, 0, FILE, 0)[:8] == b"\xff" * 8


def test_of_a_directory_there_is_only_its_kind() -> None:
    """And of what is nothing of ours, or not there."""
    for stat, kind in ((A_DIRECTORY, DIRECTORY), (NOTHING, ABSENT), (ANOTHER, OTHER)):
        assert kinds(stat) == bytes([kind])
        assert stat.replace(bytes([kind]), b"\0") == bytes(WIDTH)


@given(st.lists(_fields, max_size=8))
def test_what_was_packed_is_unpacked(stats: list[Stat]) -> None:
    """With every value that a field holds; kinds and racy are told without unpacking."""
    packed = b"".join(pack(*fields) for fields in stats)
    assert list(unpack(packed)) == stats
    assert [pack(*fields) for fields in stats] == pieces(packed)
    assert (list(kinds(packed)), list(racies(packed))) == ([s[6] for s in stats], [s[7] for s in stats])
    assert are_whole(packed, len(stats))


@given(st.lists(_fields, max_size=8))
def test_what_identifies_is_all_but_device_and_racy(stats: list[Stat]) -> None:
    """As `identity` has it."""
    packed = b"".join(pack(*fields) for fields in stats)
    assert list(unpack(identifying(packed))) == [(*fields[:4], 0, *fields[5:7], 0) for fields in stats]


@given(_fields, st.integers(0, WIDTH - 3), st.integers(1, 255))
def test_two_stats_are_the_same_only_if_every_field_is(fields: Stat, at: int, by: int) -> None:
    """Except for `racy`."""
    one = pack(*fields)
    other = bytearray(one)
    other[at] = (other[at] + by) % 256
    assert same(one, one)
    assert same(one, bytes(other)) == (at == 45)


@pytest.mark.parametrize("kind", [ABSENT, OTHER, 255])
def test_a_kind_that_no_record_has_is_no_whole_stat(kind: int) -> None:
    """Wherever it stands among others."""
    good, bad = pack(1, 1, 1, 1, 1, 1, FILE, 0), pack(1, 1, 1, 1, 1, 1, kind, 0)
    assert are_whole(good * 3, 3)
    for place in range(3):
        stats = [good, good, good]
        stats[place] = bad
        assert not are_whole(b"".join(stats), 3)


@pytest.mark.parametrize(("at", "byte"), [(45, 2), (45, 255), (46, 1), (47, 1)])
def test_a_byte_that_is_never_written_is_no_whole_stat(at: int, byte: int) -> None:
    """`racy` is 0 or 1, and what fills up is zero."""
    stat = bytearray(pack(1, 1, 1, 1, 1, 1, FILE, 0))
    stat[at] = byte
    assert not are_whole(pack(1, 1, 1, 1, 1, 1, FILE, 1) + bytes(stat), 2)


@pytest.mark.parametrize(("length", "count"), [(0, 1), (WIDTH - 1, 1), (WIDTH + 1, 1), (WIDTH, 0), (2 * WIDTH, 1)])
def test_stats_belong_to_so_many_names(length: int, count: int) -> None:
    """Not one byte more or less."""
    assert not are_whole((A_DIRECTORY * 3)[:length], count)
    assert are_whole(b"", 0)


@given(st.dictionaries(st.binary(min_size=1, max_size=3), _fields, max_size=8), st.data())
def test_names_keep_their_stats(files: dict[bytes, Stat], data: st.DataObject) -> None:
    """However they are sorted, cut and chosen."""
    packed = {name: pack(*fields) for name, fields in files.items()}
    seen = joined(data.draw(st.permutations(list(packed.items()))))
    assert seen.names == sorted(files)
    assert seen.by_name() == packed
    begin, end = sorted(data.draw(st.tuples(st.integers(0, 9), st.integers(0, 9))))
    part = seen.part(begin, end)
    assert (part.names, part.by_name()) == (seen.names[begin:end], {n: packed[n] for n in seen.names[begin:end]})
    flags = data.draw(st.lists(st.integers(0, 1), min_size=len(files), max_size=len(files)))
    chosen = seen.chosen(bytes(flags))
    kept = [name for name, flag in zip(seen.names, flags, strict=True) if flag]
    assert chosen == Seen(kept, b"".join(packed[name] for name in kept))
