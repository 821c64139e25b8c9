"""How a shard that runs gets from one plan to the next, as far as its settings let it. Pure.

The coordinator asks this, too, to know whom it has to wait for.
"""

from __future__ import annotations

from .planfile import Anchor, Owners, PartChange, Plan, part_change
from .settings import Settings


def running_change(shard: str, before: Plan, after: Plan, settings: Settings) -> PartChange | None:
    """What a shard has to let go and to take on. None: it can't go on, and has to be started again (also `part_change`). Links
    lead anywhere."""
    change = part_change(shard, before, after)
    return None if change is None or (settings.follow_symlinks and change) else change


def in_advance(shard: str, before: Plan, after: Plan, settings: Settings) -> tuple[Anchor, ...]:
    """What the plan `after` gives to a shard that goes on with it, and another shard has under the plan `before`: the shard can
    watch it before that plan is in force, while the other one goes on telling of it."""
    change = running_change(shard, before, after, settings)
    if change is None:
        return ()
    owners = Owners(before.anchors)
    return tuple(anchor for anchor in change.taken if (own := owners.of(anchor.path)) is not None and own.shard != shard)


def heirs(before: Plan, after: Plan, settings: Settings) -> list[str]:
    """The shards that can watch something in advance (`in_advance`)."""
    return [shard for shard in before.shards() if in_advance(shard, before, after, settings)]
