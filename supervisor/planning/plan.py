"""Which shard owns which subtree: tree weights and limits in, a plan out. Pure.

The surveyed trees are carved from the leaves upwards into pieces of at most a tenth of a shard's share; a piece is one
subtree, or some sibling subtrees, less what was carved out of them. The pieces go to the shards heaviest first, each
to the lightest shard (Graham's LPT rule, 1969). An anchor whose nearest anchor above went to the same shard is then
dropped.
"""

from __future__ import annotations

import heapq
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from msgspec import Struct

from shardwatch.shard.contract.files.paths import join
from shardwatch.shard.contract.state.planfile import Anchor, Owners, Plan

from .budget import Budget
from .heat import NO_HEAT, Heat
from .survey import DirectoryLook, Survey, SurveyNode, below, weigh

#: Directories read to plan; about 40 ms on a local filesystem. Trees up to this size are weighed exactly.
READS_MAX: Final = 2_048
#: Anchors of a plan. A shard looks at the identity of its anchors every few seconds (6 us each), so this bounds what an idle
#: service costs; a single directory with more equal subdirectories than this is shared less evenly.
ANCHORS_MAX: Final = 1_024
#: Pieces that make up one shard's share: more balance better, fewer keep the plan short.
GRAIN: Final = 10
#: Entries (directories and files) below which one shard does: a second one costs 12 MB and a process start.
ONE_SHARD_ENTRIES: Final = 200_000
#: The same on one or two processors, where a second one gains nothing at the start, since the aggregator takes a processor: a
#: million files were ready in 14.5 s with one shard, in 15.3 s with two, on a busy machine. It bounds what a rescan reads: 8 s.
ONE_SHARD_ENTRIES_ON_TWO: Final = 1_250_000
#: Directories read for a first glance, and for a second one; each with the factor by which its estimate may be too low. Where
#: that finds far less than needs two shards, there is nothing to balance: 0.1 s less at a first start. If the estimate was wrong,
#: one shard watches somewhat more than it would have been given: no more than that.
GLANCES: Final = ((32, 8.0), (512, 1.1))
#: Entries from which it takes more shards than processors: not for speed, but for room in the kernel's queues
#: (max_queued_events is counted for each shard) and for smaller rescans.
HUGE_ENTRIES: Final = 2_000_000
SHARDS_MAX: Final = 8
#: From two shards on, entries for each further one. Two look faster than the aggregator takes in what they have seen (of a
#: million files, 1.8 s of processor time each, and 2.3 s), so a start gains nothing by more. And a service may have 25 KB of
#: memory for each 1,000 files, of which the directories take half: so many entries pay for a process.
FURTHER_SHARD_ENTRIES: Final = 1_100_000

INOTIFY: Final = "inotify"


class Ground(Struct, frozen=True):
    """What is planned."""

    #: Absolute and normalised. One inside another stays a tree of its own.
    roots: Sequence[bytes]
    #: What watches a given path.
    backend: Callable[[bytes], str]
    #: Directories below the roots at which another subtree begins.
    cuts: Sequence[bytes] = ()
    #: The mount that can hang and that a path lies on; b"" where it lies on no such.
    mount: Callable[[bytes], bytes] = lambda path: b""
    #: Roots that are there for the sake of single files in them: nothing below them is watched.
    only: frozenset[bytes] = frozenset()


class Effort(Struct, frozen=True):
    """How much is read for a plan, and how long it may become."""

    #: Bound of the calls of `look`.
    reads_max: int = READS_MAX
    #: Whether fewer reads may do where one shard does; the totals are rougher then.
    glance: bool = False
    anchors_max: int = ANCHORS_MAX
    #: Of the random numbers by which directories are chosen.
    seed: int = 0


USUAL_EFFORT: Final = Effort()


class Means(Struct, frozen=True):
    """What a plan is made with, beside the trees."""

    #: Reads one directory. If it has a method `count` (survey.Count, as `TreeLook` has), that is used to weigh directories
    #: without reading them, which makes the plans of large trees far better.
    look: DirectoryLook
    #: How many shards, 0 to choose; never more than the budget allows, or than there are subtrees to give. What can hang has
    #: shards of its own beside them, one for each mount as far as the budget allows.
    shards: int
    #: What the limits allow. Its watches are shared among the shards that use `inotify`.
    budget: Budget
    #: By which `shards=0` chooses.
    processors: int
    #: How much may be read.
    effort: Effort = USUAL_EFFORT


class PlanResult(Struct, frozen=True):
    plan: Plan
    #: Weight of each shard, in files: DIRECTORY_WEIGHT * directories + files.
    weights: dict[str, float]
    #: Directories read for the plan.
    looked: int
    #: Totals of all roots, and whether they are exact.
    directories: int
    files: int
    exact: bool
    #: Directories that the watches allowed do not reach: their shards sweep them.
    over_budget: int = 0

    @property
    def balance(self) -> float:
        """Heaviest shard over the mean; 1.0 is perfect."""
        total = sum(self.weights.values())
        return max(self.weights.values()) * len(self.weights) / total if total else 1.0


class PlanPart(Struct):
    """A subtree less what was carved out of it."""

    path: bytes
    directories: float
    files: float
    exact: bool
    #: What its changes weigh, in files.
    heat: float = 0.0

    @property
    def weight(self) -> float:
        return weigh(self.directories, self.files) + self.heat


class Piece(Struct):
    """Parts that stay together."""

    parts: list[PlanPart]
    directories: float = 0.0
    weight: float = 0.0
    shard: int = 0
    backend: str = INOTIFY
    #: The mount that can hang, and that it lies on; b"": none.
    mount: bytes = b""

    def __post_init__(self) -> None:
        self.directories = sum(part.directories for part in self.parts)
        self.weight = sum(part.weight for part in self.parts)


class _Draft(Struct):
    """Anchors before those that say nothing are dropped."""

    shard: int
    backend: str
    part: PlanPart


def make_plan(ground: Ground, means: Means, *, generation: int, key: str) -> PlanResult:
    """Plans the trees below the ground's roots.

    Args:
        ground: the trees.
        generation: of the new plan.
        key: what `key.plan_key` says of the settings.
    """
    roots, budget = sorted(set(ground.roots)), means.budget
    tops = sorted({*roots, *ground.cuts})
    survey = surveyed(tops, means)
    entries = survey.directories + survey.files
    wanted = means.shards or choose_shards(entries, means.processors)
    wanted = max(1, min(wanted, budget.shards_max))
    pieces: list[Piece] = []
    if wanted == 1 and not any(map(ground.mount, tops)):
        pieces = [Piece([PlanPart(tree.path, tree.directories, tree.files, tree.exact)]) for tree in survey.trees]
    else:
        grain = survey.weight / (wanted * GRAIN)
        for tree in survey.trees:
            pieces += carve(survey, tree, max(grain, 1.0))
    for piece in pieces:
        piece.backend, piece.mount = ground.backend(piece.parts[0].path), ground.mount(piece.parts[0].path)
    _give_apart(pieces, wanted, budget.shards_max)
    anchors = anchors_of(roots, tops, pieces, means.effort.anchors_max)
    return result_of(anchors, survey, budget, generation=generation, key=key)


def result_of(anchors: Sequence[Anchor], survey: Survey, budget: Budget, *, generation: int, key: str) -> PlanResult:
    """The plan with the anchors that a survey has led to, and what is to be known of it."""
    plan = Plan(generation=generation, anchors=tuple(anchors), key=key, watches=share_watches(anchors, budget.watches_max))
    needed = sum(a.directories for a in plan.anchors if a.backend == INOTIFY)
    weights = dict.fromkeys(plan.shards(), 0.0)
    for anchor in plan.anchors:
        weights[anchor.shard] += weigh(anchor.directories, anchor.files)
    return PlanResult(
        plan=plan,
        weights=weights,
        looked=survey.reads,
        directories=round(survey.directories),
        files=round(survey.files),
        exact=survey.exact,
        over_budget=max(0, needed - budget.watches_max),
    )


def surveyed(tops: Sequence[bytes], means: Means) -> Survey:
    """The trees below `tops`, after one or two glances where that is enough to know that one shard does."""

    look, effort = means.look, means.effort

    def read(reads_max: int) -> Survey:
        count = getattr(look, "count", None)
        return Survey(tops, look, reads_max=reads_max, seed=effort.seed, count=count)

    for reads_max, safety in GLANCES if effort.glance and means.shards == 0 else ():
        if reads_max >= effort.reads_max:
            break
        survey = read(reads_max)
        entries = survey.directories + survey.files
        if survey.exact or (not survey.cut and choose_shards(entries * safety, means.processors) == 1):
            return survey
    return read(effort.reads_max)


def choose_shards(entries: float, processors: int) -> int:
    """How many shards a tree gets: one if it is small, else from two to eight, as its size pays for them: no more than there are
    processors, or twice as many for a huge one.

    Two even on one processor: a shard that is stalled by a slow look or a rescan leaves the other half untouched.
    """
    if entries < (ONE_SHARD_ENTRIES if processors > 2 else ONE_SHARD_ENTRIES_ON_TWO):
        return 1
    most = min(SHARDS_MAX, 2 * processors if entries >= HUGE_ENTRIES else processors)
    return max(2, min(most, 1 + int(entries / FURTHER_SHARD_ENTRIES)))


def carve(survey: Survey, tree: SurveyNode, grain: float, heat: Heat = NO_HEAT) -> list[Piece]:
    """Cuts one tree into pieces of about `grain`, save for directories that alone hold more; the last has the root. `heat`: what
    changes weigh, in files."""
    pieces: list[Piece] = []
    left: dict[bytes, PlanPart] = {}
    for node in reversed(below(tree)):
        children = [part for child in node.seen if (part := left.pop(child.path, None)) is not None]
        children += [
            PlanPart(path := join(node.path, name), directories, files, False, heat.subtree(path))
            for name, directories, files in survey.guess(node)
        ]
        children.sort(key=lambda part: (part.weight, part.path))
        rest = PlanPart(node.path, 1.0, float(node.own), node.exact, heat.own(node.path))
        # The small ones stay with their parent, even if that holds much itself: each one less is an anchor less.
        room = max(grain, rest.weight + grain / 2)
        while children and rest.weight + children[0].weight <= room:
            child = children.pop(0)
            rest.directories, rest.files = rest.directories + child.directories, rest.files + child.files
            rest.heat += child.heat
            rest.exact = rest.exact and child.exact
        bundle: list[PlanPart] = []
        weight = 0.0
        for child in children:
            if bundle and weight + child.weight > grain:
                pieces.append(Piece(bundle))
                bundle, weight = [], 0.0
            bundle.append(child)
            weight += child.weight
        if bundle:
            pieces.append(Piece(bundle))
        if rest.weight > grain and node is not tree:
            pieces.append(Piece([rest]))
        else:
            left[node.path] = rest
    return [*pieces, Piece([left[tree.path]])]


def _give_apart(pieces: list[Piece], wanted: int, shards_max: int) -> None:
    """What lies on a mount that can hang goes to shards that have nothing else. Where the limits leave no room for that, such
    mounts share theirs, and in the end everything shares one."""
    groups: dict[bytes, list[Piece]] = {}
    for piece in pieces:
        groups.setdefault(piece.mount, []).append(piece)
    if len(groups) == 1 or shards_max < 2:
        _give(pieces, wanted)
        return
    local = groups.pop(b"", [])
    first = min(wanted, shards_max - 1) if local else 0
    _give(local, first)
    room = shards_max - first
    for number, mount in enumerate(sorted(groups)):
        _give(groups[mount], 1, first + number % room)


def _give(pieces: list[Piece], count: int, first: int = 0) -> None:
    """Longest processing time first: each piece, heaviest first, to the shard that is lightest so far."""
    loads = [(0.0, shard) for shard in range(first, first + count)]
    for piece in sorted(pieces, key=lambda piece: (-piece.weight, piece.parts[0].path)):
        load, piece.shard = loads[0]
        heapq.heapreplace(loads, (load + piece.weight, piece.shard))


def share_watches(anchors: Sequence[Anchor], watches_max: int) -> dict[str, int]:
    """Watches that each shard may hold, `watches_max` in all: what it needs and an equal part of the rest, or, where they
    don't suffice, in proportion to what it needs (the shard then sweeps what gets none, and takes a watch when one is free)."""
    needs: dict[str, int] = {}
    for anchor in anchors:
        if anchor.backend == INOTIFY:
            needs[anchor.shard] = needs.get(anchor.shard, 0) + max(1, anchor.directories)
    total = sum(needs.values())
    if total <= watches_max:
        return {shard: need + (watches_max - total) // len(needs) for shard, need in needs.items()}
    return {shard: max(1, need * watches_max // total) for shard, need in needs.items()}


def anchors_of(
    roots: Sequence[bytes], tops: Sequence[bytes], pieces: list[Piece], anchors_max: int, names: Sequence[str] = ()
) -> list[Anchor]:
    """The anchors by which the shards get their pieces: as few as do.

    Args:
        tops: directories that are anchors in any case.
        names: of the shards, by number; none: they are named anew.
    """
    drafts = {part.path: _Draft(piece.shard, piece.backend, part) for piece in pieces for part in piece.parts}
    fixed = set(tops)
    while True:
        kept = _merge(drafts, fixed)
        if len(kept) <= max(anchors_max, len(fixed)):
            break
        # The lightest go back to whoever owns the directory above: they cost the balance least.
        spare = sorted((path for path in kept if path not in fixed), key=lambda path: kept[path].part.weight)
        for path in spare[: len(kept) - max(anchors_max, len(fixed))]:
            above = _above(drafts, path)
            drafts[path].shard, drafts[path].backend = above.shard, above.backend
    owners = Owners([Anchor(path=root, shard="", root=root) for root in roots])
    used = sorted({draft.shard for draft in kept.values()})
    named = {shard: names[shard] if names else f"s{i}" for i, shard in enumerate(used)}
    anchors = []
    for path in sorted(kept):
        draft = kept[path]
        root = owners.of(path)
        assert root is not None
        anchors.append(
            Anchor(
                path=path,
                shard=named[draft.shard],
                root=root.path,
                directories=round(draft.part.directories),
                files=round(draft.part.files),
                exact=draft.part.exact,
                backend=draft.backend,
            )
        )
    return anchors


def _merge(drafts: Mapping[bytes, _Draft], fixed: set[bytes]) -> dict[bytes, _Draft]:
    """Drops the drafts that say what the one above says, adding their weight to it. Parents sort before children."""
    kept: dict[bytes, _Draft] = {}
    for path in sorted(drafts):
        draft = drafts[path]
        if path not in fixed:
            above = _above(kept, path)
            if (above.shard, above.backend) == (draft.shard, draft.backend):
                above.part.directories += draft.part.directories
                above.part.files += draft.part.files
                above.part.heat += draft.part.heat
                above.part.exact = above.part.exact and draft.part.exact
                continue
        part = draft.part
        kept[path] = _Draft(draft.shard, draft.backend, PlanPart(path, part.directories, part.files, part.exact, part.heat))
    return kept


def _above(drafts: Mapping[bytes, _Draft], path: bytes) -> _Draft:
    """The nearest one strictly above; there always is one, the root's."""
    while True:
        path = os.path.dirname(path)
        draft = drafts.get(path)
        if draft is not None:
            return draft
