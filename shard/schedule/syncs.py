"""The syncs that a shard is asked for, by their tokens. Pure.

Those that come while one is under way wait for the next one, which answers them all.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from typing import Final

#: Answers that are remembered: the aggregator repeats a token until it has the answer.
_ANSWERED_MAX: Final = 1000


class SyncTokens:
    """Owned by one thread."""

    def __init__(self) -> None:
        self._waiting: set[int] = set()
        self._under_way: set[int] = set()
        self._answered: deque[int] = deque(maxlen=_ANSWERED_MAX)
        #: Those that the aggregator asked for when it was heard last.
        self._wanted: frozenset[int] = frozenset()

    def __bool__(self) -> bool:
        """Whether one is still to be answered."""
        return bool(self._waiting or self._under_way)

    @property
    def under_way(self) -> bool:
        """Whether anybody waits for the answer of the one that was begun."""
        return bool(self._under_way)

    def knows(self, token: int) -> bool:
        """Whether it was asked for in this epoch and under this plan, and not given up."""
        return token in self._waiting or token in self._under_way or token in self._answered

    def ask(self, token: int) -> None:
        """It is to be answered by the next one that begins."""
        self._waiting.add(token)

    def keep(self, tokens: Collection[int]) -> None:
        """Forgets those that are not among these: whoever asked for them has given up. The aggregator asks for these."""
        self._wanted = frozenset(tokens)
        self._waiting.intersection_update(tokens)
        self._under_way.intersection_update(tokens)

    def begin(self) -> None:
        """All that wait are under way."""
        self._under_way, self._waiting = self._waiting, set()

    def answer(self) -> list[int]:
        """What was under way is answered; returns the tokens."""
        answered, self._under_way = sorted(self._under_way), set()
        self._answered.extend(answered)
        return answered

    def begin_anew(self) -> bool:
        """Another plan is in force, with places that were not looked at for those that were answered or begun: these are to be
        answered once more, as far as they were asked for to the last. Returns whether any wait to begin."""
        self._waiting.update(self._wanted.intersection((*self._answered, *self._under_way)))
        self._answered.clear()
        self._under_way.clear()
        return bool(self._waiting)

    def clear(self) -> None:
        """A new epoch answers anew, for the answers of the last one may be lost."""
        self._waiting.clear()
        self._under_way.clear()
        self._answered.clear()
