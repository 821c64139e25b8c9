"""How the batches of a group ended that were not acked. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from .journal import BatchEnded, BatchForgotten, GroupChanged, Journal

#: Batches of a group that ended without an ack and are remembered with the reason; an ack of an older one is refused too.
ENDED_MAX: Final = 1_000


class EndedBatches:
    """The last of them, by number. Every method that changes something leaves it in `journal`.

    Args:
        floor: numbers below it are too old to tell a batch that was acked from one that failed.
        ended: why batches ended, by number, the oldest first.
    """

    def __init__(self, journal: Journal, floor: int, ended: Mapping[int, str]) -> None:
        self._journal = journal
        self.floor = floor
        self._ended = dict(ended)

    def was_acked(self, number: int, next_number: int) -> bool:
        """Whether the batch of a number that is not on lease was acked: the number was given, so it is below `next_number`, and
        no other end is known."""
        return number not in self._ended and max(self.floor, 1) <= number < next_number

    def why(self, number: int) -> str:
        """Why the batch ended."""
        return self._ended.get(number, "the group does not know it")

    def remember(self, number: int, reason: str) -> None:
        """A batch has ended without an ack."""
        self._ended[number] = reason
        self._journal.note(BatchEnded(number, reason))
        if len(self._ended) > ENDED_MAX:
            first = next(iter(self._ended))
            del self._ended[first]
            self.floor = max(self.floor, first + 1)
            self._journal.note_all([BatchForgotten(first), GroupChanged()])
