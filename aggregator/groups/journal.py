"""The changes of a group that must become durable: its parts leave entries in its journal, in order, and `store` writes
them. Pure.

An entry names a row of `groups.db` that is to be written or removed. Units and lanes are written in the state that they
have when the journal is written. So whatever changes one of them adds another entry.
"""

from __future__ import annotations

from dataclasses import dataclass

from .lane import Lane
from .record import SetAsidePath
from .unit import Unit


@dataclass(frozen=True, slots=True)
class GroupChanged:
    """The group's own row."""


@dataclass(frozen=True, slots=True)
class LaneChanged:
    number: int
    lane: Lane


@dataclass(frozen=True, slots=True)
class LanesGone:
    """All of them."""


@dataclass(frozen=True, slots=True)
class UnitChanged:
    unit: Unit


@dataclass(frozen=True, slots=True)
class UnitGone:
    number: int


@dataclass(frozen=True, slots=True)
class UnitsGone:
    """All of them, and all held rows."""


@dataclass(frozen=True, slots=True)
class LeaseMoved:
    """A lease ends at another time."""

    number: int
    due: float


@dataclass(frozen=True, slots=True)
class RowHeld:
    """A row waits until its path is free."""

    lane: int
    tick: int


@dataclass(frozen=True, slots=True)
class RowReleased:
    """It waits no more."""

    lane: int
    tick: int


@dataclass(frozen=True, slots=True)
class BatchEnded:
    """A batch ended without an ack."""

    number: int
    reason: str


@dataclass(frozen=True, slots=True)
class BatchForgotten:
    """Why it ended is not kept any longer."""

    number: int


@dataclass(frozen=True, slots=True)
class PathSetAside:
    key: bytes
    path: SetAsidePath


@dataclass(frozen=True, slots=True)
class PathTakenBack:
    key: bytes


@dataclass(frozen=True, slots=True)
class PathsTakenBack:
    """All of them."""


#: Entries about other rows than the group's own.
RowEntry = (
    LaneChanged
    | LanesGone
    | UnitChanged
    | UnitGone
    | UnitsGone
    | LeaseMoved
    | RowHeld
    | RowReleased
    | BatchEnded
    | BatchForgotten
    | PathSetAside
    | PathTakenBack
    | PathsTakenBack
)
Entry = GroupChanged | RowEntry
