"""Requests that were sent and are not answered: which reply answers which, and when one counts as lost. Pure: no sockets, and
the time is passed in."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from msgspec import Struct

from shardwatch.aggregator.client.requests import Request

#: What is added to a request's own wait before it counts as lost and is sent again.
ANSWER_S: Final = 5.0
#: When what was refused for now is asked again, seconds; at once, if the connection is made anew before that.
REFUSED_S: Final = 1.0

Reply = dict[str, Any]


class _Open(Struct):
    """One of them. `due`: when it counts as lost, or is asked again because it was `refused` for now."""

    op: str
    frame: bytes
    wait_s: float
    due: float
    refused: bool = False


class InFlight:
    """At least once: a request whose answer was lost is sent again, and may be carried out twice.

    Args:
        asked_again: codes of errors that are no answer: what is refused so is asked again.
    """

    def __init__(self, asked_again: frozenset[str]) -> None:
        self._asked_again = asked_again
        self._number = 0
        self._open: dict[int, _Open] = {}

    def __len__(self) -> int:
        return len(self._open)

    @property
    def ends_leases(self) -> bool:
        """Whether acks or releases are among them."""
        return any(one.op in ("ack", "release") for one in self._open.values())

    def add(self, request: Request, now: float) -> int:
        """Notes a request that is sent now; its number. Raises UsageError for what can't be sent."""
        frame = request.frame(self._number + 1)
        self._number += 1
        self._open[self._number] = _Open(request.op, frame, request.wait_s, now + request.wait_s + ANSWER_S)
        return self._number

    def frame(self, number: int) -> bytes:
        return self._open[number].frame

    def frames(self) -> Iterator[bytes]:
        """All of them, to be sent again, in the order in which they were asked."""
        for one in self._open.values():
            yield one.frame

    def begin_anew(self, now: float) -> None:
        """They are sent once more: answers are due from now on."""
        for one in self._open.values():
            one.due, one.refused = now + one.wait_s + ANSWER_S, False

    def connected(self, now: float) -> None:
        """What was sent before there was a connection is asked only now: an answer is due from now on, save to what was refused
        meanwhile. That may be heard of before the connection is."""
        for one in self._open.values():
            if not one.refused:
                one.due = now + one.wait_s + ANSWER_S

    def next_due(self) -> float:
        """When the first of them counts as lost; infinite where there are none."""
        return min((one.due for one in self._open.values()), default=float("inf"))

    def answered(self, reply: Reply, now: float) -> bool:
        """Takes note of a reply. Whether it is to be passed on: an answer, or what must not be lost although nobody asked any
        more (a batch that is handed out twice, since its request was sent twice)."""
        number = reply.get("id")
        one = self._open.get(number) if isinstance(number, int) else None
        if one is not None and reply.get("error") in self._asked_again:
            one.due, one.refused = min(one.due, now + REFUSED_S), True
            return False
        if isinstance(number, int):
            self._open.pop(number, None)
        return one is not None or hands_out(reply)

    def forget(self, number: int) -> None:
        """Nobody waits for its answer any more."""
        self._open.pop(number, None)

    def keep_lease_ends(self) -> None:
        """Forgets all but acks and releases: nobody waits for the answers to the others any more."""
        self._open = {number: one for number, one in self._open.items() if one.op in ("ack", "release")}


def hands_out(reply: Reply) -> bool:
    """Whether a reply carries a batch (an ack's carries the batch's name only)."""
    return isinstance(reply.get("batch"), dict)
