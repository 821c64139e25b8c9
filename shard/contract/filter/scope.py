"""Decides what is watched in a directory: by the patterns of its root, or because a file in it was named explicitly.

A file that was named explicitly is watched whatever the patterns say. If no root reaches its directory, that directory
becomes a root too, but only for its named files (`Settings.only`): nothing else in it, and nothing below it, is in
scope. Does no input or output.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence

from ..state.settings import Settings
from .filter import Filter
from .pattern import Names


class Scope:
    """Paths of directories are absolute; `relative` is the same relative to its root, as the filter wants it."""

    def __init__(self, filter: Filter, files: Iterable[bytes] = (), only: Iterable[bytes] = ()) -> None:
        self.filter = filter
        self.only = frozenset(only)
        self._named: dict[bytes, set[bytes]] = {}
        for path in files:
            directory, _, name = path.rpartition(b"/")
            self._named.setdefault(directory or b"/", set()).add(name)

    def names(self, path: bytes) -> bool:
        """Whether this path was named as a file to be watched."""
        directory, _, name = path.rpartition(b"/")
        return name in self._named.get(directory or b"/", ())

    def files(self, path: bytes, relative: bytes, names: Collection[bytes]) -> list[bytes]:
        """Those of `names`, files in the directory `path`, that are watched, in their order."""
        named = self._named.get(path)
        if named is None:
            return self.filter.keeps_names(relative, names)
        kept = named if path in self.only else named.union(self.filter.keeps_names(relative, names))
        return [name for name in names if name in kept]

    def in_each(self, relative: bytes, names: Sequence[bytes]) -> tuple[Names, Names] | None:
        """As `Filter.in_each`; None, too, where files were named."""
        return None if self._named else self.filter.in_each(relative, names)

    def decides_alone(self) -> Callable[[bytes], tuple[Names, Names] | None] | None:
        """`Filter.in_directory`; None where files were named."""
        return None if self._named else self.filter.in_directory

    def unless_ignored(self, path: bytes, kept: list[bytes], others: list[bytes]) -> list[bytes]:
        """Of what `files` has kept in a directory, what is left if the ignore files leave only `others` of it. A file that was
        named stays."""
        named = self._named.get(path)
        if named is None or len(others) == len(kept):
            return others
        rest = named.union(others)
        return [name for name in kept if name in rest]

    def descends(self, path: bytes) -> bool:
        """Whether directories in `path` may be watched too, as far as the patterns let them."""
        return path not in self.only


def scope_of(settings: Settings) -> Scope:
    return Scope(Filter(settings.include, settings.exclude), settings.files, settings.only)
