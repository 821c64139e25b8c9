"""Pulls of workers that have a batch and ask for the next one. Does no input or output.

To make a batch takes as long as many other requests. Nobody waits for one that is pulled ahead, but a worker that begins another
one does, mostly with a request of the same moment. So whoever else has asked in a turn is answered first.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

from ..groups.batch import GroupBatch, NoBatch
from ..protocol.messages import RefusedError
from .call import Call
from .handing_out import HandingOut
from .outbox import Outbox
from .roster import Roster

#: Pulls ahead that are put off at a time. Further ones are answered in the turn in which they come.
LATER_MAX: Final = 100


class PullsAhead:
    """They never wait for anything to change.

    Args:
        waiting: the number of usual pulls that wait for a group.
    """

    def __init__(self, roster: Roster, handing_out: HandingOut, outbox: Outbox, waiting: Callable[[str], int]) -> None:
        self._roster = roster
        self._handing_out = handing_out
        self._outbox = outbox
        self._waiting = waiting
        #: Those that were put off in this turn, and those of earlier ones.
        self._later: list[Call] = []
        self._due: deque[Call] = deque()

    def __len__(self) -> int:
        """The number of those that are put off."""
        return len(self._later) + len(self._due)

    def pull(self, call: Call, now: float) -> None:
        """Answers it now, or in the next turn if anybody else is answered in this one. Raises RefusedError."""
        if self._outbox.size and len(self) < LATER_MAX:
            self._later.append(call)
        else:
            self._answer(call, now)

    def begin_turn(self) -> None:
        """What was put off before may be answered from now on."""
        if self._later:
            self._due += self._later
            self._later.clear()

    def serve(self, now: float, over: Callable[[], bool]) -> None:
        """Answers what was put off in earlier turns, until the time for this is `over`."""
        while self._due:
            call = self._due[0]  # until it is answered: what it asks of a disk that fails may end that
            try:
                self._answer(call, now)
            except RefusedError as error:
                self._outbox.refuse(call, error)
            self._due.popleft()
            if over():
                return

    def _answer(self, call: Call, now: float) -> None:
        group = self._roster.use(call.request.group)
        others_wait = bool(self._waiting(group.name))
        pull = self._handing_out.open(call, group, now, others_wait=others_wait)
        found = NoBatch.TURN if others_wait else self._handing_out.grant(group, pull, now)
        if isinstance(found, GroupBatch):
            self._handing_out.answer(group, pull, found)
        else:
            self._outbox.answer(call, pull.nothing(found))

    def forget(self, peers: frozenset[bytes]) -> None:
        """Forgets those of connections that are gone."""
        self._later = [call for call in self._later if not call.is_of(peers)]
        self._due = deque(call for call in self._due if not call.is_of(peers))

    def give_up(self, why: RefusedError) -> None:
        """Refuses all of them."""
        for call in (*self._due, *self._later):
            self._outbox.refuse(call, why)
        self._later.clear()
        self._due.clear()
