"""Looks at the disk for an audit, so that it waits for no filesystem that does not answer.

Wherever a filesystem may hang, the look is made by a child process, which runs this module. The child is waited for as
long as the filesystem answers others (`host.scouting`); if it does not answer, the child is given up.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Final, Self

from shardwatch.shard.contract.kernel.mounts import can_hang, read_mounts
from shardwatch.shard.contract.kernel.scout import Scout, serve

from ..host.scouting import Scouts
from .disk_look import Entry, Glance, entries, entry_at, glance

#: Seconds after which a child that has not answered is not waited for any longer unless the filesystem answers another one.
PATIENCE_S: Final = 2.0
_FOLLOW: Final = "--follow"


class Silent(OSError):
    """A filesystem does not answer.

    Attributes:
        point: where it is mounted; or a directory whose links lead to it.
    """

    def __init__(self, point: bytes) -> None:
        super().__init__(errno.ETIMEDOUT, f"the filesystem of {os.fsdecode(point)} does not answer")
        self.point = point


class BoundedLook:
    """Not thread-safe; must be closed (`with`).

    Args:
        scouts: ask whether a filesystem answers; stays the caller's.
        follow: whether links are followed. Then any path may lead to a filesystem that may hang.
        child: makes the process that looks.
    """

    def __init__(self, scouts: Scouts, *, follow: bool, child: Callable[[list[str]], Scout] = Scout) -> None:
        self._scouts = scouts
        self._follow = follow
        self._child = child
        self._looker: Scout | None = None
        self._silent: set[bytes] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._give_up()

    @property
    def mounts(self) -> Sequence[tuple[bytes, str]]:
        """The table of mounts (`Scouts.mounts`)."""
        return self._scouts.mounts

    def entries(self, path: bytes) -> list[Entry]:
        """See `disk_look.entries`. Raises Silent, and OSError."""
        if not self._may_hang(path):
            return entries(path, follow=self._follow, mounted=self._scouts.points)
        return [_decoded(item) for item in self._ask("entries", path)["entries"]]

    def entry_at(self, path: bytes) -> Entry | None:
        """See `disk_look.entry_at`. Raises Silent, and OSError."""
        if not self._may_hang(path):
            return entry_at(path, follow=self._follow)
        found = self._ask("entry", path)["entry"]
        return None if found is None else _decoded(found)

    def glance(self, path: bytes) -> Glance | None:
        """See `disk_look.glance`. Raises Silent, and OSError."""
        if not self._may_hang(path):
            return glance(path, follow=self._follow)
        found = self._ask("glance", path)["glance"]
        return None if found is None else Glance(*found)

    def guard(self, path: bytes) -> None:
        """Raises Silent if the filesystem of a path, an absolute one without links, does not answer now."""
        mount = self._scouts.mount(path)
        if mount is not None and not self._answers(mount[0]):
            raise Silent(mount[0])

    def _may_hang(self, path: bytes) -> bool:
        return self._scouts.mount(path) is not None or (self._follow and bool(self._scouts.points))

    def _ask(self, op: str, path: bytes) -> dict[str, Any]:
        mount = self._scouts.mount(path)
        point = path if mount is None else mount[0]
        if point in self._silent:
            raise Silent(point)
        if self._looker is None:
            argv = [sys.executable, "-P", "-m", "shardwatch.supervisor.audit.bounded_look"]
            self._looker = self._child([*argv, _FOLLOW] if self._follow else argv)
        answer = self._looker.ask(op, path, PATIENCE_S)
        while answer is None and self._looker.waiting and self._answers(point if mount else None):
            answer = self._looker.answer(PATIENCE_S)
        if answer is None:
            self._give_up()
            self._silent.add(point)
            raise Silent(point)
        if answer["errno"]:
            raise OSError(answer["errno"], os.strerror(answer["errno"]), path)
        return answer

    def _answers(self, point: bytes | None) -> bool:
        """Whether this filesystem answers; None: whether all do to which a link may lead."""
        return all(self._scouts.ask("answers", at) is not None for at in ([point] if point is not None else self._scouts.points))

    def _give_up(self) -> None:
        if self._looker is not None:
            self._looker.close()
            self._looker = None


def _encoded(entry: Entry) -> list[Any]:
    return [os.fsdecode(entry.name), entry.stat, entry.is_link]


def _decoded(item: list[Any]) -> Entry:
    name, stat, is_link = item
    return Entry(os.fsencode(name), tuple(stat), is_link)


def main(argv: list[str]) -> None:
    """The child."""
    follow = _FOLLOW in argv
    mounted = {point for point, kind in read_mounts() if can_hang(kind)}

    def answer(op: str, path: bytes) -> dict[str, Any]:
        if op == "entries":
            return {"errno": 0, "entries": [_encoded(entry) for entry in entries(path, follow=follow, mounted=mounted)]}
        if op == "glance":
            return {"errno": 0, "glance": glance(path, follow=follow)}
        found = entry_at(path, follow=follow)
        return {"errno": 0, "entry": None if found is None else _encoded(found)}

    serve(sys.stdin.buffer, sys.stdout.buffer, answer)


if __name__ == "__main__":
    main(sys.argv[1:])
