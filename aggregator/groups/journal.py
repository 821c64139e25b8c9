"""The changes of a group that must become durable: its parts note them in its journal, in order, and `store` writes them. Pure.

An entry names a row of `groups.db` that is to be written or removed. Units and lanes are written in the state that they
have when the journal is written. So whatever changes one of them adds another entry.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from .lane import Lane
from .record import SetAsidePath
from .unit import Unit


class GroupChanged(Struct, frozen=True):
    """The group's own row."""


class LaneChanged(Struct, frozen=True):
    number: int
    lane: Lane


class LanesGone(Struct, frozen=True):
    """All of them."""


class UnitChanged(Struct, frozen=True):
    unit: Unit


class UnitGone(Struct, frozen=True):
    number: int


class UnitsGone(Struct, frozen=True):
    """All of them, and all held rows."""


class LeaseMoved(Struct, frozen=True):
    """A lease ends at another time."""

    number: int
    due: float


class LeaseBegun(Struct, frozen=True):
    """A worker begins with what was pulled ahead for it."""

    number: int
    due: float
    worker: str


class RowHeld(Struct, frozen=True):
    """A row waits until its path is free."""

    lane: int
    tick: int


class RowReleased(Struct, frozen=True):
    """It waits no more."""

    lane: int
    tick: int


class BatchEnded(Struct, frozen=True):
    """A batch ended without an ack."""

    number: int
    reason: str


class BatchForgotten(Struct, frozen=True):
    """Why it ended is not kept any longer."""

    number: int


class PathSetAside(Struct, frozen=True):
    key: bytes
    path: SetAsidePath
    #: Of a `DeadLetterRecord`.
    kind: str
    output: str


class PathTakenBack(Struct, frozen=True):
    key: bytes


class PathsTakenBack(Struct, frozen=True):
    """All of them."""


#: Entries about other rows than the group's own.
RowEntry = (
    LaneChanged
    | LanesGone
    | UnitChanged
    | UnitGone
    | UnitsGone
    | LeaseMoved
    | LeaseBegun
    | RowHeld
    | RowReleased
    | BatchEnded
    | BatchForgotten
    | PathSetAside
    | PathTakenBack
    | PathsTakenBack
)
Entry = GroupChanged | RowEntry


class Journal:
    """What must become durable of one group, in the order in which it happened."""

    __slots__ = ("_entries",)

    def __init__(self) -> None:
        self._entries: list[Entry] = []

    def __len__(self) -> int:
        return len(self._entries)

    def note(self, entry: Entry) -> None:
        self._entries.append(entry)

    def note_all(self, entries: Iterable[Entry]) -> None:
        """Notes them in their order."""
        self._entries += entries

    def has_only_acks(self) -> bool:
        """Whether it says nothing but that batches are done. If that is lost, they come again."""
        return all(type(entry) is UnitGone for entry in self._entries)

    def take(self) -> list[Entry]:
        """What was noted since this was called last. Whoever takes it writes it."""
        entries, self._entries = self._entries, []
        return entries
