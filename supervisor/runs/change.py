"""One change, as a command is told of it. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from ..terminal.lines import exact_path

#: The kind of the notice that all is to be forgotten that is known; every file follows as created. It concerns no path.
FRESH: Final = "fresh"
_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Change:
    """One event of a batch."""

    #: Exact bytes; empty of what is FRESH.
    path: bytes
    #: created, modified, deleted, moved, or FRESH.
    kind: str
    tick: int
    #: Old path of what was moved; empty otherwise.
    moved_from: bytes = b""
    #: The event as `watch --json` prints it, without a newline.
    line: bytes = b""

    def paths(self) -> tuple[bytes, ...]:
        """All that a run for it may touch."""
        if self.moved_from:
            return (self.path, self.moved_from)
        return (self.path,) if self.path else ()


@dataclass(frozen=True, slots=True)
class Taken:
    """A batch that was pulled, and is on lease."""

    batch: str
    #: How often it has been handed out by now, 1 at first.
    attempt: int
    lease_s: float
    changes: tuple[Change, ...]


def taken(batch: Mapping[str, Any]) -> Taken:
    """A batch of the extract protocol. One that is `fresh` has one change of that kind, and no others."""
    first = batch["events"][0]
    fresh = (Change(b"", FRESH, first["tick"], line=_encode(first)),) if first["type"] == FRESH else ()
    return Taken(batch["id"], batch["attempt"], batch["lease_ms"] / 1000, fresh or changes_of(batch["events"]))


def changes_of(events: Sequence[Mapping[str, Any]]) -> tuple[Change, ...]:
    """The events of a batch that concern a path, in their order."""
    return tuple(
        Change(exact_path(event, "path"), event["event_type"], event["tick"], exact_path(event, "moved_from"), _encode(event))
        for event in events
        if event["type"] == "event"
    )
