"""How a shard that runs gets from one plan to another."""

from __future__ import annotations

from ..contract.state.planfile import PartChange, Plan, PlanFile, part_change
from ..contract.state.settings import Settings


class PlanOverError(Exception):
    """There is a plan that this process can't go on with: it is to be started again with it."""


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
        change = None if self._fixed else part_change(self._shard, self._plan, plan)
        if change is None or not self._allows(change):
            raise PlanOverError
        self._next = plan
        return plan, change

    def _allows(self, change: PartChange) -> bool:
        """Whether these settings let a shard change its part while it runs. Links lead anywhere."""
        return not (self._settings.follow_symlinks and change)
