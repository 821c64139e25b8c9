"""The plan of a service: the stored one if it still fits the settings, otherwise a new one, which is stored before it is
used.

A stored plan keeps its generation. So after a restart no new baseline is needed for rows that would have moved between
shards.
"""

from __future__ import annotations

import functools
import os
import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import Final

import msgspec

from shardwatch.shard.contract.filter.filter import Filter
from shardwatch.shard.contract.kernel.mounts import read_mounts
from shardwatch.shard.contract.kernel.usage import held_by
from shardwatch.shard.contract.process.life import new_epoch
from shardwatch.shard.contract.state.layout import Layout
from shardwatch.shard.contract.state.planfile import Anchor, Plan, read_plan, with_roots, write_plan
from shardwatch.shard.contract.state.settings import Settings

from ..host.scouting import Scouts
from .apart import Apart
from .budget import Budget
from .continuity import continued, go_on
from .heat import ChangeRates, may_be_hot
from .homes import note_mounts, planned_homes, with_mounts
from .key import plan_key
from .limits import budget, read_inotify_limits
from .plan import SHARDS_MAX, USUAL_EFFORT, Effort, Ground, Means, PlanResult, make_plan
from .rebalancing import apart_plan, extended_plan, moves, rebalanced_plan, staying
from .tree_look import TreeLook

#: How far apart two plans that follow the same one are, by chance.
_GENERATIONS_APART: Final = 1 << 20

BackendOf = Callable[[bytes], str]


def backend_of(settings: Settings, polled: Callable[[bytes], bool]) -> BackendOf:
    """How a path is to be watched under these settings; `polled` tells file systems that raise no events."""
    local = settings.local_backend
    return lambda path: "polling" if polled(path) else local


def surroundings(settings: Settings) -> Apart:
    """What is mounted at and below the roots now."""
    filter = functools.cache(lambda: Filter(settings.include, settings.exclude))  # compiled only where something is mounted
    return Apart(settings.roots, list(read_mounts()), lambda directory: filter().prunes(directory))


def still_fits(plan: Plan | None, settings: Settings, key: str, apart: Apart) -> bool:
    """Whether a plan on disk can serve these settings as it is. Pure.

    What lies on a filesystem that can hang is polled or watched as its shard finds it; it only has to have that shard to itself.
    """
    if plan is None or plan.key != key or not plan.anchors or not apart.holds_for(plan.anchors):
        return False
    if settings.shards not in (0, max(map(len, apart.groups(plan.anchors).values()))):
        return False
    backend = backend_of(settings, apart.is_remote)
    return all(anchor.backend == backend(anchor.path) for anchor in plan.anchors if not apart.mount(anchor.path))


def same_owners(old: Plan | None, new: Plan) -> bool:
    """Whether two plans give the same subtrees to the same shards in the same way; weights aside. Pure."""

    def owners(anchors: tuple[Anchor, ...]) -> set[tuple[bytes, str, bytes, str]]:
        return {(anchor.path, anchor.shard, anchor.root, anchor.backend) for anchor in anchors}

    return old is not None and old.key == new.key and owners(old.anchors) == owners(new.anchors)


def kept_plan(layout: Layout) -> tuple[Plan | None, int]:
    """The plan on disk, and the generation of the next one. A damaged plan counts as none.

    A generation is never given twice within one boot, whatever became of plan.json: it is at least the clock since the boot. An
    older plan that was put back may be of a boot that was longer; then it is chance that keeps its successors apart.
    """
    try:
        plan = read_plan(layout.plan)
    except msgspec.DecodeError:
        plan = None
    generation = new_epoch()
    if plan is not None and plan.generation >= generation:
        generation = plan.generation + 1 + secrets.randbelow(_GENERATIONS_APART)
    return plan, generation


def ensure_plan(
    layout: Layout, settings: Settings, own_pids: Callable[[], Sequence[int]] = tuple, *, room: Budget | None = None
) -> Plan:
    """The plan for these settings: the one on disk if it still fits, else a new one, on disk when this returns.

    Raises OSError where the plan can't be written. Reads directories of the roots, so it may take long.

    Args:
        own_pids: tells the processes of shards that run already, whose watches are not others'; asked if needed.
        room: what `room_left` said a moment ago; None: it is asked if needed.
    """

    key = plan_key(settings)
    old, generation = kept_plan(layout)
    apart = surroundings(settings)
    if old is not None and old.key == key and _unmounted(old):
        # What can be seen there now is not what was planned, nor what is to be planned.
        return note_mounts(layout, old, settings.roots)
    if old is not None and still_fits(old, settings, key, apart):
        return note_mounts(layout, old, settings.roots)
    new = _measured(settings, apart, generation, own_pids, room)
    if old is not None and same_owners(old, new):
        return note_mounts(layout, old, settings.roots)
    return _stored(layout, settings, old, new)


def ensure_apart(layout: Layout, settings: Settings, own_pids: Callable[[], Sequence[int]] = tuple) -> Plan:
    """The plan for a service that runs: the one on disk, unless a filesystem that can hang was mounted since and shares a shard
    with something else; then one in which it has a shard to itself, and all else stays where it is, on disk when this returns.
    Arguments and errors are those of `ensure_plan`.
    """
    old, generation = kept_plan(layout)
    apart = surroundings(settings)
    if old is None:
        return ensure_plan(layout, settings, own_pids)
    if apart.holds_for(old.anchors):
        return old
    with Scouts() as scouts:
        means = _means(settings, room_left(own_pids), scouts)
        new = apart_plan(_ground(settings, apart), old, means, generation=generation).plan
    if same_owners(old, new):
        return old
    return _stored(layout, settings, old, new)


def prepare_plan(
    layout: Layout, settings: Settings, own_pids: Callable[[], Sequence[int]] = tuple, *, running: Settings
) -> Plan:
    """The plan for settings that a running service is to take over, in the file of the next plan when this returns: the one in
    force if it fits them, too. Where no more differs than the roots, and single files, what stays is left to the shards that have
    it. Arguments and errors are those of `ensure_plan`.

    Args:
        running: the settings that the service runs with.
    """
    old, generation = kept_plan(layout)
    apart = surroundings(settings)
    if old is not None and still_fits(old, settings, plan_key(settings), apart):
        new = old
    elif old is not None and go_on(running, settings) and _can_be_extended(old, settings, apart):
        new = _following(old, settings, _extended(old, settings, apart, generation, own_pids), running)
    else:
        new = _following(old, settings, _measured(settings, apart, generation, own_pids), running)
    write_plan(layout.next_plan, new)
    return new


def _can_be_extended(old: Plan, settings: Settings, apart: Apart) -> bool:
    """Whether a plan for other roots, or more shards, can begin with the one in force: something stays, and not in more shards
    than are wanted."""
    stays = staying(old, settings.roots, settings.only)
    shards = {anchor.shard for anchor in stays if not apart.mount(anchor.path)}
    return bool(stays) and (settings.shards == 0 or settings.shards >= len(shards))


def _extended(
    old: Plan, settings: Settings, apart: Apart, generation: int, own_pids: Callable[[], Sequence[int]]
) -> Plan:
    with Scouts() as scouts:
        means = _means(settings, room_left(own_pids), scouts)
        return extended_plan(_ground(settings, apart), old, means, generation=generation, key=plan_key(settings)).plan


def rebalance(
    layout: Layout, settings: Settings, rates: ChangeRates, own_pids: Callable[[], Sequence[int]] = tuple
) -> PlanResult | None:
    """A plan in which the shards of the one in force have equal shares again; None where nothing is to be moved for that. It is
    stored nowhere. Reads directories of the roots, so it may take long.

    Args:
        rates: how often files have changed lately. Where is read from the index.
        own_pids: as for `ensure_plan`.

    Raises ServiceError where the index can't be read.
    """
    old, generation = kept_plan(layout)
    apart = surroundings(settings)
    if old is None or not apart.holds_for(old.anchors) or _unmounted(old):
        return None  # a plan for what is mounted comes first, or what is away is waited for
    changed: Mapping[bytes, int] = {}
    if may_be_hot(rates, SHARDS_MAX):
        from shardwatch.aggregator.index.reading import IndexReader  # loads sqlite3, which no other plan needs
        from shardwatch.aggregator.index.recent import changed_since

        with IndexReader(layout.index_db) as reader:
            changed = changed_since(reader, rates.since)
    with Scouts() as scouts:
        means = _means(settings, room_left(own_pids), scouts)
        found = rebalanced_plan(_ground(settings, apart), old, means, generation=generation, rates=rates, changed=changed)
    new = _following(old, settings, found.plan)
    return None if not moves(old, new) else msgspec.structs.replace(found, plan=new)


def _stored(layout: Layout, settings: Settings, old: Plan | None, new: Plan) -> Plan:
    """The new plan, on disk (`_following`)."""
    new = _following(old, settings, new)
    write_plan(layout.plan, new)
    return new


def _following(old: Plan | None, settings: Settings, new: Plan, running: Settings | None = None) -> Plan:
    """The new plan, with all that it says of the settings that it is for, of the filesystems of its roots, and of what goes on
    with it (`continued`).

    Args:
        old: the plan in force, if there is one.
        settings: those that are in force with the new one.
        running: those in force with the old one. None: they differ in roots and single files at most, which that plan tells.
    """
    new = msgspec.structs.replace(new, roots=settings.roots, files=settings.files, only=settings.only)
    new = _with_homes(settings, old, new)
    if old is None:
        return new
    before = with_roots(running or settings, old)
    # With another key it is a plan for other filters, put back from a backup perhaps: nothing goes on with it.
    return continued(old, new, before, settings) if plan_key(before) == old.key else new


def _with_homes(settings: Settings, old: Plan | None, new: Plan) -> Plan:
    """The new plan with the filesystems on which its roots are waited for: for the same roots they stay as they were, since
    something that was mounted over a root later may have covered what is the root without it."""
    mounts = list(read_mounts())
    if old is not None and old.key == new.key:
        return with_mounts(msgspec.structs.replace(new, homes=old.homes, later=old.later), settings.roots, mounts)
    homes, later = planned_homes(settings.roots, mounts, old)
    return msgspec.structs.replace(new, homes=homes, later=later)


def _measured(
    settings: Settings, apart: Apart, generation: int, own_pids: Callable[[], Sequence[int]], room: Budget | None = None
) -> Plan:
    """A new plan within what the limits of the machine leave to us."""
    return planned(settings, room or room_left(own_pids), apart, generation=generation, glance=True).plan


def room_left(own_pids: Callable[[], Sequence[int]] = tuple) -> Budget:
    """What the limits of the machine leave to us. Asks every process of this user for its descriptors, which takes some
    milliseconds, and more where others watch very many directories. `own_pids`: as for `ensure_plan`."""
    own = [held_by(pid) for pid in own_pids()]
    return budget(
        read_inotify_limits(),
        own_instances=sum(instances for instances, _ in own),
        own_watches=sum(watches for _, watches in own),
    )


def planned(settings: Settings, room: Budget, apart: Apart, *, generation: int, glance: bool = False) -> PlanResult:
    """A new plan for what is there now. Reads directories of the roots; a filesystem that does not answer is planned unseen."""
    with Scouts() as scouts:
        means = _means(settings, room, scouts, Effort(glance=glance))
        return make_plan(_ground(settings, apart), means, generation=generation, key=plan_key(settings))


def _ground(settings: Settings, apart: Apart) -> Ground:
    """The trees as they are mounted now."""
    return Ground(settings.roots, backend_of(settings, apart.is_remote), apart.cuts, apart.mount, frozenset(settings.only))


def _means(settings: Settings, room: Budget, scouts: Scouts, effort: Effort = USUAL_EFFORT) -> Means:
    return Means(
        TreeLook(Filter(settings.include, settings.exclude), settings, scouts),
        shards=settings.local_shards,
        budget=room,
        processors=len(os.sched_getaffinity(0)),
        effort=effort,
    )


def _unmounted(plan: Plan) -> bool:
    points = {point for point, _ in read_mounts()}
    return bool(points) and any(home and home not in points for _, home in plan.homes)
