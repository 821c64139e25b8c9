"""Opens the index for a set of settings: sets a damaged one aside, and begins to adapt rows to changed filters."""

from __future__ import annotations

import functools
import hashlib
import logging
import os
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from shardwatch.shard.contract.files.paths import Nearest
from shardwatch.shard.contract.filter.filter import Filter
from shardwatch.shard.contract.limits import PATH_BYTES_MAX
from shardwatch.shard.contract.state.settings import Settings

from ..storage.damage import damaged, set_aside
from .index import Index
from .refit import Refit

log = logging.getLogger("shardwatch.aggregator")


class RootFinder:
    """Finds the nearest root of a path, and the path relative to it. Pure."""

    def __init__(self, roots: tuple[bytes, ...]) -> None:
        self._roots = Nearest(roots)

    def relative(self, path: bytes) -> bytes | None:
        """`path` relative to the nearest root above it, or None outside all roots."""
        root = self.root(path)
        return None if root is None else path[len(root) :].lstrip(b"/")

    def root(self, path: bytes) -> bytes | None:
        return self._roots.of(os.path.dirname(path))


def lane_function(settings: Settings) -> Callable[[bytes], int] | None:
    """The priority of an absolute path: the highest of all globs that match it, or 0 if none does."""
    if not settings.priorities:
        return None
    finder = RootFinder(settings.roots)
    rules = sorted(((priority, Filter([glob], [])) for glob, priority in settings.priorities.items()), key=lambda r: -r[0])

    def lane(path: bytes) -> int:
        relative = finder.relative(path)
        if relative is not None:
            for priority, rule in rules:
                if rule.keeps(relative):
                    return priority
        return 0

    return lane


def keeper(settings: Settings) -> Callable[[bytes, bool], bool]:
    """Whether there is a row for a path under these settings."""
    finder = RootFinder(settings.roots)
    patterns = functools.cache(lambda: Filter(settings.include, settings.exclude))  # compiled only where there are rows
    files, only = frozenset(settings.files), frozenset(settings.only)

    def keeps(path: bytes, directory: bool) -> bool:
        if only or files:
            if not directory and path in files:
                return True
            if finder.root(path) in only:
                return False
        relative = finder.relative(path)
        if relative is None or (not settings.recursive and (directory or b"/" in relative)):
            return False
        filter = patterns()
        if len(path) > PATH_BYTES_MAX or filter.prunes(relative.rpartition(b"/")[0]):  # or a directory further up
            return False
        return not filter.prunes(relative) if directory else filter.keeps(relative)

    return keeps


def fingerprint(settings: Settings) -> str:
    """A hash of everything that decides which rows exist, and in which lane."""
    parts = (
        sorted(settings.roots), settings.include, settings.exclude, settings.recursive, settings.follow_symlinks,
        settings.directories, settings.priorities, sorted(settings.files), sorted(settings.only),
    )  # fmt: skip
    return hashlib.sha256(msgspec.json.encode(parts)).hexdigest()[:32]


def open_index(
    path: Path, settings: Settings, on_progress: Callable[[], None] = lambda: None, *, durability: str | None = None
) -> tuple[Index, list[str]]:
    """Opens the index. Returns it, and notes for the status. A damaged file is set aside, never overwritten; groups then get
    `fresh`.

    `durability`: another than that of the settings (`storage.durability.TEMPORARY`).

    Next, its rows are to be adapted to the settings (`refit`), after the groups have reported their positions.

    Raises sqlite3.Error: OperationalError where the disk refuses, any other for damage that shows only now.
    """
    notes: list[str] = []

    def attempt() -> Index:
        return Index(
            path, durability=durability or settings.durability, lane_of=lane_function(settings), directories=settings.directories,
            content_only=settings.content_only, on_progress=on_progress,
        )  # fmt: skip

    try:
        index = attempt()
    except sqlite3.DatabaseError as error:
        if not damaged(error):
            raise
        notes.append(rebuild(path, str(error)))
        index = attempt()
    return index, notes


def rebuild(path: Path, why: str) -> str:
    """Sets a damaged index aside, so that the next `open_index` makes a new one. Returns a note about it."""
    note = f"the index was damaged ({why}); it is kept as {set_aside(path).name} and was built anew"
    log.error("%s", note)
    return note


def refit(index: Index, settings: Settings, tops: Sequence[bytes] | None = None) -> Refit | None:
    """The work that adapts rows and lanes to the settings, or None if they agree with them. `tops`: as of `Refit`."""
    wanted = fingerprint(settings)
    if index.file.fingerprint == wanted and not index.unfit:
        return None
    return Refit(index, keeper(settings), wanted, forget=settings.forget_left_out, tops=tops)


def refitted(done: Refit, settings: Settings) -> str:
    """The note that says what was left out, or ""."""
    if not done.left_out:
        return ""
    what = "forgotten, without events (`shardwatch groups reset` has a group begin afresh)" if settings.forget_left_out else (
        "reported as deleted"
    )
    return f"roots, filters or priorities changed; known paths that are left out now: {done.left_out}, {what}"
