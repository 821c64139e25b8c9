"""What the messages of a partition mean, given what is kept: what is handed out, in which order. Pure."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, NamedTuple

from msgspec import Struct

from ..protocol.bodies import End, PathBatch, PathState, Purged, as_state, decode_told
from ..protocol.names import partition_of
from .steps import FleetFlow, OfStore
from .store import FleetPosition, Kept, PathKnown, SourceStanding


class Arrived(NamedTuple):
    """A message of the stream."""

    sequence: int
    body: bytes
    #: Whether the partition had none after it, when it was read.
    is_newest: bool = False


class FleetFresh(Struct):
    """A new generation of a source begins in a partition: every file of it follows. What is gone then comes as `deleted`."""

    source: str
    generation: int


class Told(NamedTuple):
    """What is to be handed out, and what is kept once it is acknowledged."""

    events: list[PathState]
    fresh: FleetFresh | None
    end: End | None
    kept: Kept
    #: Parts of messages that are done with then.
    items: int


class Overtaken(Exception):
    """Another worker has gone on with the partition."""


def is_news(state: PathState, standing: SourceStanding, known: PathKnown | None) -> bool:
    """The rule of every consumer (docs/fleet.md)."""
    if state.generation < standing.complete:
        return False
    return known is None or (known.generation, known.tick) < (state.generation, state.tick)


class _Link(NamedTuple):
    """Where a message of a log stands."""

    source: str
    generation: int
    #: Sequence of the message of this generation before it; 0: it is the first one.
    previous: int


class _Item(NamedTuple):
    """A part of a message. A message of a log begins with a link."""

    sequence: int
    what: PathState | End | Purged | _Link | None
    #: Of its message; None: it is none of a log.
    link: _Link | None = None
    #: With this one the message is done.
    is_last: bool = True
    #: Whether the partition had no message after this one.
    is_newest: bool = False


class Course:
    """A partition, from where it was taken over.

    Args:
        before: what is stored.
        origin: a position in this stream, of this group; its sequence does not matter.
        begins: everything that comes after this sequence is read.
        opened: the last sequence that the stream had given before anything was read.
    """

    def __init__(
        self, store: Any, partition: int, before: FleetPosition | None, origin: FleetPosition, begins: int, opened: int = 0
    ) -> None:
        self._store = store
        self.partition = partition
        self._before = before
        self._origin = origin
        #: Up to which sequence all is kept.
        self._read = begins
        self._opened = opened
        #: Source -> generation that has begun since: what the stream had before that is read at once, or is of no interest.
        self._begun: dict[str, int] = {}
        self._pending: deque[_Item] = deque()
        #: Up to which path what an end removes was handed out.
        self._removed = b""
        #: Source -> generation of which something was missed, so that another one is needed. Whoever asks for it may clear this.
        self.missed: dict[str, int] = {}

    def feed(self, messages: Iterable[Arrived]) -> None:
        for arrived in messages:
            self._pending.extend(_items(arrived))

    def next(self, most: int) -> FleetFlow[Told | None]:
        """What comes next; None if there is nothing. It is the same until `keep` was called with it.

        Raises Overtaken.
        """
        while self._pending:
            first = self._pending[0].what
            told = (yield from self._end(first, most)) if isinstance(first, End) else (yield from self._states(most))
            if told.events or told.fresh or told.end:
                return told
            if not (yield from self.keep(told)):
                raise Overtaken
        return None

    def keep(self, told: Told) -> FleetFlow[bool]:
        """It was acknowledged. Returns False where another worker was first: nothing is kept then."""
        if not (yield OfStore(self._store.keep, (told.kept,))):
            return False
        self._before = told.kept.after
        self._origin = told.kept.after
        self._read = told.kept.after.sequence
        self._removed = max(told.kept.gone, key=lambda key: key[1])[1] if told.kept.gone and not told.end else b""
        for _ in range(told.items):
            self._pending.popleft()
        return True

    def _states(self, most: int) -> FleetFlow[Told]:
        """The states up to the next end, or up to the first one of a new generation."""
        before: dict[str, SourceStanding] = {}
        standings: dict[str, SourceStanding] = {}
        run: list[_Item] = []
        seen = self._origin.seen
        for item in self._pending:
            what = item.what
            if isinstance(what, End) or len(run) == most:
                break
            if what is not None:
                source = what.source
                if source not in before:
                    before[source] = standings[source] = yield OfStore(self._store.standing, (source, self.partition))
                if what.generation > standings[source].begun:
                    if run:
                        break
                    begun = {source: SourceStanding(begun=what.generation)}
                    self._begun[source] = what.generation
                    return Told([], FleetFresh(source, what.generation), None, self._kept(0, standings=begun), 0)
                if isinstance(what, _Link):
                    standings[source] = self._linked(standings[source], what)
                elif isinstance(what, Purged):
                    standings[source] = self._purged(standings[source], what, seen)
                if item.link is not None and item.is_last:
                    standings[source] = _done(standings[source], item.link, item.sequence)
            run.append(item)
            seen = item.sequence if item.is_newest and item.is_last else seen
        states = [item.what for item in run if isinstance(item.what, PathState)]
        known: dict[tuple[str, bytes], PathKnown] = {}
        for source in standings:
            paths = [os.fsencode(state.path) for state in states if state.source == source]
            found: Mapping[bytes, PathKnown] = yield OfStore(self._store.known, (source, paths))
            known.update(((source, path), one) for path, one in found.items())
        events, after = _news(states, standings, known)
        changed = {source: standing for source, standing in standings.items() if standing != before[source]}
        return Told(events, None, None, self._kept(len(run), standings=changed, paths=after), len(run))

    def _linked(self, standing: SourceStanding, link: _Link) -> SourceStanding:
        """At the beginning of a message of a log."""
        if link.generation < standing.begun or standing.missed >= link.generation or link.previous <= standing.read:
            return standing
        self.missed[link.source] = link.generation
        return standing._replace(missed=link.generation)

    def _purged(self, standing: SourceStanding, purged: Purged, seen: int) -> SourceStanding:
        """Where deletions are removed from a mirror."""
        if self._begun.get(purged.source) == purged.generation:
            seen = max(seen, self._opened)
        if purged.generation < standing.begun or standing.missed >= purged.generation or purged.sequence <= seen:
            return standing
        self.missed[purged.source] = purged.generation
        return standing._replace(missed=purged.generation)

    def _end(self, end: End, most: int) -> FleetFlow[Told]:
        """Everything of a generation came before: what is known of older ones is gone."""
        standing: SourceStanding = yield OfStore(self._store.standing, (end.source, self.partition))
        if end.generation < standing.complete or end.generation <= standing.missed:  # not all of it was there
            return Told([], None, None, self._kept(1), 1)
        gone: dict[bytes, PathKnown] = {}
        after = self._removed
        while len(gone) < most:
            page = yield OfStore(self._store.older, (end.source, end.generation, after, most))
            gone.update((path, known) for path, known in page if partition_of(path, end.partitions) == end.partition)
            if len(page) < most:
                break
            after = page[-1][0]
        chosen = dict(sorted(gone.items())[:most])
        events = [_deleted(end, path, known) for path, known in chosen.items() if known.is_there]
        removed = {(end.source, path): end.generation for path in chosen}
        if len(chosen) == most:
            return Told(events, None, None, self._kept(0, gone=removed), 0)
        item = self._pending[0]
        now = standing._replace(begun=max(standing.begun, end.generation), complete=end.generation)
        complete = {end.source: now if item.link is None else _done(now, item.link, item.sequence)}
        return Told(events, None, end, self._kept(1, standings=complete, gone=removed), 1)

    def _kept(
        self,
        items: int,
        *,
        standings: Mapping[str, SourceStanding] | None = None,
        paths: Mapping[tuple[str, bytes], PathKnown] | None = None,
        gone: Mapping[tuple[str, bytes], int] | None = None,
    ) -> Kept:
        """With the position after the messages that are done with so many parts: it never lies within one."""
        ends = [item for item in islice(self._pending, items) if item.is_last]
        newest = [item.sequence for item in ends if item.is_newest]
        after = self._origin._replace(
            sequence=ends[-1].sequence if ends else self._read, seen=newest[-1] if newest else self._origin.seen
        )
        return Kept(self.partition, self._before, after, standings or {}, paths or {}, gone or {})


def _items(arrived: Arrived) -> Iterator[_Item]:
    """The parts of a message."""
    told = decode_told(arrived.body)
    if not isinstance(told, PathBatch):
        yield _Item(arrived.sequence, told, is_newest=arrived.is_newest)
        return
    link = _Link(told.source, told.generation, told.previous)
    parts: list[PathState | End | _Link] = [link]
    parts += [as_state(event, told.source, told.generation) for event in told.events]
    if told.complete:
        parts.append(End(told.source, told.generation, told.partition, told.complete))
    for part in parts:
        yield _Item(arrived.sequence, part, link, part is parts[-1], arrived.is_newest)


def _done(standing: SourceStanding, link: _Link, sequence: int) -> SourceStanding:
    """At the end of a message of a log."""
    return standing if link.generation != standing.begun else standing._replace(read=max(standing.read, sequence))


def _news(
    states: Iterable[PathState], standings: Mapping[str, SourceStanding], known: Mapping[tuple[str, bytes], PathKnown]
) -> tuple[list[PathState], dict[tuple[str, bytes], PathKnown]]:
    """The events, one for each path, and what is known of the paths afterwards."""
    events: dict[tuple[str, bytes], PathState] = {}
    after: dict[tuple[str, bytes], PathKnown] = {}
    for state in states:
        key = state.source, os.fsencode(state.path)
        if is_news(state, standings[state.source], after.get(key) or known.get(key)):
            is_there = state.event_type != "deleted"
            if is_there:
                state.event_type = "modified" if key in known and known[key].is_there else "created"
            events[key] = state
            after[key] = PathKnown(state.generation, state.tick, is_there, state.is_directory)
    return list(events.values()), after


def _deleted(end: End, path: bytes, known: PathKnown) -> PathState:
    return PathState(
        "deleted", os.fsdecode(path), known.is_directory, None, None, known.tick, 0.0,
        source=end.source, generation=end.generation,
    )  # fmt: skip
