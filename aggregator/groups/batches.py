"""The batches of a group that were handed out, and what their workers say about them.

Pure, as the group is: what must become durable is left in the group's journal.
"""

from __future__ import annotations

from collections.abc import Collection, Container

from shardwatch.shard.contract.input.shown import shown

from ..protocol.messages import RefusedError
from .failure import Failure
from .index_port import IndexPort
from .outcomes import Outcomes
from .unit import Unit
from .units import Fate, Units


class Batches:
    """What was handed out to workers, by the number of the batch: acknowledged, failed, given back, or over.

    Args:
        token: what the ids of these batches begin with; those of another token are another group's.
    """

    def __init__(self, token: str, units: Units, outcomes: Outcomes) -> None:
        self.token = token
        self._units = units
        self._outcomes = outcomes

    def rename(self, token: str) -> None:
        """Batches that were handed out before are not known any more: their ids are refused from now on."""
        self.token = token

    def batch_id(self, number: int) -> str:
        """What a worker calls the batch."""
        return f"{self.token}-{number}"

    def number(self, batch_id: str) -> int:
        """The batch that a worker means. Raises RefusedError if it is none of this group."""
        token, _, number = batch_id.rpartition("-")
        if not (number.isascii() and number.isdigit()) or len(number) > 18:
            raise RefusedError("bad_field", f"{shown(batch_id)} is no id of a batch", "send the id that pull gave, as it was")
        if token != self.token:
            raise RefusedError(
                "lease_expired",
                "the batch is not of this group: it was dropped and made anew, or the batch is another group's",
                "drop the batch and pull again",
            )
        return int(number)

    def fate(self, number: int) -> Fate:
        """What has become of a batch."""
        return self._units.fate(number)

    def end_acked(self, index: IndexPort, number: int, now: float) -> Unit | None:
        """The batch is done, and never handed out again. What it was; None if it was acked before. Raises RefusedError. For
        `Group.ack` alone: a group whose `fresh` batch is done begins then."""
        self.expire(index, now)
        if self._units.fate(number) is Fate.ACKED:
            return None
        unit = self._on_lease(number)
        self._outcomes.acked(index, unit)
        return unit

    def ack_some(self, index: IndexPort, number: int, now: float, ticks: Collection[int]) -> int | None:
        """Done are the rows of the batch with these ticks; the others stay on lease. Ticks that the batch does not have (any
        more) are ignored, and with the last row the batch is acked. Number of these rows; None if the batch was acked before.
        Raises RefusedError."""
        self.expire(index, now)
        if self._units.fate(number) is Fate.ACKED:
            return None
        unit = self._on_lease(number)
        if unit.fresh:
            raise RefusedError("bad_field", "a fresh batch has no ticks to acknowledge alone", "ack the batch")
        return self._outcomes.acked_some(index, unit, ticks)

    def extend(self, index: IndexPort, number: int, now: float, lease_s: float) -> None:
        """The lease ends lease_s seconds from now, and what was pulled ahead has begun. Raises RefusedError."""
        self.expire(index, now)
        self._units.leases.extend(self._on_lease(number), now + lease_s)

    def nack(self, index: IndexPort, number: int, now: float, failure: Failure) -> float:
        """The batch failed: it is handed out again after a pause; in pieces after attempts_max, and a lone path that fails as
        often is set aside, with the end of what the worker had written. That pause, seconds. Raises RefusedError."""
        self.expire(index, now)
        return self._outcomes.nacked(index, self._on_lease(number), now, failure)

    def nack_some(self, index: IndexPort, number: int, now: float, failure: Failure, ticks: Collection[int]) -> float:
        """Failed have the rows of the batch with these ticks, as if they were a batch, with the deletions that belong to what was
        moved; the others stay on lease. Ticks that the batch does not have (any more) are ignored, and with the last row the
        batch has failed. The pause, seconds; 0 if it has none of these. Raises RefusedError."""
        self.expire(index, now)
        unit = self._on_lease(number)
        if unit.fresh:
            raise RefusedError("bad_field", "a fresh batch has no ticks that could fail alone", "nack the batch")
        return self._outcomes.nacked_some(index, unit, now, failure, ticks)

    def release(self, index: IndexPort, number: int, now: float, why: str = "it was released") -> None:
        """Gives a batch back: handed out again at once, and not counted as a failure. Raises RefusedError."""
        self.expire(index, now)
        self._outcomes.give_back(self._on_lease(number), now, why)

    def take_back(self, batch_id: str, now: float, why: str) -> bool:
        """`release`s a batch that never reached its worker; False if it is not on lease any more."""
        token, _, number = batch_id.rpartition("-")
        unit = self._units.leases.get(int(number)) if token == self.token else None
        if unit is None:
            return False
        self._outcomes.give_back(unit, now, why)
        return True

    def take_back_repeated(self, worker: str, once: int, peer: bytes, now: float) -> bool:
        """`release`s what the pull of a worker with this number was handed on another connection, since it has come again: the
        reply to it was lost. Whether there was anything."""
        unit = self._units.leases.handed_to(worker, once, peer)
        if unit is not None:
            self._outcomes.give_back(unit, now, "its pull came again, since the reply to it was lost")
        return unit is not None

    def release_worker(self, index: IndexPort, worker: str, now: float) -> int:
        """`release`s all batches of a worker. Number of them."""
        self.expire(index, now)
        units = [unit for unit in self._units.leases if unit.worker == worker]
        for unit in units:
            self._outcomes.give_back(unit, now, "it was released")
        return len(units)

    def take_back_ahead(self, now: float, why: str, *, most: int | None = None, peers: Container[bytes] | None = None) -> int:
        """`release`s batches that were pulled ahead, the oldest first: all, or at most so many; all, or those of these
        connections. Number of them."""
        units = [unit for unit in self._units.leases.ahead() if peers is None or unit.peer in peers][:most]
        for unit in units:
            self._outcomes.give_back(unit, now, why)
        return len(units)

    def begin_ahead(self, index: IndexPort, peer: bytes, now: float, lease_s: float) -> int | None:
        """Begins what was pulled ahead on this connection, the oldest first: its lease ends lease_s seconds from now. Its number;
        None if there is nothing."""
        self.expire(index, now)
        unit = next((unit for unit in self._units.leases.ahead() if unit.peer == peer), None)
        if unit is None:
            return None
        self._units.leases.extend(unit, now + lease_s)
        return unit.number

    @property
    def has_ahead(self) -> bool:
        """Whether any batch is pulled ahead."""
        return bool(self._units.leases.ahead())

    def _on_lease(self, number: int) -> Unit:
        unit = self._units.leases.get(number)
        if unit is not None:
            return unit
        if self._units.fate(number) is Fate.ACKED:
            raise RefusedError("already_acked", "the batch is acked", "nothing is left to be done for it")
        raise RefusedError(
            "lease_expired",
            f"the batch is not on lease: {self._units.ended.why(number)}",
            "drop it: its paths are handed out again; extend leases of long work, or raise lease_ms",
        )

    # -- time

    def expire(self, index: IndexPort, now: float) -> None:
        """Ends the leases that are over."""
        self._outcomes.expire(index, now)

    def reboot(self, now: float) -> None:
        """The machine was started anew: no worker is alive, and dates of then mean nothing."""
        for unit in list(self._units.leases):
            self._outcomes.give_back(unit, now, "the machine was started anew")
        self._units.redeliveries.make_due(now)

    def shift(self, by: float) -> None:
        """All leases end later: the service could not answer for that long."""
        self._units.leases.delay(by)

    def next_due(self, now: float) -> float:
        """When there is something to do again: a lease ends, a unit becomes due. What is due already only lacks a pull."""
        return self._units.next_due(now)
