"""Asks filesystems that may never answer, in child processes with a deadline (`contract.kernel.scout`), on behalf of
commands.

So every command ends, and can name the mount that did not answer. The table of mounts tells whether a path lies on such
a filesystem, without accessing it. Paths on all other filesystems are accessed directly.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Sequence
from typing import Any, Final

from shardwatch.shard.contract.errors import UsageError
from shardwatch.shard.contract.files.paths import join
from shardwatch.shard.contract.kernel.mounts import UNSEEN, can_hang, holder, read_mounts
from shardwatch.shard.contract.kernel.scout import Scout, is_file, real_name, trouble_with
from shardwatch.shard.contract.state.directory import is_state_directory

#: Seconds to wait for a filesystem; and for every further one, after one has not answered.
ANSWER_S: Final = 2.0
_ANSWER_S_MORE: Final = 0.5
#: Seconds for which a filesystem that did not answer is not asked again, because a command asks several times, about several
#: paths.
_SILENT_S: Final = 10.0
#: Mount point -> until when it counts as one that does not answer, monotonic seconds.
_silent: dict[bytes, float] = {}
#: What a trouble begins with whose cause is a filesystem that does not answer.
NO_ANSWER: Final = "does not answer"
#: The trouble of what belongs to a service.
IN_STATE_DIRECTORY: Final = "is a state directory of shardwatch, or lies in one"
#: What the trouble of a path on such a filesystem begins with.
NEVER_SEEN: Final = "can't be watched: nothing tells of changes on"
#: Links that are resolved on one path at most, as the kernel does.
_LINKS_MAX: Final = 40


class Scouts:
    """Keeps one scout for each mount that is asked. Not thread-safe; must be closed (`with`)."""

    def __init__(self, mounts: Iterable[tuple[bytes, str]] | None = None) -> None:
        self._mounts = list(read_mounts() if mounts is None else mounts)
        self._slow = [point for point, kind in self._mounts if can_hang(kind)]
        self._scouts: dict[bytes, Scout] = {}

    def __enter__(self) -> Scouts:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the scouts. Idempotent."""
        for scout in self._scouts.values():
            scout.close()

    @property
    def mounts(self) -> Sequence[tuple[bytes, str]]:
        """The table of mounts as it was read: (point, type), in the order of mounting."""
        return self._mounts

    @property
    def points(self) -> Sequence[bytes]:
        """Where filesystems that may hang are mounted."""
        return self._slow

    def mount(self, path: bytes) -> tuple[bytes, str] | None:
        """(point, type) of the mount that may hang and on which an absolute path without links lies; None if it lies on no such
        mount.
        """
        if not any(_inside(path, point) for point in self._slow):
            return None
        found = holder(path, self._mounts)
        return found if can_hang(found[1]) else None

    def ask(self, op: str, path: bytes) -> dict[str, Any] | None:
        """See `Scout`; None if there is no answer in time. For a path that `mount` knows, or a link that leads to one, or has led
        to one a moment ago."""
        found = self._leads_to(path)
        point = b"/" if found is None else found[0]
        now = time.monotonic()
        for silent in [point for point, until in _silent.items() if until < now]:
            del _silent[silent]
        if point in _silent:
            return None
        scout = self._scouts.setdefault(point, Scout())
        answer = scout.ask(op, path, _ANSWER_S_MORE if _silent else ANSWER_S)
        if answer is None:
            _silent[point] = time.monotonic() + _SILENT_S
        return answer

    def real(self, path: bytes) -> bytes:
        """`real_name` of a path. A path on a filesystem that does not answer stays unchanged."""
        path = b"/" + (path if path.startswith(b"/") else join(os.getcwdb(), path)).lstrip(b"/")
        if not self._slow:
            return b"/" + real_name(path).lstrip(b"/")
        resolved = self._resolve(path)
        directory, name = os.path.split(path.rstrip(b"/") or b"/")
        if name in (b"", b".", b"..") or resolved == (at := join(self._resolve(directory), name)):
            return resolved
        if self.mount(resolved) is None:
            return resolved if os.path.isdir(resolved) else at
        return at if self.is_file(resolved) is not False and not self.is_silent(resolved) else resolved

    def _resolve(self, path: bytes) -> bytes:
        """os.path.realpath of an absolute path."""
        here, left, links = b"/", path.split(b"/")[::-1], 0
        while left:
            name = left.pop()
            if name in (b"", b"."):
                continue
            at = os.path.dirname(here) if name == b".." else join(here, name)
            if self.mount(at) is not None:
                rest = b"/".join([at, *reversed(left)])
                answer = self.ask("root", rest)
                return os.fsencode(answer["real"]) if answer and "real" in answer else os.path.normpath(rest)
            try:
                target = os.readlink(at)
            except OSError:
                here = at
                continue
            links += 1
            if links > _LINKS_MAX:
                return os.path.normpath(path)
            here = b"/" if target.startswith(b"/") else here
            left += target.split(b"/")[::-1]
        return here

    def is_file(self, path: bytes) -> bool | None:
        """See `shard.contract.kernel.scout.is_file`; None also where there is no answer."""
        if self._leads_to(path) is None:
            return is_file(path)
        answer = self.ask("root", path)
        found: bool | None = answer["is_file"] if answer is not None and not answer["errno"] else None
        return found

    def trouble_with(self, path: bytes) -> str:
        """Why what was named, an absolute path without links, can't be watched; "" if it can."""
        found = self._leads_to(path)
        if found is None:
            return trouble_with(path) or self._trouble_with_place(path)
        answer = self.ask("root", path)
        if answer is None:
            return f"{NO_ANSWER} ({found[1]} on {os.fsdecode(found[0])})"
        return f"can't be reached: {os.strerror(answer['errno'])}" if answer["errno"] else str(answer["trouble"])

    def _trouble_with_place(self, path: bytes) -> str:
        """Why nothing that lies there can be watched; "" if it can."""
        point, kind = holder(path, self._mounts)
        if kind in UNSEEN:
            return f"{NEVER_SEEN} {os.fsdecode(point)}, a {kind}"
        return IN_STATE_DIRECTORY if self._is_in_state_directory(path) else ""

    def _is_in_state_directory(self, path: bytes) -> bool:
        """Whether a path is a state directory of a service, or lies in one: what happens there is no event, or the service would
        hear itself. Directories on filesystems that may hang are not asked."""
        while True:
            if self.mount(path) is None and _is_state_directory(path):
                return True
            above = os.path.dirname(path)
            if above == path:
                return False
            path = above

    def unanswered(self, path: bytes) -> str:
        """See the function of this name, for an absolute path without links."""
        found = self.mount(path)
        if found is None or self.ask("answers", found[0]) is not None:
            return ""
        return f"{found[1]} ({os.fsdecode(found[0])}), which does not answer"

    def is_silent(self, path: bytes) -> bool:
        """Whether a path lies on a mount that was asked and has not answered."""
        found = self._leads_to(path)
        return found is not None and found[0] in _silent

    def _leads_to(self, path: bytes) -> tuple[bytes, str] | None:
        """The same as `mount`, for a path whose last name may be a link."""
        found = self.mount(path)
        return self.mount(self._resolve(path)) if found is None and self._slow and os.path.islink(path) else found


def is_directory(path: bytes) -> bool:
    """Whether an absolute path leads to a directory, or to a filesystem that does not answer and is waited for. Never raises."""
    if b"\0" in path:
        return False
    with Scouts() as scouts:
        real = scouts.real(path)
        if scouts.mount(real) is None:
            return os.path.isdir(real)
        return scouts.is_file(real) is False or scouts.is_silent(real)


def unanswered(path: str | bytes | os.PathLike[str]) -> str:
    """What does not answer where a path leads to, as "TYPE (POINT), which does not answer"; "" if the path can be accessed.

    Waits for `ANSWER_S` at most, and asks nobody about a path on a filesystem that can't hang.
    """
    with Scouts() as scouts:
        return scouts.unanswered(scouts.real(os.fsencode(path))) if scouts.points else ""


def check_state_dir(state_dir: str | os.PathLike[str]) -> None:
    """Raises UsageError where the state directory lies on a filesystem that does not answer."""
    silent = unanswered(state_dir)
    if silent:
        raise UsageError(
            f"the state directory {os.fspath(state_dir)} lies on {silent}",
            hint="check that mount, or give another --state-dir, on a local disk",
        )


def _is_state_directory(path: bytes) -> bool:
    try:
        fd = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return False  # no directory, or one that is gone
    try:
        return is_state_directory(fd)
    finally:
        os.close(fd)


def _inside(path: bytes, directory: bytes) -> bool:
    return directory in (b"/", path) or path.startswith(directory + b"/")
