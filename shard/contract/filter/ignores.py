"""Which names the ignore files of a tree leave out, given what each of these files contains. Does no input or output;
`shard.disk.ignore_files` reads the files.

The kinds of files take precedence over each other as in ripgrep: `.shardwatchignore`, then `.ignore`, then `.gitignore`, then
`.git/info/exclude`, then git's global excludes file. Within a kind, the file in the nearest directory decides. A `.gitignore`
counts only within a git repository, and only up to its top, and so do the last two; both are about the top. `.git` itself
belongs to no tree.

Whether a directory above is ignored is not asked here: nobody looks into such a directory.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator
from typing import Final, NamedTuple

from ..files.paths import join
from .ignore_file import IgnoreRule, Table, ignore_file

GIT: Final = b".git"
_ANYWHERE: Final = (b".shardwatchignore", b".ignore")
_GITIGNORE: Final = b".gitignore"
#: Files that leave out what is beside and below them.
IGNORE_NAMES: Final = (*_ANYWHERE, _GITIGNORE)
#: Names that may change what is left out of their directory.
NOTICED: Final = frozenset((*IGNORE_NAMES, GIT))
#: Directories whose rules are remembered; deciding one again takes some microseconds for each directory above it.
_REMEMBERED_MAX: Final = 512


class IgnoreSource(NamedTuple):
    """An ignore file: where it is, and what it contains."""

    path: bytes
    content: bytes


class Local(NamedTuple):
    """What a directory has that decides what is left out of it."""

    #: Its ignore files, by name.
    files: tuple[tuple[bytes, bytes], ...] = ()
    #: Whether it is the top of a git repository; and the `info/exclude` of that, if there is one.
    repository: bool = False
    exclude: IgnoreSource | None = None
    #: Its `.git` is, or leads to, no repository of git's. It may become one without a change in the directory.
    unfinished: bool = False


NOTHING: Final = Local()


class IgnoreCause(NamedTuple):
    """What leaves a name out, or brings it back."""

    #: The ignore file.
    source: bytes
    rule: IgnoreRule


class _Rules:
    """The rules that are in force in one directory, those that take precedence first."""

    __slots__ = ("_tables",)

    def __init__(self, path: bytes, sources: Iterable[tuple[bytes, IgnoreSource]]) -> None:
        """`sources`: each with the directory that it is about."""
        tables: dict[bool, list[tuple[Table, bytes, bytes]]] = {False: [], True: []}
        for base, source in sources:
            prefix = path[len(base) :].lstrip(b"/")
            depth = prefix.count(b"/") + 1 if prefix else 0
            prefix += b"/" if prefix else b""
            for directories, into in tables.items():
                table = ignore_file(source.content).table(depth, directories=directories)
                if table is not None:
                    into.append((table, prefix, source.path))
        self._tables = tables

    def cause(self, name: bytes, *, directory: bool) -> IgnoreCause | None:
        for table, prefix, source in self._tables[directory]:
            rule = table.find(prefix, name)
            if rule is not None:
                return IgnoreCause(source, rule)
        return None

    def kept(self, names: Collection[bytes], *, directories: bool) -> list[bytes]:
        tables = self._tables[directories]
        if not tables:
            return [name for name in names if name != GIT]
        found = []
        for name in names:
            for table, prefix, _ in tables:
                rule = table.find(prefix, name)
                if rule is not None:
                    if rule.negated and name != GIT:
                        found.append(name)
                    break
            else:
                if name != GIT:
                    found.append(name)
        return found


class Ignores:
    """Not thread-safe. Paths of directories are absolute.

    Attributes:
        excludes: git's global excludes file, as it is now; None if there is none.
    """

    def __init__(self) -> None:
        self.excludes: IgnoreSource | None = None
        self._local: dict[bytes, Local] = {}
        #: How many ignore files these have.
        self._files = 0
        self._rules: dict[bytes, _Rules] = {}

    # -- what there is

    def put(self, directory: bytes, local: Local) -> bool:
        """Notes what a directory has. Returns whether that is something else than before."""
        before = self._local.get(directory, NOTHING)
        if before == local:
            return False
        self._files += _files_of(local) - _files_of(before)
        if local == NOTHING:
            del self._local[directory]
        else:
            self._local[directory] = local
        self._rules.clear()
        return True

    def put_excludes(self, source: IgnoreSource | None) -> bool:
        """Notes git's global excludes file, likewise."""
        if self.excludes == source:
            return False
        self.excludes = source
        self._rules.clear()
        return True

    def forget(self, directory: bytes) -> None:
        """The directory is not watched any more. Idempotent."""
        local = self._local.pop(directory, None)
        if local is not None:
            self._files -= _files_of(local)
            self._rules.clear()

    def local(self, directory: bytes) -> Local:
        return self._local.get(directory, NOTHING)

    def repositories(self) -> list[bytes]:
        """The tops of the repositories that are known."""
        return [directory for directory, local in self._local.items() if local.repository]

    def with_git(self) -> list[bytes]:
        """These, and the directories whose `.git` is no repository yet."""
        return [directory for directory, local in self._local.items() if local.repository or local.unfinished]

    @property
    def known(self) -> int:
        """How many ignore files there are, git's global excludes file included."""
        return self._files + (self.excludes is not None)

    def __len__(self) -> int:
        """How many directories have something that decides."""
        return len(self._local)

    # -- what follows

    def kept(self, directory: bytes, names: Collection[bytes], *, directories: bool = False) -> list[bytes]:
        """Those of `names` in a directory that are not left out, in their order. `directories`: they are names of directories."""
        return self._in_force(directory).kept(names, directories=directories)

    def cause(self, path: bytes, *, directory: bool) -> IgnoreCause | None:
        """What decides about a path, which is left out unless the rule is negated; None: no rule does. `directory`: it is one."""
        above, name = os.path.split(path)
        return self._in_force(above).cause(name, directory=directory)

    def hides(self, path: bytes, root: bytes) -> bytes | None:
        """The first directory below `root`, from above, that is left out; None if there is none up to `path`, a directory."""
        at = root
        for name in path[len(root) :].strip(b"/").split(b"/"):
            if name:
                if not self.kept(at, [name], directories=True):
                    return join(at, name)
                at = join(at, name)
        return None

    def _in_force(self, directory: bytes) -> _Rules:
        rules = self._rules.get(directory)
        if rules is None:
            if len(self._rules) >= _REMEMBERED_MAX:
                self._rules.clear()
            rules = self._rules[directory] = _Rules(directory, self._sources(directory))
        return rules

    def _sources(self, directory: bytes) -> Iterator[tuple[bytes, IgnoreSource]]:
        above = [(at, self._local[at]) for at in upwards(directory) if at in self._local]
        for name in _ANYWHERE:
            yield from _of_name(above, name)
        top = next((number for number, (_, local) in enumerate(above) if local.repository), None)
        if top is None:
            return
        yield from _of_name(above[: top + 1], _GITIGNORE)
        at, local = above[top]
        for source in (local.exclude, self.excludes):
            if source is not None:
                yield at, source


def _files_of(local: Local) -> int:
    return len(local.files) + (local.exclude is not None)


def _of_name(above: Iterable[tuple[bytes, Local]], wanted: bytes) -> Iterator[tuple[bytes, IgnoreSource]]:
    for at, local in above:
        for name, content in local.files:
            if name == wanted:
                yield at, IgnoreSource(join(at, name), content)


def upwards(directory: bytes) -> Iterator[bytes]:
    """A directory, and those above it."""
    at = directory
    while True:
        yield at
        above = os.path.dirname(at)
        if above == at:
            return
        at = above
