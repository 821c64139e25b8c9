"""Counts the files of a tree by the ends of their names, for people who choose what to watch."""

from __future__ import annotations

import re
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from shardwatch.shard.contract.filter.filter import Filter
from shardwatch.shard.contract.filter.ignores import IGNORE_NAMES
from shardwatch.shard.contract.kernel.mounts import holder, is_remote, read_mounts
from shardwatch.shard.contract.state.settings import Settings

from ..host.scouting import Scouts
from .tree_look import TreeLook

#: Files and directories that are looked at, at most: some seconds.
LOOKED_MAX: Final = 200_000
#: The suffix of a file that holds an AST as JSON.
AST_SUFFIX: Final = b".ast.json"
#: Suffixes that mean a kind of file, and nothing to a pattern. Others are numbers, dates and the like.
_SUFFIX: Final = re.compile(rb"\.[A-Za-z][A-Za-z0-9_+-]{0,15}\Z")


@dataclass(slots=True)
class Census:
    """What was found."""

    files: int = 0
    directories: int = 0
    #: Files by suffix, with its dot: `.py`. Those that have none are in none.
    suffixes: Counter[str] = field(default_factory=Counter)
    #: .gitignore, .ignore and .shardwatchignore.
    ignore_files: int = 0
    #: (point, type) of the filesystems at the root and below it on which others change files without an event here.
    remote: list[tuple[bytes, str]] = field(default_factory=list)
    #: Everything was looked at, and not only the first LOOKED_MAX.
    whole: bool = True


def take(settings: Settings, looked_max: int = LOOKED_MAX) -> Census:
    """The census of what these settings watch, directories nearer to a root first. What can't be read holds nothing; a filesystem
    that does not answer is waited for some seconds, once. Blocks while it reads."""
    mounts = list(read_mounts())
    census = Census(remote=_remote(settings.roots, mounts))
    with Scouts(mounts) as scouts:
        look = TreeLook(Filter(settings.include, settings.exclude), settings, scouts)
        waiting = deque(settings.roots)
        while waiting and census.files + census.directories < looked_max:
            path = waiting.popleft()
            below, names = look.names(path)
            waiting.extend(path.rstrip(b"/") + b"/" + name for name in below)
            census.directories += 1
            census.files += len(names)
            census.ignore_files += sum(name in IGNORE_NAMES for name in names)
            census.suffixes.update(filter(None, map(suffix, names)))
    census.whole = not waiting
    return census


def suffix(name: bytes) -> str:
    """What a file's name ends in, with its dot; "" if that says nothing of its kind. Of `.name` that is nothing. Pure."""
    if name.endswith(AST_SUFFIX):
        return AST_SUFFIX.decode()
    found = _SUFFIX.search(name, 1)
    return found[0].decode() if found else ""


def _remote(roots: Sequence[bytes], mounts: Sequence[tuple[bytes, str]]) -> list[tuple[bytes, str]]:
    """Those that hold a root, or lie below one. Pure."""
    found = dict(holder(root, mounts) for root in roots)
    # Of several on one point the last is on top.
    found |= {point: kind for point, kind in dict(mounts).items() if any(_inside(point, root) for root in roots)}
    return [(point, kind) for point, kind in found.items() if is_remote(kind)]


def _inside(path: bytes, directory: bytes) -> bool:
    return path.startswith(directory.rstrip(b"/") + b"/")
