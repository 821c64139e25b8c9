"""How units end, and what becomes of their rows: acknowledged, handed out again, or set aside. Pure."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from .choice import kind_told
from .failure import Failure
from .holder_mark import HolderMark
from .index_port import IndexPort
from .position import Position
from .record import SetAsidePath
from .set_aside import SetAside
from .unit import Unit
from .units import Units

#: First and longest pause before a batch that failed is handed out again, seconds; doubled at each failure.
RETRY_S: Final = 0.2
RETRY_S_MAX: Final = 30.0


class Outcomes:
    """Moves the units of one group to where they belong when they end.

    Args:
        attempts_max: failures after which a batch is handed out in pieces, and a lone path set aside.
    """

    def __init__(self, mark: HolderMark, position: Position, units: Units, set_aside: SetAside, attempts_max: int) -> None:
        self._mark = mark
        self._position = position
        self._units = units
        self._set_aside = set_aside
        self._attempts_max = attempts_max

    def acked(self, index: IndexPort, unit: Unit) -> None:
        """The unit is done."""
        self._units.leases.acked(unit)
        self._position.free(unit, self._units.leases)
        self._mark.acknowledge(index, unit.parts)

    def acked_some(self, index: IndexPort, unit: Unit, ticks: Collection[int]) -> int:
        """The rows of the unit with these ticks are done, the others stay on lease. Number of the former."""
        done = unit.take_out(ticks)
        if not unit.parts:
            unit.parts = done.parts
            self.acked(index, unit)
        elif done.parts:
            self._units.leases.shrunk(unit)
            self._position.free(done, self._units.leases)
            self._mark.acknowledge(index, done.parts)
        return done.paths()

    def give_back(self, unit: Unit, now: float, why: str) -> None:
        """The unit is handed out again at once, and that does not count as a failure."""
        self._units.leases.end(unit, why)
        self._position.free(unit, self._units.leases)
        self._units.redeliveries.give_back(unit, now)

    def nacked(self, index: IndexPort, unit: Unit, now: float, failure: Failure) -> float:
        """A worker says that the unit failed; the pause until it is handed out again, seconds."""
        self._units.leases.end(unit, "it was nacked")
        return self._failed(index, unit, now, failure)

    def nacked_some(self, index: IndexPort, unit: Unit, now: float, failure: Failure, ticks: Collection[int]) -> float:
        """A worker says that the rows of the unit with these ticks failed, which are a unit of their own from then on; the others
        stay on lease. The pause, seconds; 0 if there are none."""
        failed = unit.take_out({*ticks, *self._deletions_of(index, unit, ticks)})
        if not unit.parts:
            unit.parts = failed.parts
            return self.nacked(index, unit, now, failure)
        if not failed.parts:
            return 0.0
        self._units.leases.shrunk(unit)
        return self._failed(index, self._units.split(unit, failed.parts), now, failure)

    def _deletions_of(self, index: IndexPort, unit: Unit, ticks: Collection[int]) -> set[int]:
        """The ticks of the deletions that events `moved` with these ticks stand for. After a restart it is not known what the
        events were: then that of every deletion, because none may be acknowledged that the worker has not applied."""
        if unit.moves is not None:
            return {unit.moves[tick] for tick in ticks if tick in unit.moves}
        if not any(tick in ticks for part in unit.parts for tick in part.ticks):
            return set()
        return {row.tick for part in unit.parts for row in index.rows_at(part.lane, part.ticks) if not row.kind}

    def expire(self, index: IndexPort, now: float) -> None:
        """Ends the leases that are over."""
        for unit in self._units.leases.end_expired(now):
            if unit.ahead:
                self._position.free(unit, self._units.leases)
                self._units.redeliveries.give_back(unit, now)
                continue
            at = f" at worker {unit.worker}" if unit.worker else ""
            self._failed(index, unit, now, Failure("its lease expired" + at, 0))

    def _failed(self, index: IndexPort, unit: Unit, now: float, failure: Failure) -> float:
        """A unit whose lease has ended counts as failed; the pause until it is handed out again, seconds."""
        self._position.free(unit, self._units.leases)
        unit.fail(failure.reason)
        pause_s = retry_pause_s(unit.failures) if failure.retry_s is None else failure.retry_s
        if unit.failures < self._attempts_max or unit.fresh:
            self._units.redeliveries.give_back(unit, now + pause_s)
            return pause_s
        self._units.redeliveries.drop(unit)
        if unit.paths() > 1:
            for piece in unit.pieces():
                self._units.redeliveries.add([piece], now)
        else:
            self._set_path_aside(index, unit, failure.output)
        return pause_s

    def _set_path_aside(self, index: IndexPort, unit: Unit, output: str) -> None:
        """The only path of a unit; nothing where its row has moved on."""
        part = unit.parts[0]
        for row in index.rows_at(part.lane, part.ticks):
            path = SetAsidePath(part.lane, row.tick, part.handed, row.path, bool(row.directory), unit.failures, unit.reason)
            kind = "deleted" if not row.kind else kind_told(row, part, self._position.lane(part.lane), self._mark)
            self._set_aside.add(path, kind, output)


def retry_pause_s(failures: int) -> float:
    """Seconds until a batch that has failed so often (once at least) is handed out again."""
    return min(RETRY_S_MAX, RETRY_S * 2.0 ** min(failures - 1, 16))
