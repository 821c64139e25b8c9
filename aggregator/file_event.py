"""`FileEvent`, what a user of the Python API sees of a change, and how two changes of one path become one.

Pure. It lies below `aggregator.event_queue` and `supervisor.api_types`, which publishes it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import Final, Optional

from shardwatch.shard.contract.errors import UsageError

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
        event_type: `created`, `modified`, `deleted`, or `moved` where the user asked for moves.
        timestamp: seconds since 1970 at which the change was seen.
        file_size: bytes, None where unknown or deleted.
        is_directory: whether the path is, or was, a directory.
        moved_from: the former path of a `moved` event, else None.
        tick: number of the change in the index, None for an event that did not come from it.
        priority: higher is served first.
        mtime_ns: modification time, None where unknown or deleted.
        attempts: how often it was handed out before without an ack.
        lease: what an `EventQueue` knows a handed out event by. No part of the comparison, nor of the representation.

    Raises:
        UsageError: `path` or `moved_from` is no path. The other fields are checked where an event is handed in.
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
            self.path = usable_path("FileEvent.path", self.path)
        if self.moved_from is not None and not isinstance(self.moved_from, Path):
            self.moved_from = usable_path("FileEvent.moved_from", self.moved_from)


def usable_path(what: str, given: object) -> Path:
    """`given` as a Path, if it is one: str, bytes or os.PathLike, not empty. Raises UsageError, which calls it `what`."""
    try:
        text = os.fsdecode(given)  # type: ignore[arg-type]
        os.fsencode(text)
    except (TypeError, ValueError):  # ValueError: characters that no name can hold
        raise UsageError(f"{what} is {given!r}", hint="must be a path: str, bytes or os.PathLike") from None
    if not text or "\0" in text:
        raise UsageError(f"{what} is {text!r}", hint="must be a path: not empty, and without a zero byte")
    return Path(text)


def check_event(event: object) -> None:
    """Raises UsageError unless it is a `FileEvent` whose fields hold what they say, in the range of a database."""
    if not isinstance(event, FileEvent):
        raise UsageError(f"{_shown(event)} is no event", hint="give FileEvent objects")
    if not isinstance(event.path, Path) or not isinstance(event.moved_from, Path | None):
        raise _bad(event, "path" if not isinstance(event.path, Path) else "moved_from", "a Path")
    for path in (event.path, event.moved_from):
        try:
            os.fsencode(path or "")
        except ValueError:
            raise UsageError(f"the path {str(path)!r} holds characters that no name can hold", hint="use os.fsdecode") from None
    if not isinstance(event.event_type, str):
        raise _bad(event, "event_type", "one of " + ", ".join(sorted(KINDS)))
    time = event.timestamp
    if isinstance(time, bool) or not isinstance(time, (int, float)) or not _is_finite(time):
        raise _bad(event, "timestamp", "seconds since 1970, a finite number")
    for name, least in _WHOLE.items():
        value = getattr(event, name)
        if value is None and name not in ("priority", "attempts"):
            continue
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= INTEGER_MAX:
            raise _bad(event, name, f"a whole number from {least} to {INTEGER_MAX}")


#: Fields that are whole numbers, and the least that each may be. A time of modification may lie before 1970.
_WHOLE: Final = {
    "file_size": 0, "tick": 0, "priority": -INTEGER_MAX, "mtime_ns": -INTEGER_MAX, "attempts": 0, "lease": 0,
}  # fmt: skip


def _is_finite(number: float) -> bool:
    try:
        return isfinite(number)
    except OverflowError:  # a whole number that no float holds
        return False


def _bad(event: FileEvent, name: str, wanted: str) -> UsageError:
    return UsageError(f"{name} of the event of {event.path} is {_shown(getattr(event, name))}", hint=f"must be {wanted}")


def _shown(value: object) -> str:
    """A value for a message, short, whatever it is: a number of 5,000 digits has no decimal form in Python."""
    try:
        shown = repr(value)
    except ValueError:
        shown = "a huge number"
    return shown if len(shown) <= 60 else f"{shown[:57]}..."


def combine(first: str, last: str) -> str:
    """The kind that tells of `first` and then `last` at one path, neither of them `moved`.

    A deletion is never suppressed: whoever is told may have been handed the path before.
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
    if event.moved_from is None:
        return [there]
    return [
        FileEvent(
            path=event.moved_from,
            event_type=DELETED,
            timestamp=event.timestamp,
            is_directory=event.is_directory,
            tick=event.tick,
            priority=event.priority,
            attempts=event.attempts,
        ),
        there,
    ]


def split_moves(events: Iterable[FileEvent]) -> list[FileEvent]:
    """All events, with every `moved` one split."""
    return [part for event in events for part in split_move(event)]
