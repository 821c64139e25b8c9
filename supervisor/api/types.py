"""The data types of the specification: its fields first, with its order and defaults, and ours after them. Imports little.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, List, Optional  # noqa: UP035 - the specification's own spelling

from shardwatch.aggregator.queue.file_event import FileEvent
from shardwatch.shard.contract.errors import UsageError
from shardwatch.shard.contract.input import arguments
from shardwatch.shard.contract.input.shown import shown
from shardwatch.shard.contract.state import options

from ..config import profile

if TYPE_CHECKING:
    from shardwatch.shard.contract.state.settings import Settings

__all__ = ["FileEvent", "ProcessingResult", "WatcherConfig", "WatcherStats"]

#: Longest name of a group, and largest priority, which is wider than that of a service's configuration.
GROUP_CHARS_MAX = 200
PRIORITY_MAX = 2**31 - 1
#: Ranges of the fields that are seconds, and of those that are whole numbers. They are wider than those of the options of the
#: same meaning (`shard.contract.state.options`), since programs have been written to them.
_SECONDS = (
    ("debounce_period", 0.0, 3600.0),
    ("batch_timeout", 0.0, 86_400.0),
    ("lease_s", 0.001, 86_400.0),
    ("ready_timeout_s", 0.001, 86_400.0),
)
_COUNTS = (("batch_size", 1, 1_000_000), ("queue_size", 1, 1_000_000_000), ("shards", 0, 1024))


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

    Only a move may be in two: if the file has met an error at its new path, `queued` has the deletion of the old one.

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

    The first seven fields and their defaults are the specification's. A later one that is an option of a service, too, has that
    option's default.

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
        backend: `auto`, `inotify`, `fanotify`, `polling` or `native`.
        priorities: gitignore glob -> priority; higher is handed over first, first in first out within one.
        max_file_size: bytes; `process_file_events` refuses larger files. None: no limit.
        follow_symlinks: whether links to directories are descended into.
        content_only: True: no change of mode, owner or attributes alone is reported.
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
    shards: int = options.SHARDS.default
    backend: str = options.BACKEND.default
    priorities: Optional[dict[str, int]] = None  # noqa: UP045 - as its neighbours
    max_file_size: int | None = None
    follow_symlinks: bool = options.FOLLOW_SYMLINKS.default
    content_only: bool = options.CONTENT_ONLY.default
    durability: str = options.DURABILITY.default
    report_moves: bool = False
    group: str = "watcher"
    lease_s: float = options.LEASE_MS.default / 1000
    ready_timeout_s: float = 120.0

    def __post_init__(self) -> None:
        if self.ast_file_patterns is None:
            self.ast_file_patterns = list(profile.INCLUDE)
        if self.exclude_patterns is None:
            self.exclude_patterns = list(profile.EXCLUDE_SPECIFIED)
        if self.priorities is None:
            self.priorities = {}
        _globs("ast_file_patterns", self.ast_file_patterns)
        _globs("exclude_patterns", self.exclude_patterns)
        if not self.ast_file_patterns:
            raise UsageError("WatcherConfig.ast_file_patterns is empty", hint="no file would ever be reported; use ['*']")
        for name, least, most in _SECONDS:
            arguments.seconds(f"WatcherConfig.{name}", getattr(self, name), least, most)
        for name, low, high in _COUNTS:
            arguments.whole(f"WatcherConfig.{name}", getattr(self, name), low, high)
        if self.max_file_size is not None:
            arguments.whole("WatcherConfig.max_file_size", self.max_file_size, 0, 1 << 62)
        _choice("backend", self.backend, options.BACKENDS)
        _choice("durability", self.durability, options.DURABILITIES)
        for name in ("recursive_monitoring", "follow_symlinks", "content_only", "report_moves"):
            if not isinstance(getattr(self, name), bool):
                raise _bad(name, getattr(self, name), "True or False")
        group = arguments.text("WatcherConfig.group", self.group, GROUP_CHARS_MAX)
        if not group.isprintable() or group != group.strip():
            raise _bad("group", group, "printable characters, without a blank at either end")
        if self.state_dir is not None:
            arguments.path("WatcherConfig.state_dir", self.state_dir)
        if not isinstance(self.priorities, Mapping):
            raise _bad("priorities", self.priorities, "a map of globs to whole numbers")
        _globs("priorities", list(self.priorities))
        for glob, priority in self.priorities.items():
            if isinstance(priority, bool) or not isinstance(priority, int) or abs(priority) > PRIORITY_MAX:
                raise UsageError(
                    f"WatcherConfig.priorities is {shown(priority)} for {shown(glob)}",
                    hint=f"must be a whole number between {-PRIORITY_MAX} and {PRIORITY_MAX}",
                )

    def settings(self, roots: Sequence[bytes]) -> Settings:
        """The engine's settings for these roots (absolute, normalised)."""
        from shardwatch.shard.contract.state.settings import Settings

        from ..config.patterns import checked

        settle_ms = round(self.debounce_period * 1000)
        include = checked("ast_file_patterns", self.ast_file_patterns, "WatcherConfig")
        exclude = checked("exclude_patterns", self.exclude_patterns, "WatcherConfig")
        return Settings(
            roots=tuple(roots),
            include=tuple(include),
            exclude=tuple(exclude),
            pattern_origins={
                "include": dict.fromkeys(include, "WatcherConfig"),
                "exclude": dict.fromkeys(exclude, "WatcherConfig"),
            },
            recursive=self.recursive_monitoring,
            follow_symlinks=self.follow_symlinks,
            content_only=self.content_only,
            settle_ms=settle_ms,
            settle_ms_max=max(options.SETTLE_MS_MAX.default, 4 * settle_ms),
            batch_size_max=self.batch_size,
            batch_wait_ms=round(self.batch_timeout * 1000),
            lease_ms=max(1, round(self.lease_s * 1000)),
            priorities=dict(self.priorities or {}),
            queue_size_max=self.queue_size,
            shards=self.shards,
            backend=self.backend,
            durability=self.durability,
        )


def checked_config(config: object) -> WatcherConfig:
    """The config, or the default one for None. Raises UsageError for what is none."""
    if config is None:
        return WatcherConfig()
    if not isinstance(config, WatcherConfig):
        raise arguments.wrong("config", config, "a WatcherConfig, or None")
    return config


def _bad(name: str, value: Any, wanted: str) -> UsageError:
    return arguments.wrong(f"WatcherConfig.{name}", value, wanted)


def _globs(name: str, value: Any) -> None:
    """Each must be a pattern that the service can use; those that match nothing are found when monitoring starts."""
    if isinstance(value, (str, bytes)) or not isinstance(value, Sequence):
        raise _bad(name, value, "a list of globs")
    for glob in value:
        if not isinstance(glob, str) or not glob:
            raise _bad(name, glob, "a list of globs, none of them empty")
        try:
            glob.encode()
        except UnicodeEncodeError:
            raise _bad(name, glob, "a list of globs that are valid Unicode; write ? for another byte") from None


def _choice(name: str, value: Any, allowed: Sequence[str]) -> None:
    if not isinstance(value, str) or value not in allowed:
        raise _bad(name, value, "one of " + ", ".join(allowed))
