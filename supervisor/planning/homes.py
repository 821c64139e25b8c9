"""Records the filesystem of each root, so that an unmounted root is waited for and not mistaken for an empty tree.

Imports little, because the coordinator keeps it loaded.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from shardwatch.shard.contract.kernel.mounts import deeper, holder, may_hold_roots, read_mounts
from shardwatch.shard.contract.state.layout import Layout
from shardwatch.shard.contract.state.planfile import Plan, write_plan

Points = tuple[tuple[bytes, bytes], ...]
Mounted = Sequence[tuple[bytes, str]]


def planned_homes(roots: Sequence[bytes], mounts: Mounted, old: Plan | None) -> tuple[Points, Points]:
    """`homes` and `later` of a new plan: where each root lies now, or where it is to come back to if that is away. Pure."""
    points = {point for point, _ in mounts}
    homes, later = (dict(old.homes), dict(old.later)) if old is not None else ({}, {})
    holders = may_hold_roots(mounts)

    def away(known: dict[bytes, bytes], root: bytes) -> bool:
        return bool(points) and bool(known.get(root)) and known[root] not in points

    return (
        tuple((root, homes[root] if away(homes, root) else holder(root, holders)[0]) for root in roots),
        tuple((root, later[root]) for root in roots if away(later, root)),
    )


def with_mounts(plan: Plan, roots: Sequence[bytes], mounts: Mounted) -> Plan:
    """The plan, with what was mounted since it was made; the very same where nothing was. Pure."""
    homes, later = dict(plan.homes), dict(plan.later)
    holders = may_hold_roots(mounts)
    points = [point for point, _ in holders]
    for root in roots:
        if not homes.get(root):
            homes[root] = holder(root, holders)[0]
        point = deeper(root, points, later.get(root, homes[root]))
        if point is not None:
            later[root] = point
    if (homes, later) == (dict(plan.homes), dict(plan.later)):
        return plan
    return msgspec.structs.replace(plan, homes=tuple(homes.items()), later=tuple(later.items()))


def note_mounts(layout: Layout, plan: Plan, roots: Sequence[bytes]) -> Plan:
    """`with_mounts` of now, on disk: a shard that is started when they are away knows of them too. Its generation stays.

    Where it can't be written the plan is returned as it was: it is good without, and the next time comes.
    """
    new = with_mounts(plan, roots, list(read_mounts()))
    if new is not plan:
        try:
            write_plan(layout.plan, new)
        except OSError:
            return plan
    return new
