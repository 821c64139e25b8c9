"""The specification's data types: its fields, order and defaults first, ours after them. Loads nothing heavy."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, List, Optional  # noqa: UP035 - the specification's own spelling

from shardwatch.aggregator.file_event import FileEvent
from shardwatch.shard.contract.errors import UsageError

if TYPE_CHECKING:
    from shardwatch.shard.contract.settings import Settings

__all__ = ["FileEvent", "ProcessingResult", "WatcherConfig", "WatcherStats"]

#: What the specification watches for, and leaves out, unless told otherwise.
AST_FILE_PATTERNS = ("*.json", "**/*.ast.json", "**/ast/*.json")
EXCLUDE_PATTERNS = (
    "**/.git/**",
    "**/node_modules/**",
    "**/build/**",
    "**/dist/**",
    "**/__pycache__/**",
    "**/*.tmp",
    "**/*.swp",
)
BACKENDS = ("auto", "inotify", "polling", "native")
DURABILITIES = ("process", "power")


@dataclass
class WatcherStats:
    """What a `RealtimeFileWatcher` did since it was made. Events and batches count once the handler returned.

    Args:
        events_processed: events that a handler took.
        batches_processed: calls of the handler that returned.
        processing_errors: calls of the handler that raised.
        events_queued: events that `process_file_events` put into the queue.
        events_filtered: events that it left out.
        duplicates: events that it found queued already.
        fresh_starts: times that the service asked to drop all knowledge, because the index had been lost.
    """

    events_processed: int = 0
    batches_processed: int = 0
    processing_errors: int = 0
    events_queued: int = 0
    events_filtered: int = 0
    duplicates: int = 0
    fresh_starts: int = 0


@dataclass
class ProcessingResult:
    """What became of the events given to `process_file_events`. Every event is in exactly one place.

    Args:
        queued: durable in the queue, on their way to the handler.
        filtered: not relevant: directories, names that the patterns leave out, kinds that are no change.
        duplicates: the same or a newer state of the path is queued already, or came later in the same call.
        errors: path -> `vanished`, `unreadable`, `not a regular file`, `too large`, or `queue full`.
    """

    queued: list[FileEvent] = field(default_factory=list)
    filtered: list[FileEvent] = field(default_factory=list)
    duplicates: list[FileEvent] = field(default_factory=list)
    errors: dict[Path, str] = field(default_factory=dict)

    @property
    def queued_paths(self) -> list[Path]:
        """Paths of the queued events, in order."""
        return [event.path for event in self.queued]

    @property
    def success(self) -> bool:
        """Whether no event met an error."""
        return not self.errors


@dataclass
class WatcherConfig:
    """How a `RealtimeFileWatcher` works. Raises UsageError for a value out of its range.

    Args:
        ast_file_patterns: gitignore globs of the files to report; None: `*.json`, `**/*.ast.json`, `**/ast/*.json`.
        exclude_patterns: gitignore globs to leave out; None: version control, build output, temporary files.
        recursive_monitoring: False: only the files directly in a watched directory.
        debounce_period: seconds a path must be quiet before it is reported; it is reported after four periods (at
            least 1 s) even if it never is.
        batch_size: most events handed to the handler at once.
        batch_timeout: seconds; upper bound on how long one look for changes waits. A change is handed over at once.
        queue_size: most events that `process_file_events` may leave waiting.
        state_dir: where the service keeps its index and queue; None: a temporary directory that `stop_monitoring`
            removes. With a kept one, changes made while nothing was running are reported at the next start.
        shards: processes that watch; 0: chosen from the tree, the processors and the limits.
        backend: `auto`, `inotify`, `polling` or `native`.
        priorities: gitignore glob -> priority; higher is handed over first, first in first out within one.
        max_file_size: bytes; `process_file_events` refuses larger files. None: no limit.
        follow_symlinks: whether links to directories are descended into.
        durability: `process` survives any crash of the programs, `power` also one of the machine.
        report_moves: True: renames arrive as `moved` where they are certain; False: as `deleted` and `created`.
        group: the name under which the service remembers what was handed over.
        lease_s: seconds after which a batch is handed over again whose watcher was killed; a live one keeps its lease.
        ready_timeout_s: seconds `start_monitoring` waits for the tree to be watched.
    """

    ast_file_patterns: List[str] = None  # type: ignore[assignment]  # noqa: UP006 - as specified
    exclude_patterns: List[str] = None  # type: ignore[assignment]  # noqa: UP006 - as specified
    recursive_monitoring: bool = True
    debounce_period: float = 0.5
    batch_size: int = 100
    batch_timeout: float = 2.0
    queue_size: int = 10000
    state_dir: Path | str | None = None
    shards: int = 0
    backend: str = "auto"
    priorities: Optional[dict[str, int]] = None  # noqa: UP045 - as its neighbours
    max_file_size: int | None = None
    follow_symlinks: bool = False
    durability: str = "process"
    report_moves: bool = False
    group: str = "watcher"
    lease_s: float = 60.0
    ready_timeout_s: float = 120.0

    def __post_init__(self) -> None:
        if self.ast_file_patterns is None:
            self.ast_file_patterns = list(AST_FILE_PATTERNS)
        if self.exclude_patterns is None:
            self.exclude_patterns = list(EXCLUDE_PATTERNS)
        if self.priorities is None:
            self.priorities = {}
        _globs("ast_file_patterns", self.ast_file_patterns)
        _globs("exclude_patterns", self.exclude_patterns)
        if not self.ast_file_patterns:
            raise UsageError("WatcherConfig.ast_file_patterns is empty", hint="no file would ever be reported; use ['*']")
        _seconds("debounce_period", self.debounce_period, 0.0, 3600.0)
        _seconds("batch_timeout", self.batch_timeout, 0.0, 86_400.0)
        _seconds("lease_s", self.lease_s, 0.001, 86_400.0)
        _seconds("ready_timeout_s", self.ready_timeout_s, 0.001, 86_400.0)
        _count("batch_size", self.batch_size, 1, 1_000_000)
        _count("queue_size", self.queue_size, 1, 1_000_000_000)
        _count("shards", self.shards, 0, 1024)
        if self.max_file_size is not None:
            _count("max_file_size", self.max_file_size, 0, 1 << 62)
        _choice("backend", self.backend, BACKENDS)
        _choice("durability", self.durability, DURABILITIES)
        for name in ("recursive_monitoring", "follow_symlinks", "report_moves"):
            if not isinstance(getattr(self, name), bool):
                raise _bad(name, getattr(self, name), "True or False")
        if not isinstance(self.group, str) or not self.group:
            raise _bad("group", self.group, "a name that is not empty")
        if self.state_dir is not None and not isinstance(self.state_dir, (str, os.PathLike)):
            raise _bad("state_dir", self.state_dir, "a path, or None for a temporary directory")
        if not isinstance(self.priorities, Mapping):
            raise _bad("priorities", self.priorities, "a map of globs to whole numbers")
        for glob, priority in self.priorities.items():
            if not isinstance(glob, str) or not glob or isinstance(priority, bool) or not isinstance(priority, int):
                raise _bad("priorities", {glob: priority}, "a map of globs to whole numbers")

    def settings(self, roots: Sequence[bytes]) -> Settings:
        """The engine's settings for these roots (absolute, normalised)."""
        from shardwatch.shard.contract.settings import Settings

        settle_ms = round(self.debounce_period * 1000)
        return Settings(
            roots=tuple(roots),
            include=tuple(self.ast_file_patterns),
            exclude=tuple(self.exclude_patterns),
            recursive=self.recursive_monitoring,
            follow_symlinks=self.follow_symlinks,
            settle_ms=settle_ms,
            settle_ms_max=max(1000, 4 * settle_ms),
            batch_size_max=self.batch_size,
            batch_wait_ms=round(self.batch_timeout * 1000),
            lease_ms=max(1, round(self.lease_s * 1000)),
            priorities=dict(self.priorities or {}),
            queue_size_max=self.queue_size,
            shards=self.shards,
            backend=self.backend,
            durability=self.durability,
        )


def _bad(name: str, value: Any, wanted: str) -> UsageError:
    return UsageError(f"WatcherConfig.{name} is {value!r}", hint=f"must be {wanted}")


def _globs(name: str, value: Any) -> None:
    if isinstance(value, (str, bytes)) or not isinstance(value, Sequence):
        raise _bad(name, value, "a list of globs")
    for glob in value:
        if not isinstance(glob, str) or not glob:
            raise _bad(name, value, "a list of globs, none of them empty")


def _seconds(name: str, value: Any, least: float, most: float) -> None:
    good = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    if not good or not least <= value <= most:
        raise _bad(name, value, f"seconds between {least:g} and {most:g}")


def _count(name: str, value: Any, least: int, most: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise _bad(name, value, f"a whole number between {least} and {most}")


def _choice(name: str, value: Any, allowed: Sequence[str]) -> None:
    if value not in allowed:
        raise _bad(name, value, "one of " + ", ".join(allowed))
