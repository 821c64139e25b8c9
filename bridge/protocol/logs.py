"""The layout `batches`: a partition is a log, whose messages have many events each, and each message says what came before it.

So whoever reads a partition notices where something is missing, because it was removed by its age, or to make room.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from hashlib import blake2b
from typing import Final, NamedTuple, TypeAlias

from shardwatch.aggregator.protocol.messages import Event

from .bodies import Message, Stamp, encode_event, newest_states
from .names import Subjects
from .publishing import GetLast, Last

#: Largest body that is made, bytes; a server may take shorter ones only. Larger ones would not be faster.
LOG_BYTES_MAX: Final = 256 * 1024
#: What a body has beside its events is shorter.
_ENVELOPE_BYTES_MAX: Final = 512


class LogEntry(NamedTuple):
    """A message for the log of a partition, which may be tried at several places."""

    partition: int
    generation: int
    #: Of its body, without what says where it stands.
    events: bytes
    #: More than 0: everything of the generation in this partition came before, and it has so many partitions.
    complete: int = 0

    def message(self, names: Subjects, previous: int) -> Message:
        """At its place: after the entry with that sequence (0: the first one of its generation)."""
        body = (
            f'{{"type":"batch","source":"{names.source}","generation":{self.generation},"partition":{self.partition},'
            f'"previous":{previous},"complete":{self.complete},"events":['
        )
        # Where it has events: to publish a mark twice does no harm.
        told = blake2b(self.events, digest_size=16).hexdigest() if self.events else ""
        name = f"{names.source}.{self.generation}.{self.partition}.{told}" if told else ""
        return Message(names.log(self.partition), Stamp(self.generation, 0), b"".join((body.encode(), self.events, b"]}")), name)


def entries(events: Iterable[Event], names: Subjects, generation: int, bytes_max: int) -> list[LogEntry]:
    """The events as entries: those of a partition in their order, with the last state of each path.

    Args:
        bytes_max: of a body; room for one event with the longest path is needed.
    """
    partitions: dict[int, list[bytes]] = {}
    for path, state in newest_states(events):
        partitions.setdefault(names.partition(path), []).append(encode_event(state))
    return [
        LogEntry(partition, generation, b",".join(run))
        for partition, encoded in partitions.items()
        for run in _runs(encoded, min(bytes_max, LOG_BYTES_MAX) - _ENVELOPE_BYTES_MAX)
    ]


def _runs(encoded: list[bytes], bytes_max: int) -> Iterator[list[bytes]]:
    run: list[bytes] = []
    size = 0
    for one in encoded:
        if run and size + len(one) + 1 > bytes_max:
            yield run
            run, size = [], 0
        run.append(one)
        size += len(one) + 1
    yield run


def end_entry(names: Subjects, generation: int, partition: int) -> LogEntry:
    """Says that everything of a generation in a partition came before."""
    return LogEntry(partition, generation, b"", names.partitions)


def mark_entry(generation: int, partition: int) -> LogEntry:
    """Says nothing new: it is there so that a partition has an entry, from which one sees whether others are missing."""
    return LogEntry(partition, generation, b"")


class Tail(NamedTuple):
    """The end of a partition's log, as far as whoever writes it knows."""

    #: Sequence of the last entry of this generation; 0: there is none yet.
    previous: int = 0
    #: The last sequence of the subject. None: look first.
    expected: int | None = None


class Append(NamedTuple):
    """Publish the entry, if the last sequence of its subject is `expected`; it says that it follows `previous`. The answer is its
    sequence, or None if it was refused.
    """

    expected: int
    previous: int


class ProveOwner(NamedTuple):
    """Make sure that nobody else ships this source by now."""


class Superseded(Exception):
    """Somebody else has begun a later generation."""


#: Steps of one entry; the result is its sequence.
AppendFlow: TypeAlias = Generator[Append | GetLast | ProveOwner, int | Last | None, int]


def appending(generation: int, tail: Tail) -> AppendFlow:
    """Appends an entry, so that it names the entry of its generation that is before it, also where somebody has put one there in
    the meantime. Raises Superseded.
    """
    previous, expected = tail
    while True:
        if expected is not None:
            sequence = yield Append(expected, previous)
            if isinstance(sequence, int):
                return sequence
        last = yield GetLast()
        assert isinstance(last, Last)
        expected = last.sequence
        if last.stamp.generation > generation:
            raise Superseded
        if last.stamp.generation == generation:
            previous = last.sequence
        elif previous:  # it is too old, and gone. Somebody else's, which came after it, may be gone as well
            yield ProveOwner()


def needs_mark(tail: Tail, first: int, last: int) -> bool:
    """Whether the last entry of a log is among the older half of what the stream has (`first` to `last`), or gone. It gets a mark
    then, so that a log is never empty while others grow.
    """
    return 0 < tail.previous < first + max(0, last - first) // 2
