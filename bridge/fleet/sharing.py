"""Which worker of a group has which partition. Pure: times are given.

A partition belongs to one worker at a time, by a lease: a message with the worker's name, which the worker writes again and
again, each time only if it is the last one that it has written. Whoever sees the same message for longer than the lease takes the
partition, if the message is the last one still. Clocks of different machines are never compared.

A worker counts its lease from before it writes, and the others from after they have read, and a bit longer. So the worker knows
first that it is over.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final, NamedTuple

from msgspec import Struct

#: How much longer a lease is for the others, for clocks that do not run equally fast.
OTHERS_FACTOR: Final = 1.1
#: How often a lease is renewed while it lasts.
RENEWALS: Final = 4


class LeaseSeen(Struct, frozen=True):
    """The last message of a subject."""

    revision: int
    #: "": given back.
    worker: str
    lease_s: float
    #: When it was seen first.
    since: float

    def is_over(self, now: float) -> bool:
        return not self.worker or now >= self.since + self.lease_s * OTHERS_FACTOR


#: Of a subject that has none.
FREE: Final = LeaseSeen(0, "", 0.0, 0.0)


class Tenure(Struct):
    """A partition that this worker has."""

    revision: int
    until: float


class Write(NamedTuple):
    """Write this worker's name, or "" to give the partition back, if the last message is that one."""

    partition: int
    worker: str
    revision: int


class Share:
    """The partitions of one worker. `worker` is its name, which no other process has; `lease_s` for how long it takes one."""

    def __init__(self, worker: str, lease_s: float) -> None:
        self.worker = worker
        self.lease_s = lease_s
        self._leases: dict[int, LeaseSeen] = {}
        self._workers: dict[str, LeaseSeen] = {}
        self._mine: dict[int, Tenure] = {}
        #: What is to be given back once nothing of it is in hand.
        self._leaving: set[int] = set()

    def saw(self, partition: int, revision: int, worker: str, lease_s: float, now: float) -> None:
        """The last message of a partition; `revision` 0: there is none."""
        seen = self._leases.get(partition, FREE)
        if 0 < revision <= seen.revision:
            return
        self._leases[partition] = LeaseSeen(revision, worker, lease_s, now)
        mine = self._mine.get(partition)
        if mine is not None and worker == self.worker:
            mine.revision = max(mine.revision, revision)  # its answer was lost: it counts from when it was renewed before
        elif mine is not None and not 0 < revision <= mine.revision:
            del self._mine[partition]

    def saw_worker(self, worker: str, revision: int, lease_s: float, now: float) -> None:
        """A sign of life; a `lease_s` of 0 says goodbye."""
        self._workers[worker] = LeaseSeen(revision, worker if lease_s else "", lease_s, now)

    def holds(self, partition: int, now: float) -> bool:
        mine = self._mine.get(partition)
        return mine is not None and now < mine.until

    def may_hand_out(self, partition: int, now: float) -> bool:
        return self.holds(partition, now) and partition not in self._leaving

    def held(self, now: float) -> list[int]:
        return [partition for partition in self._mine if self.holds(partition, now)]

    def has_all(self, partitions: int, now: float) -> bool:
        """Whether there is nothing that this worker could take."""
        return len(self.held(now)) >= self.target(partitions, now)

    def target(self, partitions: int, now: float) -> int:
        """How many of so many partitions this worker should have: all have equally many, and some one more."""
        others = {name for name, seen in self._workers.items() if name != self.worker and not seen.is_over(now)}
        rank = sorted(others | {self.worker}).index(self.worker)
        return partitions // (len(others) + 1) + (rank < partitions % (len(others) + 1))

    def plan(self, partitions: int, now: float, busy: Collection[int], silent: Collection[int]) -> list[Write]:
        """What to write now.

        Args:
            busy: partitions of which something is in hand: they are not given back.
            silent: partitions that are neither renewed nor taken, since what is in hand is so for too long.
        """
        self._mine = {partition: mine for partition, mine in self._mine.items() if now < mine.until}
        self._workers = {name: seen for name, seen in self._workers.items() if not seen.is_over(now)}
        target = self.target(partitions, now)
        mine = sorted(self._mine)
        kept = [partition for partition in mine if partition < partitions]
        self._leaving = {partition for partition in mine if partition >= partitions} | set(kept[target:])
        back = [Write(n, "", self._mine[n].revision) for n in sorted(self._leaving - set(busy))]
        renewed = [
            Write(n, self.worker, self._mine[n].revision)
            for n in mine
            if n not in silent and (n in busy or n not in self._leaving) and self._is_due(n, now)
        ]
        free = [n for n in range(partitions) if n not in self._mine and n not in silent and self._is_free(n, now)]
        taken = [Write(n, self.worker, self._leases.get(n, FREE).revision) for n in free[: max(0, target - len(kept))]]
        return back + renewed + taken

    def _is_free(self, partition: int, now: float) -> bool:
        return self._leases.get(partition, FREE).is_over(now)

    def goodbye(self, now: float) -> list[Write]:
        """Gives back everything."""
        return [Write(partition, "", self._mine[partition].revision) for partition in self.held(now)]

    def _is_due(self, partition: int, now: float) -> bool:
        return now >= self._mine[partition].until - self.lease_s * (RENEWALS - 1) / RENEWALS

    def wrote(self, write: Write, revision: int, sent: float) -> None:
        """It was the last message still; `sent` is when it was sent, or before."""
        self._leases[write.partition] = LeaseSeen(revision, write.worker, self.lease_s, sent)
        if write.worker:
            self._mine[write.partition] = Tenure(revision, sent + self.lease_s)
        else:
            self._mine.pop(write.partition, None)

    def refused(self, partition: int) -> None:
        """It was not; what the last message is has to be looked up."""
        self._mine.pop(partition, None)
        self._leases.pop(partition, None)
