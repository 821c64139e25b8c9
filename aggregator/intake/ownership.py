"""Which shard may report about which directory, by the plan that is in force and the one before it. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from shardwatch.shard.contract.files.paths import is_below, join
from shardwatch.shard.contract.state.planfile import Anchor, Owners, Plan
from shardwatch.shard.contract.wire.frames import Frame, Looks


class Ownership:
    """Judges frames by the plan that was adopted last. Nobody owns anything before the first one."""

    def __init__(self) -> None:
        self.plan: Plan | None = None
        self.owners = Owners(())
        #: Of each shard, the least generation of a frame that tells of everything that it owns (`Plan.owed`).
        self._owed: dict[str, int] = {}
        #: The plan before this one, and its owners; None: not known.
        self._former: tuple[Plan | None, Owners] = (None, self.owners)

    def adopt(self, plan: Plan) -> None:
        """From now on this plan is in force."""
        self._former = (self.plan, self.owners)
        self.plan = plan
        self.owners = Owners(plan.anchors)
        self._owed = {shard: plan.owed(shard) for shard in plan.shards()}

    def owner(self, frame: Frame, directory: bytes) -> Anchor | None:
        """The anchor under which a frame may report about a directory; None if it may not.

        What was sent under another plan counts only if the directory had the same anchor then, and with all plans since, and if
        the same names were in scope. With another anchor, rows could be written below a directory that has no row, since another
        shard had to report that one, and is not listened to any more. If the directory is gone, nobody would find out that they
        are: no listing is compared with the row that is missing. Under an anchor that came between the directory and the one
        that the same shard had, what was sent under the plan just before counts, too: the shard scans that anchor now, and says
        if it is gone.
        """
        owner = self.owners.of(directory)
        if owner is None or owner.shard != frame.shard:
            return None
        if self._has_had_it(owner, frame):
            return owner
        plan, owners = self._former
        former = owners.of(directory)
        if self.plan is None or plan is None or former is None or (former.shard, plan.key) != (owner.shard, self.plan.key):
            return None
        if not is_below(owner.path, former.path):
            return None
        return owner if plan.since(former) <= frame.generation <= plan.generation else None

    def _has_had_it(self, owner: Anchor, frame: Frame) -> bool:
        """Whether the sender of a frame, who owns an anchor, had all of it by the plan of the frame, too."""
        return self.plan is None or self.plan.since(owner) <= frame.generation <= self.plan.generation

    def owned(self, frame: Frame, looks: Sequence[Looks]) -> list[Looks]:
        """Those of the records that a frame may report. What lies in one anchor is mostly decided at once."""
        found: list[Looks] = []
        within: bytes | None = None
        for record in looks:
            path = record.path
            if within is not None and path.startswith(within):
                found.append(record)
                continue
            owner = self.owner(frame, path)
            if owner is not None:
                found.append(record)
                if self._has_had_it(owner, frame) and not self.owners.below(owner.path):
                    within = join(owner.path, b"")
        return found

    def is_complete(self, shard: str, generation: int) -> bool:
        """Whether a shard of the plan that went by the plan of this generation owned all that it owns now."""
        return self.plan is not None and self._owed[shard] <= generation <= self.plan.generation
