"""The requests of the extract socket: passes each one to the part that answers it, and releases replies once what they say
is durable.

It has no socket; `aggregator.main` transports the bytes. Every method that returns replies has made durable what they
say. A request is answered exactly once, at once or later, and no input can make this raise. Not thread-safe.
"""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Callable, Collection, Iterable
from typing import Final

from shardwatch.shard.contract.process.log import Sparse
from shardwatch.shard.contract.state.settings import Settings

from ..groups.group import Group
from ..groups.index_port import IndexPort
from ..groups.registry import Registry
from ..protocol import messages as protocol
from ..protocol.messages import RefusedError
from .acknowledgements import Acknowledgements
from .ahead import PullsAhead
from .barriers import Barriers
from .call import Call, Envelope, Fields, LeaseName, Outgoing
from .description import Descriptions
from .engine_port import EnginePort
from .explanations import Explanations
from .group_requests import GroupRequests
from .handing_out import HandingOut
from .holding import Holding
from .outbox import Outbox
from .pulls import Pulls
from .roster import Roster
from .since import SinceRequests
from .status_requests import StatusRequests

log = logging.getLogger("shardwatch.aggregator")

#: Seconds between two searches for groups that are not used any more.
PRUNE_S: Final = 60.0
#: The longest time between two calls of `tick`, in seconds. A much longer pause means that this process stood still itself.
TICK_S: Final = 2.0
STALL_S: Final = 5.0
#: Seconds between two checks whether a sync or a baseline is finished, while a request waits for it.
_POLL_S: Final = 0.02
#: The longest time, in seconds, that one turn works on waiting requests. The sockets are served before it continues.
TURN_S: Final = 0.05
#: The codes of errors that no correct worker causes.
_MALFORMED: Final = frozenset({"bad_request", "too_large", "version", "unknown_op", "bad_field"})

#: Returns the fields of a reply, or None if the reply comes later or was given already. Raises RefusedError.
Handler = Callable[[Call, float], Fields | None]


class Server:
    """All groups, and the requests that wait.

    Args:
        settings: those that the process runs with.
        clock: seconds of a clock that all processes of one boot share and that only goes forward.
        wall: seconds since 1970; for the age of groups only.
        in_force: tells the same settings with the roots that are in force (`SinceRequests`); None: they stay.
        keep: called when what has changed in the groups is durable, before anybody is told; where it raises sqlite3.Error,
            nobody is.
    """

    def __init__(
        self,
        index: IndexPort,
        registry: Registry,
        engine: EnginePort,
        settings: Settings,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        in_force: Callable[[], Settings] | None = None,
        keep: Callable[[], object] = lambda: None,
    ) -> None:
        self._engine = engine
        self._keep = keep
        self._clock = clock
        self._wall = wall
        #: What the index must know about the groups. It is read by `main`.
        self.registry = registry
        self._outbox = Outbox()
        self._holding = Holding(index, registry, engine, settings.hold_ms_max)
        self._roster = Roster(index, registry, engine, wall, removed=self._removed)
        self._handing_out = HandingOut(index, registry, self._roster, self._holding, settings, self._outbox)
        self._pulls = Pulls(index, registry, self._roster, self._holding, self._handing_out, settings, self._outbox)
        self._pulls_ahead = PullsAhead(self._roster, self._handing_out, self._outbox, self._pulls.of)
        self._barriers = Barriers(index, engine, self._outbox)
        self._acknowledgements = Acknowledgements(index, registry, self._roster, self._barriers, self._outbox)
        self._descriptions = Descriptions(index, registry, self._pulls.of, wall)
        self._status = StatusRequests(
            index, registry, engine, settings, self._holding, self._outbox, self._descriptions, counts=self._counts
        )
        self._of_group = of_group = GroupRequests(index, registry, self._roster, settings)
        self._handlers: dict[str, Handler] = {
            "hello": self._status.hello,
            "pull": self._pull,
            "ack": self._ack,
            **dict.fromkeys(("nack", "release", "extend", "seek", "dead", "retry", "discard", "reset"), of_group.answer),
            "groups": self._status.describe,
            "create": self._roster.create,
            "drop": self._roster.drop,
            "since": SinceRequests(index, registry, in_force or (lambda: settings), wall).answer,
            "sync": self._barriers.sync,
            "wait": self._acknowledgements.wait,
            "look": self._look,
            "explain": Explanations(index, registry).answer,
            "status": self._status.describe,
            "ready": self._barriers.ready,
            "hold": self._holding.hold,
            "unhold": self._holding.unhold,
        }
        self._last = clock()
        self._skew = wall() - self._last
        self._prune_at = self._last + PRUNE_S
        self._bad_requests = Sparse(log)
        #: The number of requests that could not be understood.
        self.refused = 0
        #: Why the groups could not be stored: the error of the disk, or of the damaged file.
        self.failed: sqlite3.Error | None = None
        #: The request that is being carried out. What it asks of a disk that fails may end that.
        self._present: Call | None = None

    # -- what main calls

    def handle(self, envelope: Envelope, body: bytes) -> list[Outgoing]:
        """Handles one request. Returns the replies that can be sent now, also those to other requests that it made possible."""
        return self.handle_many([(envelope, body)])

    def handle_many(self, requests: Iterable[tuple[Envelope, bytes]]) -> list[Outgoing]:
        """Handles several requests with one commit."""
        now = self._turn()
        self._serve_ahead(now)  # who asked for it may begin it with one of these requests
        for envelope, body in requests:
            self._handle(envelope, body, now)
        self._work(now)
        return self._end_turn()

    @property
    def kept_bytes(self) -> int:
        """Bytes of the replies that are made and not returned yet."""
        return self._outbox.size

    def on_commit(self, *, changed: bool = True) -> list[Outgoing]:
        """Call it after each commit of the index. It answers the pulls, syncs and readies that wait.

        `changed`: False if shards were heard, but had nothing to commit. Then no pull can find more than it did before.
        """
        now = self._turn()
        self._serve_ahead(now)
        self._roster.begin_waiting()
        if changed:
            self._pulls.wake_all()
            self._acknowledgements.look_at_all()
        self._work(now)
        return self._end_turn()

    def tick(self, now: float | None = None) -> list[Outgoing]:
        """Does what is due: waits and leases that end, and retries. Call it after `next_due` seconds at the latest, unless
        `handle_many` or `on_commit` was called: they do the same after their own work.
        """
        now = self._turn(now)
        self._serve_ahead(now)
        self._work(now)
        return self._end_turn()

    def next_due(self) -> float:
        """The number of seconds after which `tick` has something to do, at most TICK_S."""
        if self._pulls.hungry or self._descriptions.wanted or len(self._pulls_ahead):
            return 0.0
        now = self._clock()
        due = min(
            now + (_POLL_S if len(self._barriers) else TICK_S),
            self.registry.next_due(),
            self._holding.next_due(now),
            self._pulls.deadlines.first,
            self._barriers.deadlines.first,
            self._acknowledgements.deadlines.first,
        )
        return max(0.0, due - now)

    def departed(self, gone: Collection[bytes], undelivered: Iterable[LeaseName]) -> None:
        """Connections have ended, and these keys stand at the head of their envelopes. Their waiting requests are forgotten, and
        these batches, whose replies were not sent, are released.
        """
        peers = frozenset(gone)
        self._pulls.forget(peers)
        self._pulls_ahead.forget(peers)
        if self._handing_out.may_be_ahead:
            self._handing_out.take_back_ahead(self._turn(), "its worker went away before it was begun", peers)
        self._barriers.forget(peers)
        self._acknowledgements.forget(peers)
        for lease in undelivered:
            self.undelivered(lease)

    def undelivered(self, lease: LeaseName) -> None:
        """A reply could not be sent because its receiver is gone. The batch in it is released at once."""
        now = self._turn()
        group = self._roster.get(lease.group)
        if group is not None and group.batches.take_back(lease.batch, now, "its worker went away before it was sent"):
            self.registry.touch(group)
            self.registry.soon(group)

    def passed(self) -> dict[int, int]:
        """For each lane the lowest cursor of all groups. Tombstones up to it are needed for replays only."""
        return self.registry.passed()

    def close(self, why: RefusedError | None = None) -> list[Outgoing]:
        """Refuses all waiting requests with `stopping` or another reason. The store stays open, because it belongs to `main`.

        Args:
            why: an error has ended the turn. Nothing of it is stored then, as after SIGKILL: what was in progress was done by
                half, and a group could have lost paths by that. So whoever was not answered yet is refused, too.
        """
        reason = why or RefusedError("stopping", "the service is stopping", "ask again when it is back")
        for part in (self._pulls, self._pulls_ahead, self._barriers, self._acknowledgements, self._status):
            part.give_up(reason)
        if self._present is not None and not self._outbox.has(self._present):
            self._outbox.refuse(self._present, reason)
        self._present = None
        return self._release(self.registry.commit) if why is None else self._outbox.take_refused(why)

    # -- one turn

    def _turn(self, now: float | None = None) -> float:
        """Returns the time. If this process itself stood still (stopped or suspended), all leases and waits are extended."""
        now = self._clock() if now is None else now
        gap = now - self._last
        self._last = now
        self.registry.begin_turn(now)
        self._pulls_ahead.begin_turn()
        if gap > STALL_S:
            self.registry.shift(gap - TICK_S)
            self._holding.shift(gap - TICK_S)
        skew = self._wall() - now
        if abs(skew - self._skew) > STALL_S:
            # The wall clock was set, or the machine slept.
            self.registry.shift_wall(skew - self._skew)
        self._skew = skew
        if self._holding.turn(now):
            self._pulls.wake_all()
        return now

    def _handle(self, envelope: Envelope, body: bytes, now: float) -> None:
        call = self._present = Call(envelope, body)
        try:
            call.read(body)
            fields = self._handlers[call.request.op](call, now)
        except RefusedError as error:
            if error.code in _MALFORMED:
                self.refused += 1
                self._bad_requests.warning(f"refused a request: {error.code}: {error.message}")
            self._present = None
            self._outbox.refuse(call, error)
            return
        self._present = None
        log.debug("request %s", call.request.op)
        if fields is not None:
            self._outbox.answer(call, fields)

    def _work(self, now: float) -> None:
        """Does what is due, for TURN_S or a little longer. The rest is done in the next turn."""
        end = self._clock() + TURN_S
        if self._holding.held:
            self._handing_out.take_back_ahead(now, "batches are held back")

        def over() -> bool:
            return self._clock() >= end

        if len(self._barriers):
            self._barriers.poll()
            self._roster.begin_waiting()
        if due := self.registry.due(now):
            self._pulls.wake([group.name for group in due])
        if self._pulls.hungry:
            self._pulls.serve(now, over)
        if now >= self._pulls.deadlines.first:
            self._pulls.time_out(now, over)
        if now >= self._barriers.deadlines.first:
            self._barriers.time_out(now, over)
        if self._descriptions.wanted:
            self._status.work(now, over)
        if now >= self._prune_at:
            self._prune_at = now + PRUNE_S
            self.registry.prune(self._pulls.names())
        if len(self._acknowledgements):
            self._acknowledgements.look(self.registry.touched())
            if now >= self._acknowledgements.deadlines.first:
                self._acknowledgements.time_out(now, over)

    def _end_turn(self) -> list[Outgoing]:
        """As `_release`; but if nobody is answered in this turn, acknowledgements are committed with those of a later turn."""
        return [] if not self._outbox.size and self.registry.may_put_off() else self._release(self._commit)

    def _commit(self) -> None:
        self.registry.commit()
        self._keep()

    def _release(self, commit: Callable[[], object]) -> list[Outgoing]:
        """Commits, and returns the replies of this turn. If the disk refuses, all of them become `storage` errors."""
        try:
            commit()
        except sqlite3.Error as error:
            self.failed = error
            message = f"the groups can't be stored: {error}"
            return self._outbox.take_refused(RefusedError("storage", message, "free space for the state directory"))
        return self._outbox.take()

    def _removed(self, group: Group) -> None:
        self._handing_out.removed(group)
        self._pulls.removed(group)
        self._acknowledgements.look([group.name])

    def _serve_ahead(self, now: float) -> None:
        if len(self._pulls_ahead):
            end = self._clock() + TURN_S
            self._pulls_ahead.serve(now, lambda: self._clock() >= end)

    def _pull(self, call: Call, now: float) -> None:
        part = self._pulls_ahead if call.request.ahead and not call.request.peek else self._pulls
        part.pull(call, now)

    def _ack(self, call: Call, now: float) -> None:
        """It may hand out a batch, too: one that was pulled ahead, and begins with it."""
        fields = self._of_group.answer(call, now)
        begun = fields.get("begun")
        lease = LeaseName(call.request.group, begun) if isinstance(begun, str) else None
        self._outbox.answer(call, fields, lease)

    def _look(self, call: Call, now: float) -> Fields:
        return {"asked": self._engine.look(protocol.exact_paths("look", call.request.paths_b64))}

    def _counts(self) -> dict[str, int]:
        waiting = len(self._pulls) + len(self._barriers) + len(self._acknowledgements)
        return {"waiting_requests": waiting, "refused_requests": self.refused}
