"""All groups, in memory and on disk: loads them, writes what changed in them, and watches their dates and their retention.

Used by `serve` only. Not thread-safe.
"""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Callable, Container, Iterable, Mapping
from itertools import count
from typing import Final

import msgspec

from shardwatch.shard.contract.state.settings import Settings

from ..storage.damage import damaged
from .dates import Dates
from .group import Group, GroupState
from .index_port import IndexPort
from .record import DeadLetterRecord
from .store import GroupStore

log = logging.getLogger("shardwatch.aggregator")

#: The name of the one group that no request can name, because it is no valid name: it keeps what the cursors of `since` need.
KEEPER: Final = ""
#: The longest time for which an acknowledgement that nobody was told of is not committed, seconds: until then there may be a
#: commit that something else needs. Some beat wakes the process by then, so this wakes it no more.
PUT_OFF_S: Final = 2.0
#: Notes that are kept.
_NOTES_MAX = 100


class Registry:
    """The groups by name. Whoever changes a group calls `touch`, and sends nothing of the change before `commit` has returned."""

    def __init__(self, index: IndexPort, store: GroupStore, settings: Settings, now: float, wall: Callable[[], float]) -> None:
        self._index = index
        self._store = store
        self._settings = settings
        self._wall = wall
        self._now = now
        #: What the user should know, one line for each fact. It is shown in `status`.
        self.notes = list(store.notes)
        self.by_name: dict[str, Group] = {}
        #: Grows whenever a group is made or dropped.
        self.changes = 0
        self._next_key = 1
        self._dirty: dict[int, Group] = {}
        self._dropped: set[int] = set()
        #: When what was put off is committed at the latest.
        self._put_off_until = float("inf")
        self._dates = Dates()
        #: Groups in which something has just become free.
        self._soon: dict[int, Group] = {}
        self._load(now)

    def _load(self, now: float) -> None:
        groups = self._read()
        for group in groups:
            if group.mark.bit < 0:
                group.take_bit(_free_bit(groups))
        priorities = msgspec.json.encode(self._settings.priorities, order="sorted").decode()
        relaned = self._store.meta("priorities") not in (None, priorities)
        for group in groups:
            self._catch_up(group, now, relaned=relaned)
            self._adopt(group)
        self._next_key = max((g.key for g in groups), default=0) + 1
        self._store.set_meta("priorities", priorities)
        self.commit()

    def _read(self) -> list[Group]:
        """All groups on disk. If they can't be read, the file is set aside, and there are none."""
        try:
            return [group for key in self._store.known() if (group := self._stored(key)) is not None]
        except (sqlite3.DatabaseError, msgspec.MsgspecError, ValueError) as error:
            if isinstance(error, sqlite3.DatabaseError) and not damaged(error):
                raise
            self._store.set_aside(str(error))
            self.notes = list(self._store.notes)
            return []

    def _catch_up(self, group: Group, now: float, *, relaned: bool) -> None:
        """Brings a group up to date with what has happened since the service ended. `relaned`: rows may have other lanes."""
        began = group.state in (GroupState.ACTIVE, GroupState.FRESH)
        if self._store.restored and began:
            group.lose_history(_token(), self._store.restored)
        elif self._store.lost_power and began:
            group.refresh("the machine lost power, and durability is not `power`")
        elif self._store.rebooted:
            group.batches.reboot(now)
        if relaned and group.state is GroupState.ACTIVE:
            group.collapse("the priorities were changed")

    def _stored(self, key: int) -> Group | None:
        return self._store.load(key, self._settings.attempts_max)

    def _adopt(self, group: Group) -> None:
        if group.state is GroupState.ACTIVE and group.incarnation != self._index.incarnation:
            group.refresh("the index was built anew")
        group.attach(self._index)
        self.by_name[group.name] = group
        self.touch(group)

    def named(self) -> list[Group]:
        """The groups that requests can name, in the order of their names."""
        return [group for name, group in sorted(self.by_name.items()) if name != KEEPER]

    def consumers(self) -> dict[str, int]:
        """The name and position of every group, for `Consumers.keep`."""
        return {group.name: group.position.reached() for group in self.by_name.values()}

    def reconcile(self, found_tick: int, consumers: Mapping[str, int]) -> None:
        """Lets a group begin afresh if one of the two files has lost something of it, so that no change is missed silently.

        Args:
            found_tick: the last tick that the index had committed before this start.
            consumers: what the index knew about groups then: for each name a tick that the group had reached.
        """
        for name, reached in consumers.items():
            group = self.by_name.get(name)
            if group is None:
                self._afresh(self.create(name), "its position was lost with groups.db")
            elif group.state is GroupState.ACTIVE and group.position.reached() < reached:
                self._afresh(group, "groups.db has lost its last changes")
        for group in self.by_name.values():
            if group.state is GroupState.ACTIVE and group.position.reached() > found_tick:
                self._afresh(group, "the index has lost its last changes")
        self.commit()

    def _afresh(self, group: Group, why: str) -> None:
        group.refresh(why)
        self.touch(group)
        self._note(f"{_called(group)} begins afresh: {why}")

    def _note(self, line: str) -> None:
        self.notes.append(line)
        del self.notes[:-_NOTES_MAX]

    def create(self, name: str) -> Group:
        """Makes a group, which has not begun yet."""
        bit, attempts_max = _free_bit(self.by_name.values()), self._settings.attempts_max
        group = Group.new(self._next_key, name, _token(), self._wall(), bit=bit, attempts_max=attempts_max)
        self._next_key += 1
        self.by_name[name] = group
        self.changes += 1
        self.touch(group)
        return group

    def remove(self, group: Group) -> None:
        del self.by_name[group.name]
        self.changes += 1
        group.mark.remove(self._index)
        self._dropped.add(group.key)

    # -- what changed

    def begin_turn(self, now: float) -> None:
        """Sets the time with which dates are compared until the next turn, in seconds of the clock that leases use."""
        self._now = now

    def touch(self, group: Group) -> None:
        """A group has changed: its journal is written at the next commit, and its next date is watched."""
        self._dirty[group.key] = group
        if group.state is not GroupState.ACTIVE:
            group.mark.remove(self._index)
        self._dates.note(group, group.batches.next_due(self._now))

    def touched(self) -> list[str]:
        """The names of the groups that have changed since the last commit."""
        return [group.name for group in self._dirty.values()]

    def may_put_off(self) -> bool:
        """Whether `commit` may be left to a later turn: for PUT_OFF_S at most, and only if nothing has changed but that batches
        are done. A worker that was not answered yet asks again after a crash, and a batch that nobody acknowledges again by then
        is handed out again.
        """
        changed = [group.journal for group in self._dirty.values() if group.journal]
        if self._dropped or not changed or not all(journal.has_only_acks() for journal in changed):
            return False
        self._put_off_until = min(self._put_off_until, self._now + PUT_OFF_S)
        return self._now < self._put_off_until

    def commit(self) -> None:
        """Makes everything durable. If the disk refuses, it raises sqlite3.Error, and the changed groups are again as they were
        last committed.
        """
        dirty, self._dirty = self._dirty, {}
        dropped, self._dropped = self._dropped, set()
        self._put_off_until = float("inf")
        wall = self._wall() if dirty else 0.0
        try:
            for key in dropped:
                self._store.drop(key)
            for group in dirty.values():
                if group.key not in dropped and group.journal:
                    self._store.write(group, wall)
            self._store.commit()
        except sqlite3.Error as error:
            log.error("groups.db: %s", error)
            self._store.rollback()
            for group in dirty.values():
                self.by_name.pop(group.name, None)
            for key in {*dirty, *dropped}:
                old = self._stored(key)
                if old is not None:
                    self._adopt(old)
            raise

    # -- dates

    def soon(self, group: Group) -> None:
        """Something became free in a group, so the next `due` returns it."""
        self._soon[group.key] = group

    def due(self, now: float) -> list[Group]:
        """The groups whose date has come. Their expired leases are ended."""
        if not self._soon and self._dates.first() > now:
            return []  # most turns
        soon, self._soon = self._soon, {}
        soon |= {group.key: group for group in self._dates.take(now)}
        found = [g for g in soon.values() if self.by_name.get(g.name) is g]
        for group in found:
            group.batches.expire(self._index, now)
            self.touch(group)
        return found

    def next_due(self) -> float:
        if self._soon:
            return self._now
        return self._dates.first()

    def shift(self, by: float) -> None:
        """Lets all leases end later by so many seconds."""
        for group in self.by_name.values():
            group.batches.shift(by)
            self.touch(group)

    # -- retention

    def shift_wall(self, by: float) -> None:
        """The wall clock was set: that is no disuse."""
        for group in self.by_name.values():
            group.shift_wall(by)

    def prune(self, used: Container[str]) -> None:
        """Turns groups that were not used for `retention_days` into names without a position. No deletion is kept for them."""
        oldest = self._wall() - self._settings.retention_days * 86_400
        for group in self.by_name.values():
            if group.state is not GroupState.EXPIRED and group.seen < oldest and group.name not in used:
                group.abandon()
                self._note(f"{_called(group)} was not used for {self._settings.retention_days:g} days: it begins afresh")
            group.store_row()  # also when it was used last
            self.touch(group)

    def passed(self) -> dict[int, int]:
        """For each lane the lowest cursor of all active groups, and the last cursor that `since` has given. Tombstones up to it
        are needed for replays only, and for earlier cursors of `since`."""
        keeper = self.by_name.get(KEEPER)
        last = keeper.position.reached() if keeper is not None and keeper.state is GroupState.ACTIVE else self._index.tick
        groups = [g for g in self.named() if g.state is GroupState.ACTIVE]
        return {lane: min([last, *(g.unacknowledged.cursor(lane) for g in groups)]) for lane in self._index.lanes()}

    def set_aside(self) -> set[int]:
        """The ticks of all rows that are set aside. They lie behind every cursor, and `retry` hands them out again."""
        return {tick for group in self.by_name.values() for tick in group.set_aside.ticks()}

    def dead_letters(self, group: Group, place: bytes, after: bytes, most: int) -> list[DeadLetterRecord]:
        """The paths that a group has set aside at `place` or below it, as they were last committed, in the order of their keys,
        from behind the key `after` on: at most `most`. It reads the disk."""
        return self._store.dead_letters(group.key, place, after, most)


def _called(group: Group) -> str:
    """The group as a note calls it."""
    return "`since`" if group.name == KEEPER else f"the group {group.name!r}"


def _free_bit(groups: Iterable[Group]) -> int:
    """The lowest bit that none of these groups has."""
    taken = {group.mark.bit for group in groups}
    return next(bit for bit in count() if bit not in taken)


def _token() -> str:
    return os.urandom(4).hex()
