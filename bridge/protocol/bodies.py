"""The bodies of messages: JSON objects with a `type`, a `source` and a `generation`."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Final, Literal, NamedTuple

import msgspec
from msgspec import UNSET, Struct

from shardwatch.aggregator.protocol.messages import Event, exact, path_fields
from shardwatch.shard.contract.limits import PATH_BYTES_MAX

from .names import Subjects

#: Largest body, bytes. A byte of a path takes up to 6 in JSON (a control character), and 4/3 more in base64 where the path is not
#: UTF-8; everything else is far below 1,000 bytes.
BODY_BYTES_MAX: Final = PATH_BYTES_MAX * 8
#: What a server and a stream must take: a body, and the headers of a message.
MESSAGE_BYTES_MAX: Final = BODY_BYTES_MAX + 1_024


class Stamp(NamedTuple):
    """Which of two messages of one subject is newer: the higher one."""

    generation: int
    tick: int


#: Of a subject that has no message, or one that is none of ours.
NOTHING: Final = Stamp(0, 0)


class PathState(Event, tag_field="type", tag="event", kw_only=True, gc=False):
    """The state of a path: an event of the extract protocol, and where it comes from. It is never `moved`."""

    source: str
    generation: int


class End(Struct, tag_field="type", tag="end"):
    """Everything of `generation` in this partition comes before this message: what was known of older generations is gone."""

    source: str
    generation: int
    partition: int
    #: Of this generation: it has a path in partition `hash % partitions`, and in no other one.
    partitions: int = 0


class Head(Struct, tag_field="type", tag="head"):
    """Who ships a source, and how far that is."""

    source: str
    #: A random name of the service, the same for as long as its state directory.
    service: str
    #: A random name of the process.
    life: str
    generation: int
    #: Grows with every head of the service.
    counter: int
    #: Every change up to this tick of the service's index is in the stream.
    tick: int
    partitions: int
    #: Partitions in which older generations may have something.
    partitions_before: int
    #: Whether everything of this generation is in the stream.
    complete: bool
    #: Sequence of the head with which the generation began: all of it comes later. 0: it is this one.
    base: int = 0
    #: Layout `batches`: for each partition the sequence of the last message of this generation; 0: there is none.
    lasts: tuple[int, ...] = ()


class Purged(Struct, tag_field="type", tag="purged"):
    """Deletions in this partition up to this sequence are removed from now on (layout `paths`): who has not read them must have
    everything told again.
    """

    source: str
    generation: int
    partition: int
    sequence: int


class PathBatch(Struct, tag_field="type", tag="batch"):
    """An entry of the log of a partition (layout `batches`)."""

    source: str
    generation: int
    partition: int
    #: Sequence of the entry of this generation that is before it; 0: it is the first one.
    previous: int
    events: list[Event]
    #: More than 0: everything of `generation` in this partition came before, and it has so many partitions.
    complete: int = 0


class Message(NamedTuple):
    """One message for a subject."""

    subject: str
    stamp: Stamp
    body: bytes
    #: What is published twice under one name within the stream's window of duplicates is kept once. "": it has none.
    name: str = ""


class _Stamped(Struct):
    """What every message has; others than states have something else, or nothing, in place of the tick."""

    generation: int
    tick: int = 0
    sequence: int = 0


_json = msgspec.json.Encoder()
_stamped = msgspec.json.Decoder(_Stamped)
_head = msgspec.json.Decoder(Head)
_told: msgspec.json.Decoder[PathState | End | Purged | PathBatch] = msgspec.json.Decoder(PathState | End | Purged | PathBatch)


def encode(body: PathState | End | Purged | Head) -> bytes:
    return _json.encode(body)


def decode_head(body: bytes) -> Head | None:
    """None where it is no head of ours."""
    try:
        return _head.decode(body)
    except msgspec.MsgspecError:
        return None


def decode_told(body: bytes) -> PathState | End | Purged | PathBatch | None:
    """What a partition has, with the exact paths; None where it is none of ours."""
    try:
        told = _told.decode(body)
    except msgspec.MsgspecError:
        return None
    if isinstance(told, PathState):
        exact(told)
    elif isinstance(told, PathBatch):
        for event in told.events:
            exact(event)
    return told


def stamp_of(body: bytes) -> Stamp:
    """The stamp of a message; NOTHING where it is none of ours."""
    try:
        found = _stamped.decode(body)
    except msgspec.MsgspecError:
        return NOTHING
    return Stamp(found.generation, found.tick or found.sequence)


def end_message(names: Subjects, generation: int, partition: int) -> Message:
    end = End(names.source, generation, partition, names.partitions)
    return Message(names.end(partition), Stamp(generation, 0), encode(end))


def purged_message(names: Subjects, generation: int, partition: int, sequence: int) -> Message:
    purged = Purged(names.source, generation, partition, sequence)
    return Message(names.purged(partition), Stamp(generation, sequence), encode(purged))


def messages(events: Iterable[Event], names: Subjects, generation: int) -> list[Message]:
    """The messages that tell of these events: one for each path, with its last state. A rename is two: one path is gone, one is
    there. (One message for both could have one place only.)
    """
    return [
        Message(names.path(path), Stamp(generation, state.tick), encode(as_state(state, names.source, generation)))
        for path, state in newest_states(events)
    ]


def as_state(event: Event, source: str, generation: int) -> PathState:
    """An event that is no rename, with where it comes from."""
    return PathState(
        event.event_type, event.path, event.is_directory, event.size, event.mtime_ns, event.tick, event.observed_at,
        event.path_b64, source=source, generation=generation,
    )  # fmt: skip


def encode_event(event: Event) -> bytes:
    return _json.encode(event)


def newest_states(events: Iterable[Event]) -> Iterable[tuple[bytes, Event]]:
    """The exact path, and the last state of it, for each path. They are never `moved`, and have their paths as they travel."""
    newest: dict[bytes, Event] = {}
    for event in events:
        for path, state in _states(event):
            if path not in newest or newest[path].tick <= state.tick:
                newest[path] = state
    return newest.items()


def _states(event: Event) -> list[tuple[bytes, Event]]:
    """The event as states of paths."""

    def state(path: bytes, kind: str, size: int | None, mtime_ns: int | None) -> tuple[bytes, Event]:
        text, exact = path_fields(path)
        return path, Event(kind, text, event.is_directory, size, mtime_ns, event.tick, event.observed_at, exact)

    there = os.fsencode(event.path)
    if event.event_type != "moved" or event.moved_from is UNSET:
        return [state(there, event.event_type, event.size, event.mtime_ns)]
    kind: Literal["created"] = "created"
    return [state(os.fsencode(event.moved_from), "deleted", None, None), state(there, kind, event.size, event.mtime_ns)]
