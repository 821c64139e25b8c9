"""Divides trees anew that have grown since they were planned, and leaves as much as possible where it is. Does no input or
output.

The subtrees of the plan that is in use stay with their shards. Those of a shard that has more than its share are cut into
pieces, as for a new plan, and one piece after the other goes from the heaviest shard to the lightest, until all are about
equal. Where so much changes that a shard could be hot, changes weigh as well: together HEAT_SHARE times what all files do, so
that the shards come to have about equal shares of the changes first, and of the files second. That depends on all changes
together and not on who has them, so that the next plan moves nothing back.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Final

import msgspec
from msgspec import Struct

from shardwatch.shard.contract.files.paths import Nearest
from shardwatch.shard.contract.state.planfile import Anchor, Owners, Plan

from .heat import HOT_PER_S, NO_RATES, ChangeRates, heat_of, hottest, may_be_hot
from .named import shown_path
from .plan import (
    GRAIN,
    SHARDS_MAX,
    Ground,
    Means,
    Piece,
    PlanResult,
    anchors_of,
    carve,
    choose_shards,
    result_of,
    surveyed,
)
from .rebalances import RATE, WEIGHT, Uneven
from .survey import DIRECTORY_WEIGHT, Survey

#: Subtrees are moved until the heaviest shard has no more than EVEN times the mean, and none is where it has no more than WORTH
#: times the mean: what a large tree contains is estimated, and the next estimate must not move something back.
EVEN: Final = 1.1
WORTH: Final = 1.25
#: From here on a shard counts as too heavy: so many times the mean, and so much more than the mean, in files. Between WORTH and
#: this nothing is done by itself, so that a plan does not follow every change of the tree.
UNEVEN: Final = 1.5
UNEVEN_WEIGHT: Final = 5_000
#: What all changes weigh together where a shard could be hot, in what all directories and files do.
HEAT_SHARE: Final = 3.0
#: Subtrees that a line names.
_NAMED_MAX: Final = 3
#: Changes a second for which one shard does (docs/performance.md, "20,000 a second").
CHANGES_OF_A_SHARD: Final = 20_000
#: A tree gets another shard once it has so many times the entries from which it would have been planned with it.
GROWN: Final = 1.2


class Move(Struct, frozen=True):
    """A subtree that has another owner in another plan."""

    path: bytes
    before: str
    after: str
    #: Estimated, without what other anchors below have.
    directories: int
    files: int


def rebalanced_plan(
    ground: Ground,
    old: Plan,
    means: Means,
    *,
    generation: int,
    rates: ChangeRates = NO_RATES,
    changed: Mapping[bytes, int] = {},
) -> PlanResult:
    """A plan in which the shards of `old` have about equal shares again. What can hang stays where it is; there are never fewer
    shards than before.

    Args:
        ground: the trees, the same as of `old`, which keeps apart what can hang.
        old: the plan that is in use.
        generation: of the new plan.
        rates: how often files have changed lately.
        changed: how many in each directory.
    """
    division = _divided(ground, old, means, rates, changed)
    return _evened_out(division, ground, means, generation=generation, key=old.key)


def extended_plan(ground: Ground, old: Plan, means: Means, *, generation: int, key: str) -> PlanResult:
    """A plan for other roots, or with more shards, in which what stays is with the shards that had it in `old`, as far as their
    shares are equal, and what is new is given to those that have least.

    Args:
        ground: the trees, of which at least one is of `old`.
        old: the plan that is in use.
        generation: of the new plan.
        key: of the settings with the other roots.
    """
    there = msgspec.structs.replace(old, anchors=tuple(staying(old, ground.roots, ground.only)))
    division = _divided(ground, there, means)
    _give_apart(division, means.budget.shards_max)
    loads = dict.fromkeys(division.local, 0.0)
    for piece in division.pieces:
        if piece.shard in loads:
            loads[piece.shard] += piece.weight
    homeless = [piece for piece in division.homeless if not piece.mount]
    for piece in sorted(homeless, key=lambda piece: (-piece.weight, piece.parts[0].path)):
        piece.shard = min(loads, key=lambda shard: (loads[shard], shard))
        loads[piece.shard] += piece.weight
    division.pieces += division.homeless
    return _evened_out(division, ground, means, generation=generation, key=key)


def apart_plan(ground: Ground, old: Plan, means: Means, *, generation: int) -> PlanResult:
    """A plan in which what can hang shares its shard with nothing else, as far as the budget allows. All else stays where it is.

    Args:
        ground: the trees, the same as of `old`; filesystems that can hang were mounted in them since.
        old: the plan that is in use.
        means: how many shards it asks for does not matter.
        generation: of the new plan.
    """
    division = _divided(ground, old, msgspec.structs.replace(means, shards=1))
    _give_apart(division, means.budget.shards_max)
    return _finished(division, ground, means, generation=generation, key=old.key)


def staying(plan: Plan, roots: Sequence[bytes], only: Collection[bytes] = ()) -> list[Anchor]:
    """The anchors that lie in the same roots as before, with these roots, and that are still wanted there. Pure.

    Args:
        only: roots below which nothing is watched.
    """
    nearest = Nearest(roots)
    there = [anchor for anchor in plan.anchors if nearest.of(anchor.path) == anchor.root]
    return [anchor for anchor in there if anchor.root not in only or anchor.path == anchor.root]


def _give_apart(division: _Division, shards_max: int) -> None:
    """Gives what lies on each mount that can hang to shards that have nothing else: one that has part of it, or else a new one.
    Where there is no room for that, to a shard of another mount; and if there is none, it stays where it is."""
    mounts: dict[bytes, list[Piece]] = {}
    for piece in (*division.pieces, *division.homeless):
        mounts.setdefault(piece.mount, []).append(piece)
    homeless = {id(piece) for piece in division.homeless}
    holders: dict[int, set[bytes]] = {shard: {b""} for shard in division.local}
    for piece in division.pieces:
        holders.setdefault(piece.shard, set()).add(piece.mount)
    for mount in sorted(mounts.keys() - {b""}):
        own = {shard for shard, held in holders.items() if held == {mount}}
        if not own and len(holders) < shards_max:
            division.names.append(_new_name(division.names, 0))
            own = {len(division.names) - 1}
        if not own:
            own = {shard for shard, held in holders.items() if b"" not in held} or set(division.local) or {0}
        for piece in mounts[mount]:
            if piece.shard not in own or id(piece) in homeless:
                piece.shard = min(own)
        for shard, held in holders.items():
            if shard not in own:
                held.discard(mount)
        for shard in own:
            holders.setdefault(shard, set()).add(mount)


class _Division(Struct):
    """The trees in pieces, each with the shard that has it in the plan in use."""

    survey: Survey
    #: Directories that are anchors in any case; and those that stay anchors, since what another shard has below them would
    #: otherwise fall to theirs, which would have to look at all of it.
    fixed: list[bytes]
    stay: list[bytes]
    #: Of the shards, by number; and the numbers of those that share the trees with others.
    names: list[str]
    local: list[int]
    pieces: list[Piece]
    #: Those that no shard has yet.
    homeless: list[Piece]


def _divided(
    ground: Ground, old: Plan, means: Means, rates: ChangeRates = NO_RATES, changed: Mapping[bytes, int] = {}
) -> _Division:
    fixed = sorted({*ground.roots, *ground.cuts})
    tops = sorted({*fixed, *(anchor.path for anchor in old.anchors)})
    stay = tops if len(tops) <= means.effort.anchors_max // 2 else fixed
    survey = surveyed(tops, means)
    owners = Owners(old.anchors)
    names = old.shards()
    local = sorted({names.index(anchor.shard) for anchor in old.anchors if not ground.mount(anchor.path)})
    room = means.budget.shards_max - (len(names) - len(local))
    wanted = max(1, min(means.shards or shards_for(survey.directories + survey.files, rates.total, means.processors), room))
    for number in range(wanted - len(local)):
        local.append(len(names))
        names.append(_new_name(names, number))
    scale = HEAT_SHARE * survey.weight / rates.total if may_be_hot(rates, len(local)) else 0.0
    heat = heat_of(rates, changed, owners, tops, scale)
    grain = max(1.0, (survey.weight + heat.total) / (len(local) * GRAIN)) if local else 1.0
    division = _Division(survey, fixed, stay, names, local, [], [])
    for tree in survey.trees:
        for piece in carve(survey, tree, grain, heat):
            path = piece.parts[0].path
            if path not in stay and piece.weight <= DIRECTORY_WEIGHT and path in owners.by_path:
                continue  # it is empty by now, or gone: whoever has what is above it has it, too
            owner = owners.of(path)
            piece.backend, piece.mount = ground.backend(path), ground.mount(path)
            if owner is None:
                division.homeless.append(piece)
            else:
                piece.shard = names.index(owner.shard)
                division.pieces.append(piece)
    return division


def _evened_out(division: _Division, ground: Ground, means: Means, *, generation: int, key: str) -> PlanResult:
    """The plan of a division in which all pieces have a shard, once these have about equal shares."""
    even_out([piece for piece in division.pieces if not piece.mount], division.local, frozenset(division.fixed))
    return _finished(division, ground, means, generation=generation, key=key)


def _finished(division: _Division, ground: Ground, means: Means, *, generation: int, key: str) -> PlanResult:
    """The plan of a division in which all pieces have a shard."""
    roots = sorted(set(ground.roots))
    anchors = anchors_of(roots, division.stay, division.pieces, means.effort.anchors_max, division.names)
    return result_of(anchors, division.survey, means.budget, generation=generation, key=key)


def _new_name(names: Sequence[str], number: int) -> str:
    while f"s{number}" in names:
        number += 1
    return f"s{number}"


def even_out(pieces: Sequence[Piece], shards: Sequence[int], fixed: frozenset[bytes]) -> None:
    """Gives pieces to other shards until the heaviest has no more than EVEN times the mean, or nothing helps any more: each time
    that piece of the heaviest shard which brings it and the lightest closest together. Pieces with a path of `fixed` stay: with
    a root would go whatever comes in it later."""
    loads = dict.fromkeys(shards, 0.0)
    for piece in pieces:
        loads[piece.shard] += piece.weight
    mean = sum(loads.values()) / max(1, len(loads))
    if max(loads.values(), default=0.0) <= WORTH * mean:
        return
    movable = [piece for piece in pieces if piece.parts[0].path not in fixed]
    for _ in range(len(pieces)):
        heavy, light = max(loads, key=loads.__getitem__), min(loads, key=loads.__getitem__)
        gap = loads[heavy] - loads[light]
        candidates = [piece for piece in movable if piece.shard == heavy and piece.weight < gap]
        if loads[heavy] <= EVEN * mean or not candidates:
            return
        moved = min(candidates, key=lambda piece: (abs(gap / 2 - piece.weight), piece.parts[0].path))
        moved.shard = light
        loads[heavy] -= moved.weight
        loads[light] += moved.weight


def moves(old: Plan, new: Plan) -> list[Move]:
    """Which subtrees have another owner in the second plan. Pure."""
    before, after = Owners(old.anchors), Owners(new.anchors)
    found = []
    for path in sorted({*before.by_path, *after.by_path}):
        was, now = before.of(path), after.of(path)
        if was is not None and now is not None and was.shard != now.shard:
            weighed = after.by_path.get(path) or before.by_path[path]
            found.append(Move(path, was.shard, now.shard, weighed.directories, weighed.files))
    return found


def summary(found: Sequence[Move]) -> list[str]:
    """Moves in words, a line for each two shards. Pure."""
    lines = []
    for before, after in sorted({(move.before, move.after) for move in found}):
        some = [move for move in found if (move.before, move.after) == (before, after)]
        files, directories = sum(move.files for move in some), sum(move.directories for move in some)
        paths = ", ".join(shown_path(move.path) for move in some[:_NAMED_MAX])
        more = f" and {len(some) - _NAMED_MAX} more subtrees" if len(some) > _NAMED_MAX else ""
        about = f"about {files:,} files in {directories:,} directories"
        lines.append(f"shard {before} gives to {after} {paths}{more} ({about})")
    return lines


def shards_for(entries: float, per_s: float, processors: int) -> int:
    """How many shards the trees get: by their size, or more where very much changes, up to one for each processor beside that of
    the aggregator.

    Args:
        entries: directories and files.
        per_s: changes a second, of all of them.
    """
    return max(choose_shards(entries, processors), min(SHARDS_MAX, processors - 1, math.ceil(per_s / CHANGES_OF_A_SHARD)))


def why_uneven(
    weights: Mapping[str, float], entries: float, shards: int, processors: int, rates: ChangeRates = NO_RATES
) -> Uneven:
    """Why trees are to be divided anew.

    Args:
        weights: of each shard that shares the trees with others, as it is now (`survey.weigh`).
        entries: directories and files of all of them.
        shards: how many the settings want; 0: chosen.
        rates: how often files have changed lately.
    """
    if not weights:
        return Uneven()
    total, heaviest = math.fsum(weights.values()), max(weights, key=weights.__getitem__)
    mean, most = total / len(weights), weights[heaviest]
    if len(weights) < (wanted := shards or choose_shards(entries / GROWN, processors)) and total >= UNEVEN_WEIGHT:
        return Uneven(f"{round(entries):,} directories and files are enough for {wanted} shards", WEIGHT, most)
    if len(weights) > 1 and most > UNEVEN * mean and most - mean >= UNEVEN_WEIGHT:
        return Uneven(f"shard {heaviest} has grown to {most / mean:.1f} times its share", WEIGHT, most)
    fastest = max(rates.per_s.values(), default=0.0)
    if len(weights) < (wanted := shards or shards_for(entries, rates.total / GROWN, processors)) and fastest >= HOT_PER_S:
        return Uneven(f"{round(rates.total):,} changes a second are enough for {wanted} shards", RATE, fastest)
    if hot := hottest(rates):
        return Uneven(f"shard {hot} has {round(fastest):,} of {round(rates.total):,} changes a second", RATE, fastest)
    return Uneven("", "", most)
