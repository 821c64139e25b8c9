"""The plan: which shard owns which directory. Every directory has one owner, the shard of its nearest anchor."""

from __future__ import annotations

import os
from bisect import bisect_left
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from ..errors import UsageError
from ..files.paths import Nearest
from .directory import read_private, write_private

if TYPE_CHECKING:
    from .settings import Settings


class Anchor(msgspec.Struct, frozen=True):
    """A subtree that is assigned to a shard: `path` and everything below it, except for other anchors below it."""

    path: bytes
    shard: str
    #: The user's root that this anchor lies in (the nearest one): patterns are relative to it.
    root: bytes
    #: Estimated or measured weight when planned, and whether it is measured.
    directories: int = 0
    files: int = 0
    exact: bool = False
    #: How the anchor is watched: a backend's name.
    backend: str = "inotify"
    #: The generation in which its shard was last given it, or more of what is below it. With the plans since then it could only
    #: lose something to other anchors. 0: the generation of the plan.
    since: int = 0


class Plan(msgspec.Struct, frozen=True):
    """All anchors of one generation. Each plan has a generation of its own (`supervisor.planning.planning.kept_plan`)."""

    generation: int
    anchors: tuple[Anchor, ...]
    #: Hash of roots, filters and whatever else decides which rows exist (`supervisor.planning.key.plan_key`).
    key: str = ""
    #: Inotify watches each shard may hold, so that all together leave a reserve; no entry: no bound.
    watches: dict[str, int] = {}
    #: (root, mount point it lay on when it was planned): once nothing is mounted there any more, the root is in doubt.
    homes: tuple[tuple[bytes, bytes], ...] = ()
    #: (root, mount point below that one), of what was mounted since: once nothing is mounted there any more and nothing lies in
    #: its place, the root is in doubt too.
    later: tuple[tuple[bytes, bytes], ...] = ()
    #: Of the settings for which it was made: `roots`, `files` and `only`. No roots: it is of a version that did not note them.
    roots: tuple[bytes, ...] = ()
    files: tuple[bytes, ...] = ()
    only: tuple[bytes, ...] = ()
    #: The plan that is to take the place of this one, while its shards get ready for it (`passing.in_advance`).
    next: Plan | None = None

    def shards(self) -> list[str]:
        return sorted({a.shard for a in self.anchors})

    def of(self, shard: str) -> list[Anchor]:
        return [a for a in self.anchors if a.shard == shard]

    def since(self, anchor: Anchor) -> int:
        """The generation from which on the shard of an anchor has had all that it has there now."""
        return anchor.since or self.generation

    def owed(self, shard: str) -> int:
        """The least generation of a baseline in which a shard has looked at everything that it has now; 0: it has nothing."""
        return max((self.since(a) for a in self.of(shard)), default=0)


class PartChange(NamedTuple):
    """What a shard that runs with one plan has to let go, and to take on, to go on with another."""

    #: Anchors that are another's now, or nobody's.
    left: tuple[Anchor, ...]
    #: Anchors that it is given.
    taken: tuple[Anchor, ...]
    #: Anchors that have come below those that it keeps: it lets go what lies there.
    cut: tuple[Anchor, ...]

    def __bool__(self) -> bool:
        """Whether there is anything to do."""
        return bool(self.left or self.taken or self.cut)


def part_change(shard: str, before: Plan, after: Plan) -> PartChange | None:
    """How a shard that goes by the plan `before` can go on with the plan `after`. None: it can't, and has to be started again.

    That is so if it keeps nothing, or if the plan is an older one. An anchor where it is given more, or something else is watched
    now, is one that it lets go and takes on again. Pure.
    """
    old = {a.path: a for a in before.of(shard)}
    new = {a.path: a for a in after.of(shard)}
    kept = {path for path in old.keys() & new.keys() if after.since(new[path]) <= before.generation}
    if not kept or after.generation < before.generation:
        return None
    taken = tuple(anchor for path, anchor in new.items() if path not in kept)
    owners, now = Owners(before.anchors), {a.path: a for a in after.anchors}
    cut = tuple(a for a in after.anchors if a.path not in owners.by_path and (own := owners.of(a.path)) and own.path in kept)
    return PartChange(tuple(now.get(path, anchor) for path, anchor in old.items() if path not in kept), taken, cut)


class Owners:
    """Finds the owner of a directory, in a time that depends on the plan and not on the depth of the directory. Pure."""

    def __init__(self, anchors: Iterable[Anchor]) -> None:
        self.by_path = {a.path: a for a in anchors}
        self._paths = sorted(self.by_path)
        self._nearest = Nearest(self._paths)

    def of(self, directory: bytes) -> Anchor | None:
        """The anchor that owns `directory` (absolute), or None outside every root."""
        path = self._nearest.of(directory)
        return None if path is None else self.by_path[path]

    def below(self, directory: bytes) -> list[Anchor]:
        """Anchors strictly below `directory`."""
        prefix = directory if directory == b"/" else directory + b"/"
        i = bisect_left(self._paths, prefix)
        found = []
        while i < len(self._paths) and self._paths[i].startswith(prefix):
            if self._paths[i] != directory:
                found.append(self.by_path[self._paths[i]])
            i += 1
        return found


def with_roots(settings: Settings, plan: Plan | None) -> Settings:
    """These settings, with the roots and single files of a plan.

    While a service takes over other roots, its settings and its plan are exchanged one after the other. Whoever watches, or
    applies what was seen, goes by the plan, in which the roots and who has them are written at once. Pure.
    """
    if plan is None or not plan.roots:
        return settings
    return msgspec.structs.replace(settings, roots=plan.roots, files=plan.files, only=plan.only)


def read_plan(path: Path) -> Plan | None:
    """The plan on disk, or None where there is none yet.

    Raises OSError, msgspec.ValidationError for a damaged file, UsageError for one that others can write.
    """
    try:
        return msgspec.json.decode(read_private(path), type=Plan)
    except FileNotFoundError:
        return None


def write_plan(path: Path, plan: Plan) -> None:
    write_private(path, msgspec.json.format(msgspec.json.encode(plan), indent=1))


class PlanFile:
    """The plan on disk, for a caller that asks again and again. Each time a stat is made, and the file is read only if it is
    another file than the last time.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp: tuple[int, int] | None = None
        #: The plan as it was last read; None: there was none, or it could not be read.
        self.last: Plan | None = None

    def read(self) -> Plan | None:
        """The plan, or None where there is none; read again after a change of its mode too, as others may write it then. Raises
        what `read_plan` raises, and then reads again the next time."""
        try:
            found = os.stat(self._path)
        except FileNotFoundError:
            self._stamp, self.last = None, None
            return None
        if self._stamp != (found.st_ino, found.st_ctime_ns):
            self._stamp = self.last = None
            self.last = read_plan(self._path)
            self._stamp = found.st_ino, found.st_ctime_ns
        return self.last

    def other_than(self, generation: int) -> Plan | None:
        """The plan, if there is one of another generation. A plan that cannot be read does not count."""
        try:
            plan = self.read()
        except (OSError, msgspec.MsgspecError, UsageError):
            return None
        return None if plan is None or plan.generation == generation else plan
