"""What of a plan goes on with the next one, so that the shards concerned need not look at it again. Pure.

There is one rule. What a shard watches below an anchor goes on if everything that decides about it is as before: who has it and
how it is watched, which the plan says; and which names there are in scope, which the settings say.
"""

from __future__ import annotations

import os

import msgspec

from shardwatch.shard.contract.files.paths import is_below
from shardwatch.shard.contract.state.planfile import Anchor, Owners, Plan
from shardwatch.shard.contract.state.settings import Settings

from .key import scope_of


def go_on(before: Settings, after: Settings) -> bool:
    """Whether anything that was watched with the one may go on when the others are in force: they differ in nothing that decides
    everywhere what is watched, and how. Where their roots, or single files, differ, it depends on the place (`continued`)."""
    return _everywhere(before) == _everywhere(after)


def _everywhere(settings: Settings) -> tuple[object, ...]:
    return (
        *scope_of(settings),
        settings.ignore_files,
        settings.git_excludes,
        settings.backend,
        settings.hold_for_vcs,
    )


class _Deciding:
    """What decides at the anchors that a plan and the next one have in common, with the settings that are in force with one of
    them.

    Args:
        owners: of the next plan: what an anchor has lost to others is nothing to it.
    """

    def __init__(self, settings: Settings, owners: Owners) -> None:
        self._only = frozenset(settings.only)
        #: Single files that are watched whatever the patterns say, by the anchor below which they lie.
        self._files: dict[bytes, set[bytes]] = {}
        for file in settings.files:
            owner = owners.of(os.path.dirname(file))
            if owner is not None:
                self._files.setdefault(owner.path, set()).add(file)
        #: The roots whose ignore files count below them, the outermost first.
        self._ignoring = sorted(set(settings.roots) - self._only, key=len) if settings.ignore_files else []

    def at(self, anchor: Anchor) -> tuple[object, ...]:
        """All that decides what is watched below an anchor, but for other anchors there."""
        path = anchor.path
        return (
            anchor.shard,
            anchor.backend,
            anchor.root,  # patterns are relative to it
            path in self._only,
            self._files.get(path, set()),
            next((root for root in self._ignoring if is_below(path, root)), None),  # ignore files above count from there on
        )


def continued(old: Plan, new: Plan, before: Settings, after: Settings) -> Plan:
    """The new plan, in which each anchor tells since when its shard has had it (`Anchor.since`): as in the old one, if it has the
    same there, or less.

    Args:
        before: the settings that are in force with the old plan.
        after: those that will be with the new one.
    """
    if not go_on(before, after):
        return msgspec.structs.replace(new, anchors=tuple(msgspec.structs.replace(a, since=new.generation) for a in new.anchors))
    known, there = Owners(old.anchors).by_path, Owners(new.anchors)
    was_deciding, is_deciding = _Deciding(before, there), _Deciding(after, there)
    #: Anchors to which falls what lay below those that are no more.
    grown = {owner.path for path in known.keys() - there.by_path.keys() if (owner := there.of(path)) is not None}

    def since(anchor: Anchor) -> int:
        was = known.get(anchor.path)
        if was is None or anchor.path in grown or was_deciding.at(was) != is_deciding.at(anchor):
            return new.generation
        return old.since(was)

    anchors = tuple(msgspec.structs.replace(anchor, since=since(anchor)) for anchor in new.anchors)
    return msgspec.structs.replace(new, anchors=anchors)
