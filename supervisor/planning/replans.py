"""Decides when a running service is planned anew: when a filesystem that can hang was mounted where it shares a shard with
something else. Does no input or output.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from shardwatch.shard.contract.state.planfile import Plan

from .apart import Apart, Mounted

#: Seconds from one new plan to the next, doubled each time up to an hour. For each, directories of the trees are read.
PAUSE_S: Final = 60.0
PAUSE_S_MAX: Final = 3600.0


class Replans:
    """For the plans of one running service. Times are monotonic seconds."""

    def __init__(self, roots: Sequence[bytes]) -> None:
        self._roots = roots
        self._not_before = 0.0
        self._pause_s = PAUSE_S
        #: What was mounted when a plan was last made for it: the limits may leave no room for a better one.
        self._tried: object = None

    def due(self, plan: Plan, mounts: Mounted, now: float) -> bool:
        """Whether another plan is to be made now. It is not while the filesystem of a root is away: what can be seen there then
        is not what is to be planned.

        Args:
            plan: the plan that is in use.
            mounts: the table of mounts as it is now.
        """
        points = {point for point, _ in mounts}
        if now < self._not_before or any(home and home not in points for _, home in plan.homes):
            return False
        apart = self._apart(mounts)
        return not apart.holds_for(plan.anchors) and self._concerns(apart, plan) != self._tried

    def made(self, before: Plan, after: Plan | None, mounts: Mounted, now: float) -> None:
        """Notes that planning for these mounts has led from one plan to another, or to the same, or (None) that it has failed:
        then it is tried again after a pause."""
        if after is None:
            self._not_before = now + PAUSE_S
            return
        self._tried = self._concerns(self._apart(mounts), after)
        if after.generation != before.generation:
            self._not_before = now + self._pause_s
            self._pause_s = min(2 * self._pause_s, PAUSE_S_MAX)

    def _apart(self, mounts: Mounted) -> Apart:
        # Whether a mount is out of scope is left to the planning, so that the filters need not be loaded here.
        return Apart(self._roots, mounts, lambda path: False)

    def _concerns(self, apart: Apart, plan: Plan) -> object:
        return apart.cuts, frozenset(anchor.path for anchor in plan.anchors if apart.mount(anchor.path))
