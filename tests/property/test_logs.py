"""A log of batches loses its beginning at any time, while ships die, stall and go on, and answers are lost: every consumer ends
with what is there, since it notices what it has missed, and asks.

What is appended where, and what a consumer makes of it, is decided by the real code; the server is a model.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from typing import Any, NamedTuple

from fleet_steps import carry_out
from hypothesis import given, settings
from hypothesis import strategies as st

from shardwatch.aggregator.protocol.messages import Event
from shardwatch.bridge.fleet.course import Arrived, Course
from shardwatch.bridge.fleet.sqlite import SqliteFleetStore
from shardwatch.bridge.fleet.store import FleetPosition
from shardwatch.bridge.protocol.bodies import Message, stamp_of
from shardwatch.bridge.protocol.logs import (
    Append,
    AppendFlow,
    LogEntry,
    ProveOwner,
    Tail,
    appending,
    end_entry,
    entries,
    mark_entry,
    needs_mark,
)  # fmt: skip
from shardwatch.bridge.protocol.names import Subjects
from shardwatch.bridge.protocol.publishing import NONE, GetLast, Last

NAMES = Subjects("p", "one", 1)
PATHS = [b"/r/a", b"/r/b", b"/r/\xff"]


class LogStream:
    """A stream with one subject, whose oldest messages go."""

    def __init__(self) -> None:
        self.sequence = 0
        self.messages: list[tuple[int, bytes]] = []
        self._names: dict[str, int] = {}

    def put(self, message: Message, expected: int) -> int | None:
        if message.name in self._names:
            return self._names[message.name]
        if self.last().sequence != expected:
            return None
        self.sequence += 1
        self.messages.append((self.sequence, message.body))
        if message.name:
            self._names[message.name] = self.sequence
        return self.sequence

    def last(self) -> Last:
        return Last(self.messages[-1][0], stamp_of(self.messages[-1][1])) if self.messages else NONE


class Stopped(NamedTuple):
    """An entry that a ship was about to append when it was stopped."""

    flow: AppendFlow
    step: Append | GetLast | ProveOwner
    entry: LogEntry


class Reader:
    """A consumer, with what it has made of the log."""

    def __init__(self) -> None:
        self._database = sqlite3.connect(":memory:")
        self._course = Course(SqliteFleetStore(self._database), 0, None, FleetPosition("s", "g", 0), 0)
        self._position = 0
        self.sizes: dict[bytes, int | None] = {}
        #: The highest generation of which something was missed.
        self.missed = 0

    def read(self, stream: LogStream, most: int) -> None:
        found = [message for message in stream.messages if message[0] > self._position][:most]
        for sequence, body in found:
            self._position = sequence
            self._course.feed([Arrived(sequence, body)])
        while (told := carry_out(self._course.next(2))) is not None:
            self.sizes.update({os.fsencode(event.path): event.size for event in told.events})
            assert carry_out(self._course.keep(told))
        self.missed = max(self.missed, *self._course.missed.values(), 0)

    def close(self) -> None:
        self._database.close()


class Source:
    """A tree, the ship of it, and those that were stopped before it."""

    def __init__(self) -> None:
        self.stream = LogStream()
        self.readers = [Reader()]
        self._tick = 0
        self._rows: dict[bytes, tuple[int, int | None]] = {}
        self._pending: set[bytes] = set()
        self._generation = 1
        self._is_complete = False
        #: The end of the log as the ship knows it, and as it is noted durably.
        self._tail = self._noted = Tail()
        self._stopped: list[Stopped] = []

    def there(self) -> dict[bytes, int]:
        return {path: size for path, (_, size) in self._rows.items() if size is not None}

    # -- what happens

    def change(self, path: bytes, size: int | None) -> None:
        self._tick += 1
        self._rows[path] = self._tick, size
        self._pending.add(path)

    def ship(self, is_killed: bool) -> None:
        """All that has changed. If it is killed, nobody hears that it is there."""
        for entry in self._entries():
            self._append(entry)
        if is_killed:
            self._begin_anew()
        else:
            self._noted = self._tail
            self._pending.clear()

    def stop_ship(self) -> None:
        """In the middle of it; another one takes its place."""
        for entry in self._entries():
            flow = appending(self._generation, self._tail)
            self._stopped.append(Stopped(flow, next(flow), entry))
        self._begin_anew()

    def continue_ship(self) -> None:
        if self._stopped:
            with contextlib.suppress(StopIteration, InterruptedError):
                self._carry_out(*self._stopped.pop(0), is_owner=False)

    def lose(self, messages: int) -> None:
        """The oldest ones are too old. Whoever was stopped for as long does not go on (docs/fleet.md, Limits)."""
        del self.stream.messages[:messages]
        self._stopped.clear()

    def mark(self) -> None:
        first = self.stream.messages[0][0] if self.stream.messages else self.stream.sequence + 1
        if needs_mark(self._tail, first, self.stream.sequence):
            self._append(mark_entry(self._generation, 0))

    def complete(self) -> None:
        self.ship(is_killed=False)
        if not self._is_complete:
            self._append(end_entry(NAMES, self._generation, 0))
            self._noted, self._is_complete = self._tail, True

    def tell_again(self) -> None:
        """If somebody has asked for it."""
        if self._is_complete and any(reader.missed == self._generation for reader in self.readers):
            self._generation += 1
            self._is_complete = False
            self._tail = self._noted = Tail()
            self._pending = set(self.there())

    def read(self, n: int, most: int) -> None:
        self.readers[n % len(self.readers)].read(self.stream, most)

    def join(self) -> None:
        self.readers.append(Reader())

    # -- how

    def _entries(self) -> Iterator[LogEntry]:
        events = [
            Event("deleted" if size is None else "created", os.fsdecode(path), False, size, size, tick, 0.0)
            for path, (tick, size) in sorted(self._rows.items())
            if path in self._pending
        ]
        return iter(entries(events, NAMES, self._generation, 1 << 20))

    def _begin_anew(self) -> None:
        self._tail = Tail(self._noted.previous, self._noted.previous or None)

    def _append(self, entry: LogEntry) -> None:
        flow = appending(self._generation, self._tail)
        try:
            self._carry_out(flow, next(flow), entry, is_owner=True)
        except StopIteration as end:
            self._tail = Tail(end.value, end.value)

    def _carry_out(self, flow: AppendFlow, step: Append | GetLast | ProveOwner, entry: LogEntry, *, is_owner: bool) -> None:
        """Raises StopIteration with the sequence; InterruptedError where another ship has the source."""
        while True:
            if isinstance(step, Append):
                step = flow.send(self.stream.put(entry.message(NAMES, step.previous), step.expected))
            elif isinstance(step, GetLast):
                step = flow.send(self.stream.last())
            elif is_owner:
                step = flow.send(None)
            else:
                raise InterruptedError


_steps = st.one_of(
    st.tuples(st.just("change"), st.sampled_from(PATHS), st.none() | st.integers(1, 9)),
    st.tuples(st.just("ship"), st.booleans()),
    st.tuples(st.just("stop_ship")),
    st.tuples(st.just("continue_ship")),
    st.tuples(st.just("lose"), st.sampled_from([1, 2, 100])),
    st.tuples(st.just("mark")),
    st.tuples(st.just("complete")),
    st.tuples(st.just("tell_again")),
    st.tuples(st.just("read"), st.integers(0, 2), st.integers(1, 3)),
    st.tuples(st.just("join")),
)


@settings(max_examples=300)
@given(steps=st.lists(_steps, min_size=8, max_size=30))
def test_who_has_missed_something_of_a_log_is_told(steps: list[tuple[Any, ...]]) -> None:
    """Nobody ends with less, or more, than what is there, whatever the log has lost."""
    source = Source()
    for name, *arguments in steps:
        getattr(source, name)(*arguments)
    for _ in range(3):  # what ship, and those who ask, do by themselves
        source.complete()
        source.mark()
        for reader in source.readers:
            reader.read(source.stream, 1_000)
        source.tell_again()
    for reader in source.readers:
        with contextlib.closing(reader):
            assert {path: size for path, size in reader.sizes.items() if size is not None} == source.there()
