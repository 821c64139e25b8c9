"""Events of a batch, of which most are kept as they travel."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shardwatch.aggregator.groups.events import Events
from shardwatch.aggregator.protocol.messages import Event, Fresh
from shardwatch.aggregator.protocol.packing import pack


def event(tick: int) -> Event:
    return Event("created", f"/r/{tick}", False, tick, 2, tick, 3.0)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 20)), max_size=6), st.integers(0, 80))
def test_events_are_the_same_packed_or_not(runs: list[tuple[bool, int]], limit: int) -> None:
    """In any number of pieces, one of which may be empty: as a sequence, and as they travel."""
    events, expected = Events(), list[Event]()
    for is_packed, count in runs:
        some = [event(len(expected) + n) for n in range(count)]
        expected += some
        if is_packed:
            events.add_packed(count, pack(some))
        else:
            events.last().extend(some)
    assert (list(events), len(events), bool(events)) == (expected, len(expected), bool(expected))
    assert events == Events(expected) == expected
    assert events[:3] == expected[:3]
    assert list(events.first(limit)) == expected[:limit]
    assert msgspec.msgpack.encode(events.packed()) == msgspec.msgpack.encode(expected)


def test_many_events_travel_in_one_array() -> None:
    """Also more than two bytes can count."""
    some = [event(tick) for tick in range(40_000)]
    events = Events([Fresh(1, "why")])
    for _ in range(2):
        events.add_packed(len(some), pack(some))
    found = msgspec.msgpack.decode(msgspec.msgpack.encode(events.packed()))
    assert (len(found), found[0]["type"], found[-1]["tick"]) == (80_001, "fresh", 39_999)
    with pytest.raises(TypeError):
        hash(events)

