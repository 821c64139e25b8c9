"""The plan: which shard owns which directory. Every directory has one owner, the shard of its nearest anchor."""

from __future__ import annotations

import os
from bisect import bisect_left
from collections.abc import Iterable
from pathlib import Path

import msgspec

from ..errors import UsageError
from ..files.paths import Nearest
from .directory import read_private, write_private


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

    def shards(self) -> list[str]:
        return sorted({a.shard for a in self.anchors})

    def of(self, shard: str) -> list[Anchor]:
        return [a for a in self.anchors if a.shard == shard]


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
        self._plan: Plan | None = None

    def read(self) -> Plan | None:
        """The plan, or None where there is none; read again after a change of its mode too, as others may write it then. Raises
        what `read_plan` raises, and then reads again the next time."""
        try:
            found = os.stat(self._path)
        except FileNotFoundError:
            self._stamp, self._plan = None, None
            return None
        if self._stamp != (found.st_ino, found.st_ctime_ns):
            self._stamp = None
            self._plan = read_plan(self._path)
            self._stamp = found.st_ino, found.st_ctime_ns
        return self._plan

    def is_past(self, generation: int) -> bool:
        """Whether there is a plan of another generation. A plan that cannot be read does not count."""
        try:
            plan = self.read()
        except (OSError, msgspec.MsgspecError, UsageError):
            return False
        return plan is not None and plan.generation != generation
