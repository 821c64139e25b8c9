"""Whether a path is to be watched with given settings, and the rule that decides it. Pure.

It says with a reason what `aggregator.index.opening.keeper` says without one, and a test compares both.
"""

from __future__ import annotations

import os
from enum import StrEnum
from typing import NamedTuple

from shardwatch.shard.contract.files.paths import Nearest, join
from shardwatch.shard.contract.filter.filter import Decision, Filter
from shardwatch.shard.contract.limits import PATH_BYTES_MAX
from shardwatch.shard.contract.state.settings import Settings


class Why(StrEnum):
    """The reason why a path is watched, or is not, as `explain --json` has it (docs/formats.md)."""

    #: Below a root, and the patterns keep it.
    FILTER_KEEPS = "kept"
    #: A file that was named to be watched.
    NAMED = "named"
    #: A root itself: it has no row, and what is in it is watched.
    ROOT = "root"
    OUTSIDE = "outside"
    #: Its directory is watched for the sake of files that were named, and it is none of them.
    NOT_NAMED = "not named"
    NOT_RECURSIVE = "not recursive"
    TOO_LONG = "too long"
    #: A state directory of shardwatch, or something in it.
    STATE_DIRECTORY = "state directory"
    LEFT_OUT = "left out"
    #: An ignore file leaves it out.
    IGNORED = "ignored"
    #: Below a link that is not followed.
    LINK = "link"
    #: On a filesystem that the kernel makes up, mounted below a root.
    MADE_UP = "made up"
    #: Neither a file nor a directory nor a link.
    SPECIAL = "special"


class Reach(NamedTuple):
    """What the settings say of a path."""

    watched: bool
    why: Why
    #: The nearest root above the path, or the path itself if it is a root; None outside of all roots.
    root: bytes | None
    #: What decides, where the patterns do; `at` is absolute.
    rule: Decision | None = None


def reach_of(settings: Settings, path: bytes, state_dir: bytes, *, directory: bool) -> Reach:
    """
    Args:
        path: exact.
        state_dir: of the service, exact.
        directory: whether the path is asked about as one of a directory.
    """
    roots = Nearest(settings.roots)
    root = roots.of(os.path.dirname(path))
    if not directory and path in settings.files:
        return Reach(True, Why.NAMED, root)
    if path in settings.roots and (root is None or directory):
        return Reach(True, Why.ROOT, path)
    if root is None:
        return Reach(False, Why.OUTSIDE, None)
    relative = path[len(root) :].lstrip(b"/")
    if root in settings.only:
        return Reach(False, Why.NOT_NAMED, root)
    if not settings.recursive and (directory or b"/" in relative):
        return Reach(False, Why.NOT_RECURSIVE, root)
    if len(path) > PATH_BYTES_MAX:
        return Reach(False, Why.TOO_LONG, root)
    if path == state_dir or path.startswith(state_dir + b"/"):
        return Reach(False, Why.STATE_DIRECTORY, root)
    rule = _decision(Filter(settings.include, settings.exclude), relative, directory=directory)
    return Reach(rule.kept, Why.FILTER_KEEPS if rule.kept else Why.LEFT_OUT, root, rule._replace(at=join(root, rule.at)))


def _decision(filter: Filter, relative: bytes, *, directory: bool) -> Decision:
    """What decides about a path, or about the first directory above it in which nothing is looked at."""
    parts = relative.split(b"/")
    for depth in range(1, len(parts)):
        above = b"/".join(parts[:depth])
        if filter.prunes(above):
            decided = filter.decision(above, directory=True)
            return decided._replace(at=above) if decided.pattern is None else decided
    decided = filter.decision(relative, directory=directory)
    return decided._replace(at=relative) if decided.pattern is None else decided
