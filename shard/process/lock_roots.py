"""In which roots a shard looks for the lock files of version control. Pure."""

from __future__ import annotations

from ..contract.files.paths import is_below
from ..contract.state.planfile import Plan, with_roots
from ..contract.state.settings import Settings


class LockRoots:
    """The roots that hold something of one shard. Every shard of a root looks at its lock files: so its own frames, with what
    changed under a lock, never overtake the word of it.

    Args:
        settings: those that the process was started with.
        plan: the one by which it looks at first.
    """

    def __init__(self, shard: str, settings: Settings, plan: Plan) -> None:
        self._shard = shard
        self._settings = settings
        #: The generations of the plans by which it looks.
        self._by = (plan.generation, plan.generation)

    def of(self, *plans: Plan) -> list[bytes]:
        """Those of any of these plans, each once; none where nothing is held for version control."""
        if not self._settings.hold_for_vcs:
            return []
        return list(dict.fromkeys(root for plan in plans for root in self._of(plan)))

    def _of(self, plan: Plan) -> list[bytes]:
        anchors, roots = plan.of(self._shard), with_roots(self._settings, plan).roots
        return [root for root in roots if any(is_below(anchor.path, root) for anchor in anchors)]

    def changed(self, before: Plan, after: Plan) -> list[bytes] | None:
        """Those to look in until the shard has gone on from one plan to the other: those of both, because it still tells of what
        changes under the former. None where these are the plans by which it looks."""
        by = before.generation, after.generation
        if by == self._by:
            return None
        self._by = by
        return self.of(before, after)
