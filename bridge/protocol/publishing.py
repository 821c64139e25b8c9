"""How a message gets its place: the newest state of a subject stays, whoever publishes and however late it arrives.

Each message says which sequence it expects its subject to have, and the server refuses it if that is another one. So a message
that was held up somewhere can't overwrite what was published in the meantime.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Final, NamedTuple, TypeAlias

from .bodies import NOTHING, Stamp

#: Subjects whose last sequence is remembered. It is only a guess that saves two questions.
REMEMBERED_MAX: Final = 20_000


class Put(NamedTuple):
    """Publish the message, if the last sequence of its subject is this (0: there is none). The answer is the new sequence, or
    None if it was refused.
    """

    expected: int


class GetLast(NamedTuple):
    """Get the last message of the subject. The answer is a Last."""


class Last(NamedTuple):
    """The last message of a subject."""

    sequence: int
    stamp: Stamp


#: Of a subject that has none.
NONE: Final = Last(0, NOTHING)

#: Steps of one message; the result is the sequence that the subject has then.
Flow: TypeAlias = Generator[Put | GetLast, int | Last | None, int]


def publishing(stamp: Stamp, guess: int | None) -> Flow:
    """Publishes a message unless one that is as new or newer is there.

    Args:
        stamp: of the message.
        guess: the last sequence that the subject probably has. None: look first.
    """
    expected = guess
    while True:
        if expected is not None:
            sequence = yield Put(expected)
            if isinstance(sequence, int):
                return sequence
        last = yield GetLast()
        assert isinstance(last, Last)
        if last.stamp >= stamp:
            return last.sequence
        expected = last.sequence


class Remembered:
    """The last sequence of the subjects that were published last. The others are taken to be as the last of them was that was
    looked at: a tree that is shipped for the first time has none of its subjects in the stream, and one that is shipped again
    has all of them.
    """

    def __init__(self, most: int = REMEMBERED_MAX) -> None:
        self._most = most
        self._sequences: dict[str, int] = {}
        self._others_are_new = True

    def guess(self, subject: str) -> int | None:
        """None where it is better to look first."""
        return self._sequences.get(subject, 0 if self._others_are_new else None)

    def looked(self, found: Last) -> None:
        """At a subject."""
        self._others_are_new = not found.sequence

    def note(self, subject: str, sequence: int) -> None:
        self._sequences.pop(subject, None)
        self._sequences[subject] = sequence
        if len(self._sequences) > self._most:
            del self._sequences[next(iter(self._sequences))]
