"""What is stored in the place of stats leads back to them, and takes less room where they have much in common."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shardwatch.aggregator.index.condensed import condense, expand
from shardwatch.shard.contract.files.packed import FILE, INT_MAX, INT_MIN, NLINK_MAX, WIDTH, pack

SECOND_NS = 1_000_000_000
NOW_NS = 1_700_000_000 * SECOND_NS


def _stats(count: int, *, apart_ns: int = 0, noticed_ns: int = 0) -> bytes:
    """Of files that were made one after the other; `noticed_ns`: their times of change are so much later than those of
    modification."""
    times = [NOW_NS + number * apart_ns for number in range(count)]
    return b"".join(
        pack(5_000_000 + number, 300 + 7 * number, time, time + noticed_ns, 2049, 1, FILE, 0) for number, time in enumerate(times)
    )


_words = st.sampled_from([INT_MIN, -1, 0, 1, 255, 256, 1 << 16, 1 << 32, INT_MAX]) | st.integers(INT_MIN, INT_MAX)
_common = st.tuples(*[_words] * 5)


@given(_common, st.lists(st.tuples(*[st.none() | _words] * 5), min_size=1, max_size=12), st.integers(0, NLINK_MAX))
def test_stats_come_back_as_they_were(common: tuple[int, ...], files: list[tuple[int | None, ...]], nlink: int) -> None:
    """Any of them, of files that have some words in common."""
    words = [[one if word is None else word for word, one in zip(file, common, strict=True)] for file in files]
    stats = b"".join([pack(*five, nlink, FILE, number % 2) for number, five in enumerate(words)])
    stored = condense(stats)
    assert expand(stored, len(files)) == stats
    assert stored == stats or len(stored) < len(stats)


@pytest.mark.parametrize(
    ("stats", "room"),
    [
        (_stats(10), 6 + 4 * 8 + 8 + 10 * 2),  # a base each, the numbers of inodes and sizes; times of change as of modification
        (_stats(10, apart_ns=4_000_000), 6 + 5 * 8 + 10 * (1 + 1 + 4)),
        (_stats(10, apart_ns=4_000_000, noticed_ns=9), 6 + 6 * 8 + 10 * (1 + 1 + 4 + 4)),
        (_stats(10, apart_ns=SECOND_NS), 6 + 4 * 8 + 10 * (1 + 1 + 8)),
        (_stats(256), 6 + 5 * 8 + 256 * (1 + 2)),
    ],
    ids=["at once", "4 ms apart", "renamed", "a second apart", "many"],
)
def test_files_of_a_directory_take_less_room(stats: bytes, room: int) -> None:
    stored = condense(stats)
    assert len(stored) == room
    assert expand(stored, len(stats) // WIDTH) == stats


def test_what_can_be_no_shorter_stays_as_it_is() -> None:
    """So one stat does, and what an older version has stored."""
    for stats in (_stats(1, noticed_ns=9), _stats(1, noticed_ns=9)[:40] + bytes(7) + b"\1"):
        assert condense(stats) is stats
        assert expand(stats, len(stats) // WIDTH) is stats


STORED = condense(_stats(10, apart_ns=4_000_000))


@pytest.mark.parametrize(
    ("stored", "count"),
    [
        (b"", 1), (b"\0" * 5, 1), (STORED, 9), (STORED, 11), (STORED[:-1], 10), (STORED + b"\0", 10),
        (b"\3" + STORED[1:], 10), (b"\11" + STORED[1:], 10), (b"\12" + STORED[1:], 10), (b"\2" + STORED[1:], 10),
        (STORED[:6] + INT_MAX.to_bytes(8, "little") + STORED[14:], 10),
    ],
)  # fmt: skip
def test_what_is_damaged_is_refused(stored: bytes, count: int) -> None:
    """Lengths, what the first bytes say, and words beyond their range. All else shows by the checksum of the page."""
    with pytest.raises(ValueError, match="not the stats"):
        expand(stored, count)
