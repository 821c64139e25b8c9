"""What the kernel has said of names of files waits where it was read; nothing else does."""

from __future__ import annotations

import struct

import pytest

from shardwatch.shard.backend import calls
from shardwatch.shard.backend.patience import Patience, Untaken

MS = 1_000_000
QUIET = 80 * MS
#: So much sooner it is taken.
AHEAD = 300_000


def event(mask: int = calls.IN_MODIFY, name: bytes = b"f") -> bytes:
    return struct.pack("iIII", 1, mask, 0, 16) + name.ljust(16, b"\0")


def kept(quiet_ns: int = QUIET) -> Untaken:
    patience = Patience()
    patience.quiet_ns = quiet_ns
    return Untaken(patience)


def test_names_are_taken_when_they_are_due() -> None:
    """A moment sooner, and with what was read about the same time, as the debounce counts it, too."""
    some = kept()
    for at in (1_000, 1_004, 1_010):
        some.add(event(), at * MS)
        assert some.due() == at * MS + QUIET - AHEAD
    some.add(event(), 1_011 * MS)
    some.add(event(), 1_030 * MS)
    assert some.due() == 1_010 * MS + QUIET - AHEAD
    assert some.oldest() == (3, 1_010 * MS)
    assert some.size == 5 * len(event())


def test_what_is_taken_leaves_the_rest() -> None:
    """Each part with the time at which its last chunk was read."""
    some = kept()
    for at in (1_000, 1_020, 1_022):
        some.add(event(), at * MS)
    assert some.oldest() == (1, 1_000 * MS)
    assert some.pop() == event()
    assert (some.oldest(), some.due()) == ((2, 1_022 * MS), 1_022 * MS + QUIET - AHEAD)
    some.pop()
    some.pop()
    assert (len(some), some.size, some.oldest()) == (0, 0, (0, 0))


@pytest.mark.parametrize(
    "mask",
    [
        calls.IN_CREATE | calls.IN_ISDIR, calls.IN_DELETE | calls.IN_ISDIR, calls.IN_DELETE_SELF, calls.IN_MOVE_SELF,
        calls.IN_UNMOUNT, calls.IN_Q_OVERFLOW, calls.IN_IGNORED,
    ],
)  # fmt: skip
def test_nothing_else_waits(mask: int) -> None:
    """One event of another kind among names is enough. Those that waited before keep their time."""
    some = kept()
    some.add(event(), 1_000 * MS)
    some.add(event() + event(mask) + event(), 1_001 * MS)
    assert some.due() == 0
    assert some.oldest() == (1, 1_000 * MS)
    some.pop()
    assert (some.oldest(), some.due()) == ((1, 0), 0)
    some.pop()
    some.add(event(calls.IN_MOVED_TO), 1_002 * MS)
    assert some.due() == 1_002 * MS + QUIET - AHEAD


def test_what_is_much_is_taken_at_once() -> None:
    """Many events of one read, and many reads."""
    some = kept()
    some.add(event() * 100, 1_000 * MS)
    assert (some.oldest(), some.due()) == ((1, 0), 0)
    many = kept()
    for n in range(17):
        assert n == 0 or many.due() > 0
        many.add(event(), 1_000 * MS + n)
    assert many.due() == 0


def test_a_short_debounce_time_is_not_waited_for_and_a_long_one_not_to_its_end() -> None:
    """Without one, or with one of a moment, everything is taken at once; and after half a second at the latest, so that whoever
    asks what is pending is told."""
    for quiet_ns in (0, MS):
        some = kept(quiet_ns)
        some.add(event(), 1_000 * MS)
        assert some.due() == 0
    some = kept(60_000 * MS)
    some.add(event(), 1_000 * MS)
    assert some.due() == 1_500 * MS - AHEAD
