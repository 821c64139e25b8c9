"""What of a plan goes on with the next one, so that the shards concerned need not look at it again. Pure."""

from __future__ import annotations

import msgspec

from shardwatch.shard.contract.state.planfile import Anchor, Owners, Plan
from shardwatch.shard.contract.state.settings import Settings


def go_on(before: Settings, after: Settings) -> bool:
    """Whether a shard that runs with the one may go on when the others are in force: they differ in nothing that decides what it
    watches, and how, but perhaps in the roots, which the plan tells of.

    With these options it depends on the roots in other ways: which ignore files count, where links may lead, and whose lock files
    are looked at.
    """
    if before.roots != after.roots and (after.ignore_files or after.follow_symlinks or after.hold_for_vcs):
        return False
    return _watching(before) == _watching(after)


def _watching(settings: Settings) -> tuple[object, ...]:
    return (
        settings.include,
        settings.exclude,
        settings.recursive,
        settings.follow_symlinks,
        settings.directories,
        settings.files,
        settings.only,
        settings.ignore_files,
        settings.git_excludes,
        settings.backend,
        settings.hold_for_vcs,
    )


def continued(old: Plan, new: Plan) -> Plan:
    """The new plan, in which each anchor tells since when its shard has had it (`Anchor.since`): as in the old one, if it has the
    same there, or less."""
    before, after = Owners(old.anchors), Owners(new.anchors)
    #: Anchors to which falls what lay below those that are no more.
    grown = {owner.path for path in before.by_path.keys() - after.by_path.keys() if (owner := after.of(path)) is not None}

    def since(anchor: Anchor) -> int:
        was = before.by_path.get(anchor.path)
        if was is None or anchor.path in grown:
            return new.generation
        same = (was.shard, was.root, was.backend) == (anchor.shard, anchor.root, anchor.backend)
        return old.since(was) if same else new.generation

    anchors = tuple(msgspec.structs.replace(anchor, since=since(anchor)) for anchor in new.anchors)
    return msgspec.structs.replace(new, anchors=anchors)
