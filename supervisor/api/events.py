"""`FileEventProcessor`: which events are relevant, and what a burst of them amounts to. Reads no file and no clock."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final, List  # noqa: UP035 - the specification's own spelling

from shardwatch.aggregator.queue.file_event import (
    CREATED,
    DELETED,
    KINDS,
    MOVED,
    FileEvent,
    checked_events,
    combine,
    deletion_of_move,
    split_move,
)
from shardwatch.shard.contract.filter.filter import Filter
from shardwatch.shard.contract.input import arguments

from .types import WatcherConfig, checked_config

#: Longest time between two events of one burst, seconds.
SECONDS_MAX: Final = 1e9
#: What tells two things of one name apart: a file that becomes a directory is gone, and a directory is there.
_Key = tuple[Path, bool]


class FileEventProcessor:
    """Filters and debounces lists of events. May be shared between threads. Blocks for microseconds per event.

    Args:
        config: its patterns are used; None: those of the specification.
        roots: directories to which patterns are relative, as in the service. The deepest one that contains a path counts. A
            path outside all of them is matched without its leading slash.
    """

    def __init__(self, config: WatcherConfig | None = None, roots: Sequence[str | os.PathLike[str]] = ()) -> None:
        self.config = checked_config(config)
        self._filter = Filter(self.config.ast_file_patterns, self.config.exclude_patterns)
        absolute = {os.fsencode(os.path.abspath(root)) for root in arguments.paths("roots", roots)}
        prefixes = [root if root == b"/" else root + b"/" for root in absolute]
        self._prefixes = sorted(prefixes, key=len, reverse=True)

    async def filter_relevant_events(self, events: List[FileEvent]) -> List[FileEvent]:  # noqa: UP006 - as specified
        """Keeps the events about files that the patterns include, in their order.

        Removed are directories, paths that the patterns exclude, and kinds that are not a change (`opened`, `closed`). A move
        from a name that is included to one that is not becomes `deleted`, and the reverse becomes `created`.

        Raises UsageError if the argument is not a list of events.
        """
        return [event for event in self.select(checked_events(events)) if event is not None]

    def select(self, events: Iterable[FileEvent]) -> list[FileEvent | None]:
        """As `filter_relevant_events`, with None in the place of each event that is left out."""
        directories: dict[str, bytes] = {}
        keeps = self._filter.keeps
        selected: list[FileEvent | None] = []
        for event in events:
            if event.is_directory or event.event_type not in KINDS:
                selected.append(None)
            elif event.event_type == MOVED:
                selected.append(self._moved(event, directories))
            else:
                selected.append(event if keeps(self._relative(event.path, directories)) else None)
        return selected

    async def debounce_events(
        self,
        events: List[FileEvent],  # noqa: UP006 - as specified
        debounce_period: float = 0.5,
    ) -> List[FileEvent]:  # noqa: UP006 - as specified
        """Returns one event for each burst of a path: its last state, at its last time.

        A burst is a run of events of one path, by their timestamps, with no gap longer than the period. Events that are
        further apart stay separate. A burst is reported as `created` if it began so and was not deleted, as `deleted` if it
        ends so (never suppressed, even if it also began there), else as `modified`. A `moved` event stays one only if neither
        of its names has another event. Otherwise it counts as `deleted` and `created`.

        Args:
            events: in any order.
            debounce_period: seconds from 0; 0 merges only events of the same instant.

        Returns:
            A new list, ordered by time. Events of the same time are grouped by directory. The given events are not changed.

        Raises UsageError if the argument is not a list of events, or the period is not valid.
        """
        events = checked_events(events)
        arguments.seconds("debounce_period", debounce_period, 0.0, SECONDS_MAX)
        bursts: list[FileEvent] = []
        open_at: dict[_Key, int] = {}
        for event in sorted(_without_busy_moves(events), key=lambda event: event.timestamp):
            key = (event.path, event.is_directory)
            at = open_at.get(key)
            if at is None or event.timestamp - bursts[at].timestamp > debounce_period:
                open_at[key] = len(bursts)
                bursts.append(event)
            else:
                bursts[at] = merge(bursts[at], event)
        order: dict[tuple[float, Path], int] = {}
        keyed = []
        for at, event in enumerate(bursts):
            group = order.setdefault((event.timestamp, event.path.parent), at)
            keyed.append((event.timestamp, group, at))
        return [bursts[at] for _, _, at in sorted(keyed)]

    def _moved(self, event: FileEvent, directories: dict[str, bytes]) -> FileEvent | None:
        there = self._filter.keeps(self._relative(event.path, directories))
        source = event.moved_from
        away = source is not None and self._filter.keeps(self._relative(source, directories))
        if there and away:
            return event
        if not there and not away:
            return None
        kind = CREATED if there else DELETED
        return next(part for part in split_move(event) if part.event_type == kind)

    def _relative(self, path: Path, directories: dict[str, bytes]) -> bytes:
        """The path's bytes relative to its root. `directories` remembers what was found for a directory."""
        directory, slash, name = os.fspath(path).rpartition("/")
        directory += slash
        relative = directories.get(directory)
        if relative is None:
            exact = os.fsencode(directory)
            for prefix in self._prefixes:
                if exact.startswith(prefix):
                    relative = exact[len(prefix) :]
                    break
            else:
                relative = exact.lstrip(b"/")
            directories[directory] = relative
        return relative + os.fsencode(name)


def merge(first: FileEvent, last: FileEvent) -> FileEvent:
    """One event for two of the same name: the last one, with the kind that tells of both."""
    kind = combine(first.event_type, last.event_type)
    priority = max(first.priority, last.priority)
    if kind == last.event_type and priority == last.priority:
        return last
    return replace(last, event_type=kind, priority=priority)


def one_for_each_path(events: Iterable[FileEvent]) -> tuple[list[FileEvent], list[FileEvent]]:
    """One event for all those of a path, by their timestamps, and one for all its moves; in the order of the last ones given.

    Of several moves to one path the latest counts. The others are deletions of the names from which they came.

    Returns the events, and those that add nothing, because a later one of the path tells of them.
    """
    last: dict[tuple[Path, bool], FileEvent] = {}
    duplicates: list[FileEvent] = []

    def add(event: FileEvent) -> None:
        key = (event.path, event.event_type == MOVED)
        before = last.pop(key, None)
        if before is None:
            last[key] = event
            return
        older, newer = (before, event) if event.timestamp >= before.timestamp else (event, before)
        last[key] = newer if newer.event_type == MOVED else merge(older, newer)
        gone = deletion_of_move(older)
        if gone is None or older.moved_from == newer.moved_from:
            duplicates.append(older)
        else:
            add(gone)

    for event in events:
        add(event)
    return list(last.values()), duplicates


def _without_busy_moves(events: Sequence[FileEvent]) -> list[FileEvent]:
    """Splits the moves that share a name with another event: their halves must find their place in its history."""
    moves = [event for event in events if event.event_type == MOVED]
    if not moves:
        return list(events)
    uses: dict[Path, int] = {}
    for event in events:
        for path in {event.path, event.moved_from or event.path}:
            uses[path] = uses.get(path, 0) + 1
    result: list[FileEvent] = []
    for event in events:
        busy = event.moved_from is None or uses[event.path] > 1 or uses[event.moved_from] > 1
        result.extend(split_move(event) if event.event_type == MOVED and busy else [event])
    return result
