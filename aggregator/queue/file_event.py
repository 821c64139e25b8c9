"""`FileEvent`, the form in which the Python API reports a change, and how two changes of one path are combined into one.

Does no input or output. `aggregator.queue.event_queue` uses it, and `supervisor.api.types` publishes it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Optional

from shardwatch.shard.contract.errors import UsageError
from shardwatch.shard.contract.input import arguments
from shardwatch.shard.contract.input.shown import shown

CREATED: Final = "created"
MODIFIED: Final = "modified"
DELETED: Final = "deleted"
MOVED: Final = "moved"
#: All kinds there are. `created` and `modified` both mean "is there now"; `deleted` means "is gone now".
KINDS: Final = frozenset({CREATED, MODIFIED, DELETED, MOVED})
#: Numbers that a row of a database holds: 64 bits with a sign.
INTEGER_MAX: Final = (1 << 63) - 1


@dataclass
class FileEvent:
    """One change of one path.

    Args:
        path: absolute path; a str or bytes is turned into a Path (bytes that are not UTF-8 as os.fsdecode does).
        event_type: `created`, `modified`, `deleted`, or `moved` if the user has asked for moves.
        timestamp: seconds since 1970 at which the change was seen.
        file_size: bytes; None if unknown or deleted.
        is_directory: whether the path is, or was, a directory.
        moved_from: the former path of a `moved` event, else None.
        tick: number of the change in the index; None for an event that did not come from it.
        priority: higher is served first.
        mtime_ns: modification time; None if unknown or deleted.
        attempts: how often it was handed out before without an ack.
        lease: by which an `EventQueue` recognises an event that it has handed out. It does not take part in comparison or
            representation.

    Raises:
        UsageError: `path` or `moved_from` is not a path. The other fields are checked when an event is handed in.
    """

    path: Path
    event_type: str
    timestamp: float
    file_size: Optional[int] = None  # noqa: UP045 - the specification's own spelling
    is_directory: bool = False
    moved_from: Path | None = None
    tick: int | None = None
    priority: int = 0
    mtime_ns: int | None = None
    attempts: int = field(default=0, compare=False)
    lease: int | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        if not isinstance(self.path, Path):
            self.path = arguments.path("FileEvent.path", self.path)
        if self.moved_from is not None and not isinstance(self.moved_from, Path):
            self.moved_from = arguments.path("FileEvent.moved_from", self.moved_from)


def checked_events(events: object) -> list[FileEvent]:
    """The events of a list, or of another collection. Raises UsageError unless each is one."""
    given = arguments.items("events", events)
    for event in given:
        check_event(event)
    return given  # type: ignore[return-value]


def check_event(event: object) -> None:
    """Raises UsageError unless it is a `FileEvent` whose fields hold what they say, in the range of a database."""
    if not isinstance(event, FileEvent):
        raise UsageError(f"{shown(event)} is no event", hint="give FileEvent objects")
    for name, (is_good, wanted) in _FIELDS.items():
        value = getattr(event, name)
        if not is_good(value):
            of = str(event.path) if isinstance(event.path, Path) else event.path
            raise arguments.wrong(f"{name} of the event of {shown(of)}", value, wanted)


def _is_name(path: object) -> bool:
    try:
        return isinstance(path, Path) and os.fsencode(path) is not None
    except ValueError:  # characters that no name can hold
        return False


def _in_range(value: object, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= INTEGER_MAX


#: Of each field: whether it is good, and what it must be. A time of modification may lie before 1970.
_FIELDS: Final[dict[str, tuple[Callable[[object], bool], str]]] = {
    "path": (_is_name, "a Path, of characters that a name can hold"),
    "moved_from": (lambda value: value is None or _is_name(value), "None or a Path, of characters that a name can hold"),
    "event_type": (lambda value: isinstance(value, str), "one of " + ", ".join(sorted(KINDS))),
    "timestamp": (arguments.is_finite, "seconds since 1970, a finite number"),
    "file_size": (lambda value: value is None or _in_range(value, 0), f"None or a whole number up to {INTEGER_MAX}"),
    "is_directory": (lambda value: isinstance(value, bool), "True or False"),
    "tick": (lambda value: value is None or _in_range(value, 0), f"None or a whole number up to {INTEGER_MAX}"),
    "priority": (lambda value: _in_range(value, -INTEGER_MAX), f"a whole number up to {INTEGER_MAX}"),
    "mtime_ns": (lambda value: value is None or _in_range(value, -INTEGER_MAX), f"None or a whole number up to {INTEGER_MAX}"),
    "attempts": (lambda value: _in_range(value, 0), f"a whole number up to {INTEGER_MAX}"),
    "lease": (lambda value: value is None or _in_range(value, 0), "as the queue gave it"),
}


def combine(first: str, last: str) -> str:
    """The kind that combines `first` and then `last` at one path, neither of them `moved`.

    A deletion is never suppressed, because the receiver may have been handed the path before.
    """
    if last == DELETED:
        return DELETED
    return CREATED if first == CREATED else MODIFIED


def split_move(event: FileEvent) -> list[FileEvent]:
    """A `moved` event as `deleted` and `created`; any other event as it is."""
    if event.event_type != MOVED:
        return [event]
    there = FileEvent(
        path=event.path,
        event_type=CREATED,
        timestamp=event.timestamp,
        file_size=event.file_size,
        is_directory=event.is_directory,
        tick=event.tick,
        priority=event.priority,
        mtime_ns=event.mtime_ns,
        attempts=event.attempts,
    )
    gone = deletion_of_move(event)
    return [there] if gone is None else [gone, there]


def deletion_of_move(event: FileEvent) -> FileEvent | None:
    """What a `moved` event says of the name that the file had before. None for one that does not say it, and for any other."""
    if event.event_type != MOVED or event.moved_from is None:
        return None
    return FileEvent(
        path=event.moved_from,
        event_type=DELETED,
        timestamp=event.timestamp,
        is_directory=event.is_directory,
        tick=event.tick,
        priority=event.priority,
        attempts=event.attempts,
    )


def split_moves(events: Iterable[FileEvent]) -> list[FileEvent]:
    """All events, with every `moved` one split."""
    return [part for event in events for part in split_move(event)]
