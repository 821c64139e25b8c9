"""How a shard that runs gets from one plan to another."""

from __future__ import annotations

from typing import NamedTuple

from ..contract.state.passing import in_advance, running_change
from ..contract.state.planfile import Anchor, PartChange, Plan, PlanFile
from ..contract.state.settings import Settings


class PlanOverError(Exception):
    """There is a plan that this process can't go on with: it is to be started again with it."""


class Coming(NamedTuple):
    """What a shard is to watch in advance."""

    #: Of the plan that gives it to the shard; 0: there is nothing.
    generation: int = 0
    anchors: tuple[Anchor, ...] = ()
    #: Every anchor of that plan.
    stops: frozenset[bytes] = frozenset()


class Succession:
    """The plan that a shard goes by, and the one on disk. Owned by one thread.

    Args:
        plan: the one that the process was started with.
        file: the one on disk.
        settings: those that the process was started with.
        fixed: whether the process goes by no other plan, as a stand-in, which is there for a short time.
    """

    def __init__(self, shard: str, plan: Plan, file: PlanFile, settings: Settings, *, fixed: bool) -> None:
        self._shard = shard
        self._plan = plan
        self._file = file
        self._settings = settings
        self._fixed = fixed
        self._next = plan
        #: The plan whose `next` was looked at, and what came of it.
        self._seen: Plan | None = None
        self._coming = Coming()

    @property
    def plans(self) -> tuple[Plan, Plan]:
        """The plan that the shard goes by, as far as `look` was told, and the one that it is to go on with; the same twice if
        there is none."""
        return self._plan, self._next

    def look(self, generation: int) -> tuple[Plan, PartChange] | None:
        """The plan to go on with, and what that changes; None where there is no other.

        It is returned again and again until `generation`, that of the plan which the shard goes by, is that of this plan.

        Raises PlanOverError.
        """
        if self._next.generation == generation:
            self._plan = self._next
        plan = self._file.other_than(generation)
        if plan is None:
            return None
        change = None if self._fixed else running_change(self._shard, self._plan, plan, self._settings)
        if change is None:
            raise PlanOverError
        self._next = plan
        return plan, change

    def coming(self) -> Coming:
        """What the plan that is to follow will give to the shard, as of the last `look`, if that found no other plan."""
        plan = self._file.last
        if plan is not self._seen:
            self._seen = plan
            self._coming = Coming()
            if plan is not None and plan.next is not None and not self._fixed:
                anchors = in_advance(self._shard, plan, plan.next, self._settings)
                if anchors:
                    self._coming = Coming(plan.next.generation, anchors, frozenset(a.path for a in plan.next.anchors))
        return self._coming
