"""The stored form of a group. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from msgspec import Struct

from .lane import Lane
from .unit import Unit


class GroupRow(NamedTuple):
    """A group's own row, in the order of its columns."""

    #: Number of the group.
    key: int
    name: str
    #: Part of every batch id: batches of an earlier group of this name are told apart.
    token: str
    #: When it was made, and when it was used last; wall clock, seconds.
    created: float
    seen: float
    #: One of `group.GroupState`, and why its consumer must forget everything.
    state: str
    reason: str
    #: Of the index that its ticks are of.
    incarnation: str
    #: Where a lane begins that the group has not met yet, and up to which tick its rows count as handed out.
    base_scan: int
    base_handed: int
    #: No batch has this number or a later one. Those below `ended_floor` are too old to tell one that was acked from one that
    #: failed.
    next_number: int
    ended_floor: int
    #: Its place in the `held` of rows, which no other group of that time has; -1 where it is to get one.
    bit: int
    #: Last tick given when it began: it holds nothing of what has a tick up to it but by its position.
    begun: int


class SetAsidePath(Struct, array_like=True):
    """A path that failed alone, as often as is tried."""

    lane: int
    tick: int
    handed: int
    path: bytes
    directory: bool
    attempts: int
    reason: str

    @property
    def key(self) -> bytes:
        """Of the path, as units have it: a file and a directory of one name are two things."""
        return self.path + b"/" if self.directory else self.path


class DeadLetterRecord(Struct, frozen=True):
    """A path that is set aside, with what is known of its last failure."""

    path: SetAsidePath
    #: What the group was told of it: created, modified or deleted; empty where an earlier version has set it aside.
    kind: str
    #: When it failed, seconds since 1970; 0 where an earlier version has set it aside.
    at: float
    #: The end of what the worker had written; empty where nothing is known of it, or not any more.
    output: str


class GroupRecord(Struct, frozen=True):
    """All that is stored of a group."""

    row: GroupRow
    #: By number.
    lanes: Mapping[int, Lane] = {}
    #: On lease, or to be handed out again.
    units: Sequence[Unit] = ()
    #: Why batches ended that were not acked, by number, the oldest first.
    ended: Mapping[int, str] = {}
    set_aside: Sequence[SetAsidePath] = ()
