"""Mounts at or below a shard's anchors that report no remote changes, or whose server may hang.

The filesystem of a directory is determined from the table of mounts as it is now, and not from the plan. Before the
shard looks at anything on a filesystem that may hang, a child process (`contract.kernel.scout`) asks it whether it
answers, at most every half second. While it does not answer, nothing on it is accessed, and everything else continues.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Final

from ..contract.files.paths import join
from ..contract.kernel.mounts import can_hang, holder, is_remote
from ..contract.kernel.scout import Scout
from .disk import Disk
from .mounts import Mounts

#: How long an answer is valid, seconds. A hang during this time is not noticed, and a shard that looks then is stuck and
#: replaced.
_FRESH_S: Final = 0.5
#: How long an answer is waited for, seconds; and where another filesystem has just kept it waiting for so long. Who is silent for
#: 5 s is killed.
ANSWER_S: Final = 1.0
_ANSWER_S_MORE: Final = 0.05
_PATIENCE_S: Final = 5.0
#: Links that are passed on one path, a bound against circles.
_LINKS_MAX: Final = 200


class Unanswered(OSError):
    """A path lies on a filesystem that does not answer.

    Attributes:
        point: where that is mounted.
    """

    def __init__(self, point: bytes, kind: str) -> None:
        super().__init__(errno.ETIMEDOUT, f"{kind} on {os.fsdecode(point)} does not answer")
        self.point = point


class SlowMounts:
    """Owned by one thread.

    Args:
        tops: the paths of the anchors. Mounts at them, above and below them count.
        follow: whether links lead elsewhere: then all mounts count.
    """

    def __init__(
        self,
        mounts: Mounts | None,
        tops: Iterable[bytes],
        *,
        follow: bool,
        disk: Disk | None = None,
        scout: Callable[[], Scout] = Scout,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._mounts = mounts
        self._tops = list(tops)
        self._follow = follow
        self._disk = disk if disk is not None else Disk()
        self._scout = scout
        self._clock = clock
        self._version = -1
        #: All mounts, in the order of mounting, and those of them that count here and are remote or can hang.
        self._all: list[tuple[bytes, str]] = []
        self._slow: list[tuple[bytes, str]] = []
        #: The names at which the latter are mounted, by directory.
        self._names: dict[bytes, set[bytes]] = {}
        self._scouts: dict[bytes, Scout] = {}
        #: Mount point -> until when it counts as answering.
        self._fresh: dict[bytes, float] = {}
        self._kept_waiting = -_PATIENCE_S

    def keep_to(self, tops: Iterable[bytes]) -> None:
        """Other anchors count from now on."""
        self._tops = list(tops)
        self._version = -1

    def open(self, path: bytes) -> int:
        """`Disk.open` of an absolute path. Raises Unanswered, at once or after ANSWER_S, and OSError."""
        if not self.none:
            self.guard(path)
        return self._disk.open(path, follow=self._follow)

    @property
    def none(self) -> bool:
        """Whether there is no such mount at all: nothing needs to be asked."""
        if self._mounts is not None and self._version != self._mounts.version:
            self._refresh()
        return not self._slow

    def guard(self, path: bytes) -> None:
        """Raises Unanswered if a path lies on a filesystem that does not answer, or, with `follow`, leads over one."""
        if self.none:
            return
        for found in self._passed(path) if self._follow else (self._of(path),):
            if found is not None and not self._answers(found[0]):
                raise Unanswered(*found)

    def guard_way(self, path: bytes) -> None:
        """Raises Unanswered if a path, whose links are followed, leads over any filesystem that does not answer, wherever it is
        mounted. For who has to know where a link leads that is not followed otherwise."""
        _ = self.none  # as things are now
        for here in self._steps(path):
            found = holder(here, self._all) if self._all else None
            if found is not None and can_hang(found[1]) and not self._answers(found[0]):
                raise Unanswered(*found)

    def silent(self, directory: bytes, names: Collection[bytes]) -> list[tuple[bytes, Unanswered]]:
        """Those of the names in a directory at which a filesystem is mounted that does not answer: not even an lstat of them
        would end.
        """
        if self.none:
            return []
        found = []
        for name in sorted(self._names.get(directory, set()).intersection(names)):
            try:
                self.guard(join(directory, name))
            except Unanswered as error:
                found.append((name, error))
        return found

    def demand(self, directory: bytes, names: Collection[bytes]) -> None:
        """Raises Unanswered if there are such names: nothing can be said of the directory as a whole then."""
        for _, error in self.silent(directory, names)[:1]:
            raise error

    def _passed(self, path: bytes) -> Iterator[tuple[bytes, str] | None]:
        """Yields the slow mounts that a path with links passes. The caller makes sure that one answers before it asks for the
        next.
        """
        return map(self._of, self._steps(path))

    def _steps(self, path: bytes) -> Iterator[bytes]:
        """Yields what a path with links passes, each without links but for its last name. The caller makes sure that its
        filesystem answers before it asks for the next.
        """
        here, left, links = b"/", path.split(b"/")[::-1], 0
        while left and links <= _LINKS_MAX:
            name = left.pop()
            if name in (b"", b"."):
                continue
            here, above = os.path.dirname(here) if name == b".." else join(here, name), here
            yield here
            try:
                target = self._disk.link_target(here)
            except OSError:
                continue
            links += 1
            here = b"/" if target.startswith(b"/") else above
            left += target.split(b"/")[::-1]

    def remote(self, path: bytes) -> bool:
        """Whether a path without links lies on a filesystem that does not report changes made on other machines."""
        found = self._of(path)
        return found is not None and is_remote(found[1])

    def remotes(self) -> list[tuple[bytes, str]]:
        """(topmost path, type) of what lies on remote filesystems: anchors, or mount points below anchors."""
        if self.none:
            return []
        paths = self._tops + [point for point, _ in self._slow if any(_inside(point, top) and point != top for top in self._tops)]
        found = [(path, self._of(path)) for path in dict.fromkeys(paths)]
        return [(path, mount[1]) for path, mount in found if mount is not None and is_remote(mount[1])]

    def _of(self, path: bytes) -> tuple[bytes, str] | None:
        """The slow mount that a path lies on, or None."""
        if self.none:
            return None
        for point, _ in self._slow:
            if path == point or path.startswith(point + b"/") or point == b"/":
                found = holder(path, self._all)
                return found if can_hang(found[1]) else None
        return None

    def _refresh(self) -> None:
        if self._mounts is None or self._version == self._mounts.version:
            return
        self._version = self._mounts.version
        self._all = self._mounts.all()
        self._slow = [(point, kind) for point, kind in self._all if can_hang(kind) and self._counts(point)]
        there = {point for point, _ in self._slow}
        self._names = {}
        for point in there:
            above, name = os.path.split(point)
            self._names.setdefault(above, set()).add(name)
        for point in self._scouts.keys() - there:
            self._scouts.pop(point).close()
            self._fresh.pop(point, None)

    def _counts(self, point: bytes) -> bool:
        return self._follow or any(_inside(top, point) or _inside(point, top) for top in self._tops)

    def _answers(self, point: bytes) -> bool:
        now = self._clock()
        if now < self._fresh.get(point, -1.0):
            return True
        scout = self._scouts.get(point)
        if scout is None:
            scout = self._scouts[point] = self._scout()
        if scout.waiting:
            answer = scout.answer(0.0)
        else:
            patient = now - self._kept_waiting > _PATIENCE_S
            answer = scout.ask("answers", point, ANSWER_S if patient else _ANSWER_S_MORE)
            if answer is None:
                self._kept_waiting = self._clock()
        if answer is None:
            return False
        self._fresh[point] = self._clock() + _FRESH_S
        return True

    def close(self) -> None:
        for scout in self._scouts.values():
            scout.close()


def _inside(path: bytes, directory: bytes) -> bool:
    return directory in (b"/", path) or path.startswith(directory + b"/")
