"""Reads the ignore files of the directories that are looked at, and notices which of them have changed.

A directory that is listed is met: its ignore files are read then, whether or not they are in scope themselves. What decides from
outside of the listed directories is compared again and again (`look_outside`): ignore files of directories above, which another
shard may list, `info/exclude` of each repository, and git's global excludes file. They are few, and none of them is large.

No link is followed to an ignore file in a tree, as in git, and nothing but a regular file is read.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Collection, Iterable
from typing import Final

from ..contract.files.paths import is_below, join
from ..contract.filter.ignore_file import (
    IGNORE_FILE_BYTES_MAX,
    IGNORE_FILE_LINES_MAX,
    IGNORE_FILE_WILDCARDS_MAX,
    is_too_large,
)
from ..contract.filter.ignores import GIT, IGNORE_NAMES, NOTHING, NOTICED, IgnoreCause, Ignores, IgnoreSource, Local, upwards
from .regular_file import content_of
from .repositories import Repositories

log = logging.getLogger("shardwatch.shard")

#: Directories whose `.git` and `info/exclude` are compared in one look outside, which takes some milliseconds.
EXCLUDES_AT_ONCE: Final = 256


class IgnoreFiles:
    """What the ignore files below some roots leave out. Not thread-safe.

    Args:
        roots: each is looked at whatever an ignore file says of it.
        excludes: path of git's global excludes file; b"" for none.
        guard: called with a path outside of the directory that is listed, before it is read. Raises OSError if it must not be
            touched now, because its filesystem does not answer; what was known of it then stays.
    """

    def __init__(
        self, roots: Collection[bytes], excludes: bytes, *, guard: Callable[[bytes], object] = lambda path: None
    ) -> None:
        self._roots = sorted(roots, key=len)
        self._excludes = excludes
        self.guard_by(guard)
        self._ignores = Ignores()
        #: The first directories that are looked at, and all directories above them that count.
        self._entrances: set[bytes] = set()
        self._above: set[bytes] = set()
        #: Repositories whose `info/exclude` has its turn in the next looks outside.
        self._turn: list[bytes] = []
        #: Directories whose rules are others than when they were last met.
        self._changed: set[bytes] = set()
        #: Ignore files that count as empty because they are too large, which is logged once.
        self._too_large: set[bytes] = set()

    def guard_by(self, guard: Callable[[bytes], object]) -> None:
        """Another `guard` is called from now on."""
        self._guard = guard
        self._repositories = Repositories(guard)

    def go_by(self, roots: Collection[bytes]) -> None:
        """Other roots count from now on: what lies above them and below is compared with the next look outside."""
        self._roots = sorted(roots, key=len)

    def keep_to(self, entrances: Collection[bytes]) -> None:
        """Of the directories that are looked at first, only these are left (`descend`)."""
        self._entrances.intersection_update(entrances)

    # -- what is left out

    def files(self, directory: bytes, names: Collection[bytes]) -> list[bytes]:
        """Those of `names` that are not left out if they are files, in their order."""
        return self._ignores.kept(directory, names)

    def directories(self, directory: bytes, names: Collection[bytes]) -> list[bytes]:
        """Those of `names` that are not left out if they are directories, in their order."""
        return self._ignores.kept(directory, names, directories=True)

    def hides(self, path: bytes, root: bytes) -> bytes | None:
        """The first directory from `root`, exclusive, to `path` that is left out; None: none is."""
        return self._ignores.hides(path, root)

    def cause(self, path: bytes, *, directory: bool) -> IgnoreCause | None:
        """What decides about a path whose directory is not left out (`Ignores.cause`)."""
        return self._ignores.cause(path, directory=directory)

    @property
    def known(self) -> int:
        """How many ignore files are known, also those outside of the listed directories."""
        return self._ignores.known

    # -- what is read

    def meet(self, directory: bytes, names: Iterable[bytes], directories: Collection[bytes], fd: int | None = None) -> None:
        """A directory is listed: reads what it has that decides. Raises OSError if that cannot be read.

        Args:
            names: of all that is no directory in it.
            directories: names of the directories in it.
            fd: its descriptor; None: it is found by its path.
        """
        there = NOTICED.intersection(names)
        if GIT in directories:
            there |= {GIT}
        if there or self._ignores.local(directory) is not NOTHING:
            self._note(directory, self._read(directory, there, fd))

    @staticmethod
    def notices(names: Collection[bytes]) -> bool:
        """Whether a change of these names may change what is left out of their directory."""
        return not NOTICED.isdisjoint(names)

    def descend(self, directory: bytes) -> list[bytes]:
        """A directory is the first one that is looked at: reads what is above it, up to the outermost root, and further up to the
        top of the repository in which that lies. From now on it is compared by `look_outside`. Returns the directories above it
        whose rules are others than they were.
        """
        if directory in self._entrances:
            return []
        self._look_at_excludes()
        self._entrances.add(directory)
        new = self._counting_above({directory}) - self._above
        self._above |= new
        return [at for at in new if self.read(at)]

    def look_outside(self, *, thorough: bool = True) -> None:
        """Compares what decides from outside of the directories that are listed.

        Args:
            thorough: False: of directories with a `.git`, and of their `info/exclude`, only the next `EXCLUDES_AT_ONCE`, so that
                each has its turn.
        """
        self._look_at_excludes()
        above = self._counting_above(self._entrances)
        for at in self._above - above:
            self._note(at, NOTHING)
        self._above = above
        for at in above:
            self.read(at)
        for top in self._ignores.with_git() if thorough else self._next_with_git():
            if top not in above:
                self._look_at_git(top)

    def read(self, directory: bytes) -> bool:
        """Reads what a directory has that decides, found by its path. Returns whether that is something else than before. What
        cannot be read stays as it was."""
        try:
            self._guard(directory)
            return self._note(directory, self._read(directory, NOTICED, None))
        except OSError:
            return False

    def forget(self, directories: Iterable[bytes]) -> None:
        """These directories are not watched any more."""
        if not len(self._ignores):
            return
        for directory in directories:
            if directory not in self._above:
                self._ignores.forget(directory)
                self._changed.discard(directory)

    # -- what has changed

    @property
    def has_changed(self) -> bool:
        """Whether `take_changed` returns something."""
        return bool(self._changed)

    def take_changed(self, but: Collection[bytes] = ()) -> list[bytes]:
        """The directories whose rules have changed since they were last taken, except for those below another one of them.

        Args:
            but: directories that are not taken now.
        """
        taken: list[bytes] = []
        for path in sorted(self._changed.difference(but), key=lambda path: path.split(b"/")):
            if not taken or not is_below(path, taken[-1]):
                taken.append(path)
        self._changed.intersection_update(but)
        return taken

    def settle(self, directory: bytes) -> None:
        """No directory was known below this one when its rules changed, so nothing has to be looked at again."""
        self._changed.discard(directory)

    # -- inside

    def _note(self, directory: bytes, local: Local) -> bool:
        if not self._ignores.put(directory, local):
            return False
        self._changed.add(directory)
        return True

    def _counting_above(self, entrances: Collection[bytes]) -> set[bytes]:
        """The directories above these whose ignore files count there."""
        found: set[bytes] = set()
        roots = {entrance: next((root for root in self._roots if is_below(entrance, root)), entrance) for entrance in entrances}
        for entrance, root in roots.items():
            if entrance != root:
                found.update(at for at in upwards(os.path.dirname(entrance)) if is_below(at, root))
        for root in set(roots.values()):
            found.update(self._above_in_repository(root))
        return found

    def _above_in_repository(self, root: bytes) -> list[bytes]:
        """The directories above a root, up to the top of the repository in which it lies; none if it lies in no repository."""
        found: list[bytes] = []
        for at in upwards(root):
            if at != root:
                found.append(at)
            if self._is_repository(at):
                return found
        return []

    def _is_repository(self, directory: bytes) -> bool:
        try:
            self._guard(directory)
            return self._repositories.git_directory(directory, None) is not None
        except OSError:
            return self._ignores.local(directory).repository

    def _next_with_git(self) -> list[bytes]:
        if not self._turn:
            self._turn = self._ignores.with_git()
        taken, self._turn = self._turn[:EXCLUDES_AT_ONCE], self._turn[EXCLUDES_AT_ONCE:]
        return taken

    def _look_at_git(self, top: bytes) -> None:
        local = self._ignores.local(top)
        if not (local.repository or local.unfinished):  # not any more
            return
        try:
            self._guard(top)
            self._note(top, self._with_git(local.files, top, None))
        except OSError:
            return

    def _look_at_excludes(self) -> None:
        if not self._excludes:
            return
        try:
            self._guard(self._excludes)
            content = self._content(self._excludes, follow=True)
        except OSError:
            return
        if self._ignores.put_excludes(None if content is None else IgnoreSource(self._excludes, content)):
            self._changed.update(self._ignores.repositories())

    def _read(self, directory: bytes, names: Collection[bytes], fd: int | None) -> Local:
        """What a directory has, where these names may be there. Raises OSError."""
        files = []
        for name in IGNORE_NAMES:
            if name in names:
                content = self._content(join(directory, name), fd)
                if content is not None:
                    files.append((name, content))
        if GIT not in names:
            return Local(tuple(files)) if files else NOTHING
        return self._with_git(tuple(files), directory, fd)

    def _with_git(self, files: tuple[tuple[bytes, bytes], ...], top: bytes, fd: int | None) -> Local:
        """What a directory with these ignore files has, which may have a `.git`. Raises OSError."""
        git = self._repositories.git_directory(top, fd)
        if git is None:
            return Local(files, unfinished=True) if self._repositories.has_git(top, fd) else Local(files)
        path = join(self._repositories.common_directory(git), b"info/exclude")
        content = self._content(path, follow=True)
        return Local(files, True, None if content is None else IgnoreSource(path, content))

    def _content(self, path: bytes, fd: int | None = None, *, follow: bool = False) -> bytes | None:
        """What an ignore file contains, b"" if it is too large; None if there is none. `fd`: of its directory, if that is open.
        Raises OSError."""
        content = content_of(path if fd is None else os.path.basename(path), fd, IGNORE_FILE_BYTES_MAX, follow=follow)
        if content is None or not is_too_large(content):
            self._too_large.discard(path)
            return content
        if path not in self._too_large:
            self._too_large.add(path)
            log.warning(
                "%s counts as empty: an ignore file may have %s bytes, %s lines and %s wildcards at most", os.fsdecode(path),
                f"{IGNORE_FILE_BYTES_MAX:,}", f"{IGNORE_FILE_LINES_MAX:,}", f"{IGNORE_FILE_WILDCARDS_MAX:,}",
            )  # fmt: skip
        return b""
