"""The request `wait`: answered once a group has acknowledged everything that had changed before. Does no input or output."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from msgspec import Struct

from shardwatch.shard.contract.input.shown import shown

from ..groups.group import Group
from ..groups.index_port import IndexPort
from ..groups.registry import Registry
from ..protocol import bounds
from ..protocol.messages import RefusedError
from .barriers import WAITING_MAX, Barriers
from .call import Call
from .deadlines import Deadlines
from .outbox import Outbox
from .roster import Roster

#: The timeout of a wait that names none, in milliseconds.
_WAIT_MS: Final = 60_000


class _Wait(Struct, eq=False):
    """One call after its sync."""

    call: Call
    #: What has changed before has this tick at most.
    tick: int
    #: What the sync says of subtrees that it left out.
    left_out: dict[str, object]


class Acknowledgements:
    """First has everything that was done before taken into the index (`Barriers.sync`), and then waits for the group. A group is
    looked at when it has changed."""

    def __init__(self, index: IndexPort, registry: Registry, roster: Roster, barriers: Barriers, outbox: Outbox) -> None:
        self._index = index
        self._registry = registry
        self._roster = roster
        self._barriers = barriers
        self._outbox = outbox
        #: The waits of each group, by its name.
        self._waits: dict[str, list[_Wait]] = {}
        self.deadlines: Deadlines[_Wait] = Deadlines()

    def __len__(self) -> int:
        """The number of calls that wait for a group."""
        return len(self.deadlines)

    def wait(self, call: Call, now: float) -> None:
        """Adds a call, whose reply comes later. Raises RefusedError."""
        self._roster.use(call.request.group)
        if len(self) >= WAITING_MAX:
            raise RefusedError("busy", f"{WAITING_MAX} requests wait already", "ask again later, with fewer at a time")
        timeout_ms = _WAIT_MS if call.request.timeout_ms is None else call.request.timeout_ms
        timeout_s = min(timeout_ms, bounds.WAIT_MS_MAX) / 1000

        def synced(tick: int, left_out: dict[str, object]) -> None:
            self._begin(_Wait(call, tick, left_out), now + timeout_s)

        self._barriers.begin_sync(call, now, timeout_s, synced)

    def _begin(self, wait: _Wait, until: float) -> None:
        self._waits.setdefault(wait.call.request.group, []).append(wait)
        self.deadlines.set(wait, until)
        self.look([wait.call.request.group])

    def look(self, names: Iterable[str]) -> None:
        """Answers the calls whose group has acknowledged everything. `names`: of the groups that have changed."""
        for name in [name for name in names if name in self._waits]:
            group = self._registry.by_name.get(name)
            for wait in list(self._waits[name]):
                if group is None:
                    self._end(wait)
                    message = f"the group {shown(name)} was dropped"
                    self._outbox.refuse(wait.call, RefusedError("unknown_group", message, "a pull makes it; see `groups`"))
                elif group.has_acknowledged(self._index, wait.tick):
                    self._end(wait)
                    self._answer(wait, group)
                else:
                    break  # those that came later wait for more

    def look_at_all(self) -> None:
        """The same, after a commit of the index: what was owed may have gone from it."""
        self.look(list(self._waits))

    def _answer(self, wait: _Wait, group: Group) -> None:
        aside = sum(1 for tick in group.set_aside.ticks() if tick <= wait.tick)
        if aside:
            paths = "1 path" if aside == 1 else f"{aside:,} paths"
            message = f"the group has set {paths} aside, and acknowledged the rest"
            self._refuse(wait, message, "see `groups` for the reasons; `retry` has them handed out again", set_aside=aside)
        else:
            self._outbox.answer(wait.call, {"tick": wait.tick, **wait.left_out})

    def time_out(self, now: float, over: Callable[[], bool]) -> None:
        """Refuses the calls that have waited long enough, until the time for this is `over`."""
        for wait in self.deadlines.take(now):
            self._end(wait)
            message = f"the group has not acknowledged everything up to tick {wait.tick} in time"
            self._refuse(wait, message, "see `groups` for what is pending and on lease, and whether workers wait", set_aside=0)
            if over():
                return

    def forget(self, peers: frozenset[bytes]) -> None:
        """Forgets the calls of connections that are gone."""
        for wait in [wait for wait in self.deadlines if wait.call.is_of(peers)]:
            self._end(wait)

    def give_up(self, why: RefusedError) -> None:
        """Refuses all calls that wait."""
        for wait in list(self.deadlines):
            self._end(wait)
            self._outbox.refuse(wait.call, why)

    def _refuse(self, wait: _Wait, message: str, remedy: str, *, set_aside: int) -> None:
        self._outbox.refuse(wait.call, RefusedError("not_acknowledged", message, remedy, tick=wait.tick, set_aside=set_aside))

    def _end(self, wait: _Wait) -> None:
        self.deadlines.drop(wait)
        waits = self._waits[wait.call.request.group]
        waits.remove(wait)
        if not waits:
            del self._waits[wait.call.request.group]
