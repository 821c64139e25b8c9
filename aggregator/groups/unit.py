"""Rows that belong together: a batch on lease, or one that is to be handed out again. Pure."""

from __future__ import annotations

from array import array
from collections.abc import Collection, Iterator, Sequence
from typing import Final
from zlib import crc32

from shardwatch.shard.compiled.choice import native

from .lease_terms import LeaseTerms


def sums(keys: Sequence[bytes], /) -> bytes:
    """crc32 of each key, one after the other. Has a native twin (`shard.compiled`)."""
    return array("I", map(crc32, keys)).tobytes()


_sums: Final = native(sums)


class Part:
    """The rows of one lane in a unit."""

    __slots__ = ("handed", "keys", "lane", "sums", "ticks")

    def __init__(self, lane: int, handed: int, ticks: list[int], keys: list[bytes] | None = None, sums: bytes = b"") -> None:
        self.lane = lane
        #: Rows with a tick up to it were handed out before, and are handed out again: it decides the kinds, also of a redelivery.
        self.handed = handed
        self.ticks = ticks
        #: Keys of the rows, beside their ticks; None of a part read from disk, or not on lease.
        self.keys = keys
        #: crc32 of each key: after a restart they keep a leased path fenced though its row may have moved on.
        self.sums = sums

    def crcs(self) -> bytes:
        return self.sums if self.keys is None else _sums(self.keys)

    def only(self, places: Sequence[int]) -> Part:
        """Those of its rows that are at these places."""
        keys = None if self.keys is None else [self.keys[place] for place in places]
        sums = array("I", self.sums)
        kept = array("I", [sums[place] for place in places]).tobytes() if sums else b""
        return Part(self.lane, self.handed, [self.ticks[place] for place in places], keys, kept)

    def forget_keys(self) -> None:
        """The paths are not on lease any more."""
        self.keys, self.sums = None, b""


class Unit:
    """Rows that are acknowledged together."""

    __slots__ = (
        "ahead", "due", "failures", "fresh", "leased", "low", "moves", "number", "once", "parts", "peer", "reason", "worker",
    )  # fmt: skip

    def __init__(
        self,
        number: int,
        parts: list[Part],
        *,
        failures: int = 0,
        due: float = 0.0,
        fresh: str = "",
        leased: bool = False,
        worker: str = "",
        reason: str = "",
        once: int = 0,
    ) -> None:
        self.number = number
        self.parts = parts
        #: Times that it was nacked or expired.
        self.failures = failures
        #: End of the lease, or the time from which it may be handed out again.
        self.due = due
        #: Whether it is on lease, and at which worker.
        self.leased = leased
        self.worker = worker
        #: The number of the pull that was handed it (0: that has none), and the connection on which it came; that is not on disk.
        self.once = once
        self.peer = b""
        #: It is on lease, but pulled ahead: its worker has not begun it, and it may be taken back.
        self.ahead = False
        #: Why it failed last.
        self.reason = reason
        #: Not empty: the one event "forget everything", and why.
        self.fresh = fresh
        #: Of each event `moved`: its tick, and that of the deletion of its old path. None of what was read from disk.
        self.moves: dict[int, int] | None = None
        #: Lowest tick by lane.
        self.low: dict[int, int] = {}
        self._measure()

    def _measure(self) -> None:
        self.low = {}
        for part in self.parts:
            if part.ticks:
                low = min(part.ticks)
                self.low[part.lane] = min(low, self.low.get(part.lane, low))

    def paths(self) -> int:
        return sum([len(part.ticks) for part in self.parts])

    def fail(self, reason: str) -> None:
        """It was handed out, and not acknowledged."""
        self.failures += 1
        self.reason = reason

    def lease(self, number: int, terms: LeaseTerms) -> None:
        self.number, self.due, self.worker, self.leased, self.ahead = number, terms.due, terms.worker, True, terms.ahead
        self.once, self.peer = terms.once, terms.peer

    def begin(self) -> None:
        """Its worker has begun it."""
        self.ahead = False

    def take_moves(self, moves: dict[int, int]) -> None:
        """What its events say, once they are made."""
        self.moves = moves

    def move_due(self, due: float) -> None:
        """Its lease ends, or it may be handed out again, at another time."""
        self.due = due

    def give_back(self, due: float) -> None:
        """It may be handed out again at `due`."""
        self.due, self.leased, self.worker, self.ahead = due, False, "", False
        self.once, self.peer = 0, b""
        for part in self.parts:
            part.forget_keys()

    def give_up(self, lane: int, low: int) -> None:
        """Leaves out the rows of the lane with a tick later than `low`."""
        for part in self.parts:
            if part.lane == lane:
                part.ticks = [tick for tick in part.ticks if tick <= low]
        self._measure()

    def narrow(self, parts: list[Part], room: int) -> list[Part]:
        """Takes the first `room` rows of `parts`; gives those that are left over."""
        rest: list[Part] = []
        self.parts = []
        for part in parts:
            if part.ticks[:room]:
                self.parts.append(Part(part.lane, part.handed, part.ticks[:room], (part.keys or [])[:room]))
            if part.ticks[room:]:
                rest.append(Part(part.lane, part.handed, part.ticks[room:]))
            room = max(0, room - len(part.ticks))
        self._measure()
        return rest

    def take_out(self, ticks: Collection[int]) -> Unit:
        """Takes the rows with these ticks out of it; gives them as a unit. Ticks that it does not have are ignored."""
        taken: list[Part] = []
        left: list[Part] = []
        for part in self.parts:
            for inside, into in ((True, taken), (False, left)):
                places = [place for place, tick in enumerate(part.ticks) if (tick in ticks) is inside]
                if places:
                    into.append(part.only(places))
        self.parts = left
        self._measure()
        return Unit(self.number, taken)

    def pieces(self) -> Iterator[Part]:
        """Each row by itself."""
        for part in self.parts:
            for tick in part.ticks:
                yield Part(part.lane, part.handed, [tick])

    def __lt__(self, other: Unit) -> bool:
        return (self.due, self.number) < (other.due, other.number)
