"""The request `pull`, which is answered at once, as soon as something is pending, or when its wait is over. Does no input
or output.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from shardwatch.shard.contract.state.settings import Settings

from ..groups.batch import GroupBatch, NoBatch
from ..groups.group import Group
from ..groups.index_port import IndexPort
from ..groups.registry import Registry
from ..protocol import bounds
from ..protocol import messages as protocol
from ..protocol.messages import RefusedError
from .call import Call
from .deadlines import Deadlines
from .handing_out import HandingOut, OpenPull
from .holding import Holding
from .outbox import Outbox
from .roster import Roster

#: How many pulls may wait at a time. Further ones are refused with `busy`.
WAITING_MAX: Final = 10_000


class Pulls:
    """Hands out batches. In each group the pulls are served in the order of their arrival."""

    def __init__(
        self,
        index: IndexPort,
        registry: Registry,
        roster: Roster,
        holding: Holding,
        handing_out: HandingOut,
        settings: Settings,
        outbox: Outbox,
    ) -> None:
        self._index = index
        self._registry = registry
        self._roster = roster
        self._holding = holding
        self._handing_out = handing_out
        self._settings = settings
        self._outbox = outbox
        #: The pulls that wait, by group.
        self._waiting: dict[str, dict[OpenPull, None]] = {}
        self.deadlines: Deadlines[OpenPull] = Deadlines()
        #: The groups whose pulls may be served now, in this order: `serve` has something to do.
        self.hungry: dict[str, None] = {}

    def __len__(self) -> int:
        """The number of pulls that wait."""
        return len(self.deadlines)

    def of(self, name: str) -> int:
        """The number of pulls that wait for a group."""
        return len(self._waiting.get(name, ()))

    def names(self) -> set[str]:
        """The groups for which a pull waits."""
        return set(self._waiting)

    # -- the request

    def pull(self, call: Call, now: float) -> None:
        """Answers a pull now, or lets it wait. Raises RefusedError."""
        request: protocol.Pull = call.request
        group, created = self._roster.use_or_make(request.group, request.from_ or "now")
        others_wait = bool(self.of(group.name))
        pull = self._handing_out.open(call, group, now, others_wait=others_wait, created=created)
        why = NoBatch.HELD if self._holding.held else NoBatch.EMPTY
        # If other pulls wait for the group already, nothing could be handed out to them, nor could it to this one.
        if request.peek or not others_wait:
            found = self._handing_out.grant(group, pull, now)
            if isinstance(found, GroupBatch):
                self._handing_out.answer(group, pull, found)
                return
            why = found
        wait_ms = self._settings.batch_wait_ms if request.wait_ms is None else request.wait_ms
        if wait_ms == 0 and (why is NoBatch.HELD or not group.unfinished):
            self._outbox.answer(call, pull.nothing(why))
        else:
            self._wait(pull, now + min(wait_ms, bounds.WAIT_MS_MAX) / 1000)

    def _wait(self, pull: OpenPull, until: float) -> None:
        if len(self) >= WAITING_MAX:
            raise RefusedError("busy", f"{WAITING_MAX} requests wait already", "ask again later, with fewer at a time")
        self._waiting.setdefault(pull.request.group, {})[pull] = None
        self.deadlines.set(pull, until)

    # -- those that wait

    def wake(self, names: Iterable[str]) -> None:
        """Something may have become free in these groups."""
        self.hungry.update(dict.fromkeys(names))

    def wake_all(self) -> None:
        """There may be something new for every group."""
        self.hungry.update(dict.fromkeys(self._waiting))

    def serve(self, now: float, over: Callable[[], bool]) -> None:
        """Answers pulls of the groups that were woken, until the time for this is `over`. The next call continues."""
        while self.hungry:
            name = next(iter(self.hungry))
            del self.hungry[name]
            if not self._serve(name, now, over):
                self.hungry[name] = None
                return
            if over():
                return

    def _serve(self, name: str, now: float, over: Callable[[], bool]) -> bool:
        """Answers the pulls that wait for one group, in the order of their arrival. Returns False if the time was over before all
        were considered.
        """
        pulls = self._waiting.get(name)
        group = self._roster.get(name)
        if not pulls or group is None or self._holding.held:
            return True
        dry = False
        for pull in list(pulls):
            if dry and not pull.request.peek:
                continue
            found = self._handing_out.grant(group, pull, now)
            if isinstance(found, GroupBatch):
                self._end(pull)
                self._handing_out.answer(group, pull, found)
                if self.of(name) and over():
                    return False
            else:
                dry = dry or not pull.request.peek
        return True

    def time_out(self, now: float, over: Callable[[], bool]) -> None:
        """Answers the pulls that have waited long enough with the reason why there is no batch, until the time is `over`."""
        for pull in self.deadlines.take(now):
            group = self._roster.get(pull.request.group)
            if group is not None and group.unfinished and not self._holding.held:
                self.deadlines.set(pull, now)  # whether there is something, a later turn will know
            else:
                self._end(pull)
                self._outbox.answer(pull.call, pull.nothing(self._why_nothing(group, now)))
            if over():
                return

    def _why_nothing(self, group: Group | None, now: float) -> NoBatch:
        if self._holding.held:
            return NoBatch.HELD
        return NoBatch.EMPTY if group is None else group.why_unserved(self._index, now, self._settings.leases_max)

    def _end(self, pull: OpenPull) -> None:
        """Removes a pull from those that wait."""
        self.deadlines.drop(pull)
        name = pull.request.group
        pulls = self._waiting[name]
        del pulls[pull]
        if not pulls:
            del self._waiting[name]

    def _all(self) -> list[OpenPull]:
        return [pull for pulls in self._waiting.values() for pull in pulls]

    def forget(self, peers: frozenset[bytes]) -> None:
        """Forgets the pulls of connections that are gone."""
        for pull in self._all():
            if pull.call.is_of(peers):
                self._end(pull)

    def removed(self, group: Group) -> None:
        """Refuses the pulls that wait for a group that was dropped."""
        dropped = RefusedError("unknown_group", f"the group {group.name!r} was dropped", "pull again to make it anew")
        for pull in list(self._waiting.get(group.name, ())):
            self._end(pull)
            self._outbox.refuse(pull.call, dropped)

    def give_up(self, why: RefusedError) -> None:
        """Refuses all pulls that wait."""
        for pull in self._all():
            self._end(pull)
            self._outbox.refuse(pull.call, why)
        self.hungry = {}
