"""What the messages of a partition mean, given what is kept: what is handed out, in which order. Pure."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from msgspec import Struct

from ..protocol.bodies import End, PathState, decode_told
from ..protocol.names import partition_of
from .steps import FleetFlow, OfStore
from .store import FleetPosition, Kept, PathKnown, SourceStanding


class Arrived(NamedTuple):
    """A message of the stream."""

    sequence: int
    body: bytes


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
    #: Messages that are done with then.
    messages: int


class Overtaken(Exception):
    """Another worker has gone on with the partition."""


def is_news(state: PathState, standing: SourceStanding, known: PathKnown | None) -> bool:
    """The rule of every consumer (docs/fleet.md)."""
    if state.generation < standing.complete:
        return False
    return known is None or (known.generation, known.tick) < (state.generation, state.tick)


class Course:
    """A partition, from where it was taken over.

    Args:
        before: what is stored.
        origin: a position in this stream, of this group; its sequence does not matter.
        begins: everything that comes after this sequence is read.
    """

    def __init__(self, store: Any, partition: int, before: FleetPosition | None, origin: FleetPosition, begins: int) -> None:
        self._store = store
        self.partition = partition
        self._before = before
        self._origin = origin
        #: Up to which sequence all is kept.
        self._read = begins
        self._pending: deque[Arrived] = deque()
        #: Up to which path what an end removes was handed out.
        self._removed = b""

    def feed(self, messages: Iterable[Arrived]) -> None:
        self._pending.extend(messages)

    def next(self, most: int) -> FleetFlow[Told | None]:
        """What comes next; None if there is nothing. It is the same until `keep` was called with it.

        Raises Overtaken.
        """
        while self._pending:
            body = decode_told(self._pending[0].body)
            told = (yield from self._end(body, most)) if isinstance(body, End) else (yield from self._states(most))
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
        self._read = told.kept.after.sequence
        self._removed = max(told.kept.gone, key=lambda key: key[1])[1] if told.kept.gone and not told.end else b""
        for _ in range(told.messages):
            self._pending.popleft()
        return True

    def _states(self, most: int) -> FleetFlow[Told]:
        """The states up to the next end, or up to the first one of a new generation."""
        standings: dict[str, SourceStanding] = {}
        run: list[PathState | None] = []
        for arrived in self._pending:
            state = decode_told(arrived.body)
            if isinstance(state, End) or len(run) == most:
                break
            if state is not None:
                if state.source not in standings:
                    standings[state.source] = yield OfStore(self._store.standing, (state.source, self.partition))
                if state.generation > standings[state.source].begun:
                    if run:
                        break
                    fresh = FleetFresh(state.source, state.generation)
                    begun = {state.source: SourceStanding(begun=state.generation)}
                    return Told([], fresh, None, self._kept(0, standings=begun), 0)
            run.append(state)
        states = [state for state in run if state is not None]
        known: dict[tuple[str, bytes], PathKnown] = {}
        for source in standings:
            paths = [os.fsencode(state.path) for state in states if state.source == source]
            found: Mapping[bytes, PathKnown] = yield OfStore(self._store.known, (source, paths))
            known.update(((source, path), one) for path, one in found.items())
        events, after = _news(states, standings, known)
        return Told(events, None, None, self._kept(len(run), paths=after), len(run))

    def _end(self, end: End, most: int) -> FleetFlow[Told]:
        """Everything of a generation came before: what is known of older ones is gone."""
        standing: SourceStanding = yield OfStore(self._store.standing, (end.source, self.partition))
        if end.generation < standing.complete:
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
        complete = {end.source: SourceStanding(end.generation, end.generation)}
        return Told(events, None, end, self._kept(1, standings=complete, gone=removed), 1)

    def _kept(
        self,
        messages: int,
        *,
        standings: Mapping[str, SourceStanding] | None = None,
        paths: Mapping[tuple[str, bytes], PathKnown] | None = None,
        gone: Mapping[tuple[str, bytes], int] | None = None,
    ) -> Kept:
        """With the position after so many messages."""
        after = self._origin._replace(sequence=self._pending[messages - 1].sequence if messages else self._read)
        return Kept(self.partition, self._before, after, standings or {}, paths or {}, gone or {})


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
