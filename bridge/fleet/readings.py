"""What a member tells of the partitions that it reads. `reading` numbers its attempts, of which the last one counts."""

from __future__ import annotations

from typing import NamedTuple

from .course import Arrived


class LastGeneration(NamedTuple):
    """The last generation of a source."""

    source: str
    generation: int
    #: All of it comes after this sequence.
    base: int
    #: Sequence of its last message in a partition that is a log; 0: there is none, or it is no log.
    last: int = 0


class ReadingOpened(NamedTuple):
    """A partition is this worker's: tell with `start` from where on to read it."""

    partition: int
    reading: int
    stream: str
    #: Of the sources that may have something in it.
    generations: tuple[LastGeneration, ...]
    #: The lowest sequence that the stream has.
    first: int = 0
    #: The highest one that it has given.
    last: int = 0


class Began(NamedTuple):
    """All that comes after a sequence is read now."""

    partition: int
    reading: int
    after: int


class Chunk(NamedTuple):
    """Messages of a partition. The next ones come once `more` was called."""

    partition: int
    reading: int
    messages: list[Arrived]
