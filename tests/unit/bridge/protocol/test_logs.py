"""The layout `batches`: what is in an entry, and how it gets its place in the log of its partition."""

from __future__ import annotations

import json
import os

import pytest

from shardwatch.aggregator.protocol.messages import Event
from shardwatch.bridge.protocol.bodies import BODY_BYTES_MAX, PathBatch, Stamp, decode_told, purged_message, stamp_of
from shardwatch.bridge.protocol.logs import (
    Append,
    AppendFlow,
    LogEntry,
    ProveOwner,
    Superseded,
    Tail,
    appending,
    end_entry,
    entries,
    mark_entry,
    needs_mark,
)  # fmt: skip
from shardwatch.bridge.protocol.names import Subjects
from shardwatch.bridge.protocol.publishing import NONE, GetLast, Last
from shardwatch.shard.contract.limits import PATH_BYTES_MAX

NAMES = Subjects("p", "one", 2)


def event(path: bytes, tick: int, kind: str = "modified", moved_from: str | None = None) -> Event:
    made = Event(kind, os.fsdecode(path), False, 1, 2, tick, 3.0)
    if moved_from is not None:
        made.moved_from = moved_from
    return made


def told(entry: LogEntry) -> PathBatch:
    found = decode_told(entry.message(NAMES, 7).body)
    assert isinstance(found, PathBatch)
    return found


def test_an_entry_has_the_last_states_of_one_partition() -> None:
    """A rename is two; a path that is not UTF-8 is exact."""
    paths = [b"/r/%d" % n for n in range(20)] + [b"/r/\xff"]
    events = [event(path, n) for n, path in enumerate(paths, 1)]
    events += [event(b"/r/0", 30), event(b"/r/new", 31, "moved", "/r/1")]
    found = entries(events, NAMES, 5, 1 << 20)
    assert sorted(entry.partition for entry in found) == [0, 1]
    states = {os.fsencode(one.path): (entry.partition, one) for entry in found for one in told(entry).events}
    assert states.keys() == {*paths, b"/r/new"}
    assert all(partition == NAMES.partition(path) for path, (partition, _) in states.items())
    kinds = {path: (one.event_type, one.tick) for path, (_, one) in states.items()}
    assert (kinds[b"/r/0"], kinds[b"/r/1"], kinds[b"/r/new"]) == (("modified", 30), ("deleted", 31), ("created", 31))


def test_the_body_says_where_it_stands() -> None:
    """With what a consumer needs; its name does not depend on it."""
    (entry,) = entries([event(b"/r/a", 9)], NAMES, 5, 1 << 20)
    message = entry.message(NAMES, 7)
    body = json.loads(message.body)
    assert message.subject == f"p.one.{entry.partition}.log" and message.stamp == Stamp(5, 0)
    assert body.pop("events")[0]["path"] == "/r/a"
    assert body == {
        "type": "batch", "source": "one", "generation": 5, "partition": entry.partition, "previous": 7, "complete": 0
    }  # fmt: skip
    assert message.name and message.name == entry.message(NAMES, 8).name
    assert message.name != entry._replace(generation=6).message(NAMES, 7).name
    assert told(end_entry(NAMES, 5, 1)).complete == 2 and told(mark_entry(5, 1)).events == []
    assert mark_entry(5, 1).message(NAMES, 7).name == ""


def test_a_message_has_room_for_the_longest_path_and_for_no_more_than_the_server_takes() -> None:
    """The order of a partition stays."""
    longest = b"/" + b"\x01" * (PATH_BYTES_MAX - 2) + b"\xff"
    one = Subjects("p", "one", 1)
    events = [event(b"/r/%d" % n, n) for n in range(1, 3000)] + [event(longest, 3000)]
    found = entries(events, one, 5, BODY_BYTES_MAX)
    assert len(found) > 2
    assert max(len(entry.message(one, 2**63).body) for entry in found) <= BODY_BYTES_MAX
    assert [state.tick for entry in found for state in told(entry).events] == list(range(1, 3001))


def answered(flow: AppendFlow, *answers: int | Last | None) -> list[object]:
    """The steps of a flow that is answered so, and its result."""
    steps: list[object] = [next(flow)]
    for answer in answers:
        try:
            steps.append(flow.send(answer))
        except StopIteration as end:
            steps.append(end.value)
    return steps


def test_an_entry_follows_the_one_before_it() -> None:
    """At its own place, at the one of an earlier attempt, or as the first of its generation."""
    assert answered(appending(5, Tail(7, 7)), 9) == [Append(7, 7), 9]
    assert answered(appending(5, Tail(7, 7)), None, Last(8, Stamp(5, 0)), 9) == [Append(7, 7), GetLast(), Append(8, 8), 9]
    assert answered(appending(5, Tail()), NONE, 9) == [GetLast(), Append(0, 0), 9]
    assert answered(appending(5, Tail()), Last(4, Stamp(4, 0)), 9) == [GetLast(), Append(4, 0), 9]


def test_where_what_was_there_is_gone_it_is_proved_first_that_nobody_else_came() -> None:
    """The entry names what it follows, although it is not there any more."""
    assert answered(appending(5, Tail(7, 7)), None, NONE, None, 9) == [Append(7, 7), GetLast(), ProveOwner(), Append(0, 7), 9]
    with pytest.raises(Superseded):
        answered(appending(5, Tail(7, 7)), None, Last(8, Stamp(6, 0)))


def test_a_notice_of_removed_deletions_replaces_only_older_ones() -> None:
    """As states do, by its sequence in place of a tick."""
    message = purged_message(NAMES, 5, 1, 77)
    assert message.subject == "p.one.1.purged" and message.stamp == stamp_of(message.body) == Stamp(5, 77)


def test_a_log_gets_a_mark_before_its_last_entry_is_removed() -> None:
    """Or as soon as it is seen that it was. A log that has not begun needs none."""
    assert not needs_mark(Tail(6, 6), 1, 10) and needs_mark(Tail(4, 4), 1, 10) and needs_mark(Tail(4, 4), 11, 20)
    assert not needs_mark(Tail(), 11, 20) and needs_mark(Tail(10, 10), 11, 10), "the stream is empty"
