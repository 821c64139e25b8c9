"""The requests of the extract socket: parsing, groups, long polls, replies. It has no socket: `aggregator.main` carries bytes.

Every method that returns replies has made durable what they say. A request is answered exactly once, at once or later
(a parked pull, `sync`, `ready`), and nothing that arrives can raise. Not thread-safe.
"""

from __future__ import annotations

import heapq
import logging
import sqlite3
import time
from collections.abc import Callable, Collection, Iterable
from typing import Final

import msgspec

from shardwatch.shard.contract.process.log import Sparse
from shardwatch.shard.contract.state.settings import Settings

from ..groups.batch import Batch, NoBatch
from ..groups.group import Group, GroupState
from ..groups.index_port import Index
from ..groups.registry import Registry
from ..protocol import bounds
from ..protocol import messages as protocol
from ..protocol.messages import RefusedError
from . import answers
from .calls import Call, Envelope, Outgoing
from .description import Descriptions
from .engine_port import Engine
from .group_requests import GroupRequests
from .holding import Holding

log = logging.getLogger("shardwatch.aggregator")

#: Pulls that wait, and other requests (syncs, readies) that do; more are refused with `busy`.
PARKED_MAX: Final = 10_000
GROUPS_MAX: Final = 1_000
#: Seconds between looks for abandoned groups.
PRUNE_S: Final = 60.0
#: Longest time between two calls of `tick`, seconds. A pause much longer than that is our own stall, not the workers'.
TICK_S: Final = 2.0
STALL_S: Final = 5.0
#: Seconds between looks whether a sync or a baseline is done, while one is waited for.
_POLL_S: Final = 0.02
#: Seconds that a sync may be answered after its own timeout, before it is given up here.
_SYNC_GRACE_S: Final = 2.0
_SYNC_MS: Final = 30_000
#: Longest work of one turn on what waits, seconds: the rest has its turn after the sockets have had theirs.
TURN_S: Final = 0.05
#: Codes of requests that no honest worker sends.
_MALFORMED: Final = frozenset({"bad_request", "too_large", "version", "unknown_op", "bad_field"})


class Server:
    """All groups, and the requests that wait.

    Args:
        clock: seconds of a clock that all processes of one boot share and that only goes forward.
        wall: seconds since 1970; for the age of groups only.
    """

    def __init__(
        self,
        index: Index,
        registry: Registry,
        engine: Engine,
        settings: Settings,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._index = index
        self._engine = engine
        self._settings = settings
        self._clock = clock
        self._wall = wall
        #: For main: what the index must know of groups.
        self.registry = registry
        self._groups = self.registry.by_name
        self._requests = GroupRequests(index, self.registry, settings, wall)
        self._holding = Holding(index, self.registry, engine, settings.hold_ms_max)
        self._out: list[tuple[Call, bytes]] = []
        #: Waiting calls: pulls by group, and the rest.
        self._pulls: dict[str, dict[Call, None]] = {}
        self._polls: dict[Call, None] = {}
        #: Groups whose waiting pulls may be served now, in this order.
        self._hungry: dict[str, None] = {}
        self._descriptions = Descriptions(index, registry, lambda name: len(self._pulls.get(name, ())))
        #: (when, order, call): ends of waits, a heap.
        self._deadlines: list[tuple[float, int, Call]] = []
        self._order = 0
        self._last = clock()
        self._skew = wall() - self._last
        self._prune_at = self._last + PRUNE_S
        self._bad_requests = Sparse(log)
        #: Requests that could not be understood.
        self.refused = 0
        #: The disk refused to store the groups, or they are damaged: what it said.
        self.failed: sqlite3.Error | None = None

    # -- what main calls

    def handle(self, envelope: Envelope, body: bytes) -> list[Outgoing]:
        """One request; the replies that can go now, also those of other requests that it made possible."""
        return self.handle_many([(envelope, body)])

    def handle_many(self, requests: Iterable[tuple[Envelope, bytes]]) -> list[Outgoing]:
        """Several requests with one commit."""
        now = self._turn()
        for envelope, body in requests:
            self._handle(envelope, body, now)
        self._work(now)
        return self._flush()

    def on_commit(self) -> list[Outgoing]:
        """To be called after each commit of the index: serves the pulls, syncs and readies that wait."""
        now = self._turn()
        self._poll(now)
        self._hungry.update(dict.fromkeys(self._pulls))
        self._work(now)
        return self._flush()

    def tick(self, now: float | None = None) -> list[Outgoing]:
        """What is due: ends of waits and of leases, retries. To be called after `next_due` seconds at the latest."""
        now = self._turn(now)
        if self._polls:
            self._poll(now)
        self._work(now)
        if now >= self._prune_at:
            self._prune_at = now + PRUNE_S
            self.registry.prune(self._pulls)
        return self._flush()

    def next_due(self) -> float:
        """Seconds after which `tick` has something to do, at most TICK_S."""
        now = self._clock()
        if self._hungry or self._descriptions:
            return 0.0
        due = min(now + (_POLL_S if self._polls else TICK_S), self.registry.next_due(), self._holding.next_due(now))
        if self._deadlines:
            due = min(due, self._deadlines[0][0])
        return max(0.0, due - now)

    def _work(self, now: float) -> None:
        """Whatever is due, for TURN_S or a little longer; the rest waits for the next turn."""
        end = self._clock() + TURN_S
        self._hungry.update((group.name, None) for group in self.registry.due(now))
        while self._hungry:
            name = next(iter(self._hungry))
            del self._hungry[name]
            if not self._serve(name, now, end):
                self._hungry[name] = None
                break
            if self._clock() >= end:
                break
        # What becomes due meanwhile has its turn after the sockets have had theirs.
        last = self._order
        while self._deadlines and self._deadlines[0][0] <= now and self._deadlines[0][1] <= last:
            call = heapq.heappop(self._deadlines)[2]
            if not call.done:
                self._time_out(call, now)
            if self._clock() >= end:
                break
        for call, rows in self._descriptions.work(now, lambda: self._clock() >= end):
            groups = {"groups": rows, **self._holding.describe(now)}
            self._reply(call, groups if call.request.op == "groups" else {"status": self._status() | groups})

    def departed(self, gone: Collection[bytes], unsent: Iterable[bytes]) -> None:
        """Workers went away, those with one of these at the head of their envelopes: what they wait for is forgotten. Replies
        were not sent to them."""
        for calls in list(self._pulls.values()):
            for call in [c for c in calls if c.envelope and c.envelope[0] in gone]:
                call.done = True
                del calls[call]
        self._pulls = {name: calls for name, calls in self._pulls.items() if calls}
        for call in [c for c in self._polls if c.envelope and c.envelope[0] in gone]:
            call.done = True
            del self._polls[call]
        for body in unsent:
            self.undelivered(body)

    def undelivered(self, reply: bytes) -> None:
        """A reply could not be sent because its receiver is gone: the batch in it, if any, is free at once."""
        now = self._turn()
        raw = msgspec.json.decode(reply) if protocol.is_json(reply) else msgspec.msgpack.decode(reply)
        batch = raw.get("batch")
        if isinstance(batch, dict) and batch.get("id"):
            group = self._groups.get(batch["group"])
            if group is not None and group.take_back(batch["id"], now, "its worker went away before it was sent"):
                self.registry.touch(group)
                self.registry.soon(group)

    def passed(self) -> dict[int, int]:
        """Lane -> lowest cursor of all groups: tombstones up to it are needed for replays only (`Index.collect`)."""
        return self.registry.passed()

    def close(self, why: RefusedError | None = None) -> list[Outgoing]:
        """Answers everything that waits with `stopping`, or another reason. The store stays open: it is main's."""
        why = why or RefusedError("stopping", "the service is stopping", "ask again when it is back")
        for call in [*(c for calls in self._pulls.values() for c in calls), *self._polls, *self._descriptions.give_up()]:
            self._refuse(call, why)
        self._pulls, self._polls, self._hungry = {}, {}, {}
        return self._flush()

    # -- one turn

    def _turn(self, now: float | None = None) -> float:
        """The time; leases and waits are extended by a stall of our own (stopped, suspended), which is no one's fault."""
        now = self._clock() if now is None else now
        gap = now - self._last
        self._last = now
        self.registry.begin_turn(now)
        if gap > STALL_S:
            self.registry.shift(gap - TICK_S)
            self._holding.shift(gap - TICK_S)
        skew = self._wall() - now
        if abs(skew - self._skew) > STALL_S:
            # The wall clock was set, or the machine slept.
            self.registry.shift_wall(skew - self._skew)
        self._skew = skew
        if self._holding.turn(now):
            self._hungry.update(dict.fromkeys(self._pulls))
        return now

    def _flush(self) -> list[Outgoing]:
        """Commits, and gives out the replies of this turn. If the disk refuses, all of them become `storage` errors."""
        out, self._out = self._out, []
        try:
            self.registry.commit()
        except sqlite3.Error as error:
            self.failed = error
            refused = RefusedError("storage", f"the groups can't be stored: {error}", "free space for the state directory")
            return [(call.envelope, call.error(refused)) for call, _ in out]
        return [(call.envelope, reply) for call, reply in out]

    # -- requests

    def _handle(self, envelope: Envelope, body: bytes, now: float) -> None:
        call = Call(envelope, body)
        try:
            call.read(body)
            result = _OPS[call.request.op](self, call, now)
        except RefusedError as error:
            if error.code in _MALFORMED:
                self.refused += 1
                self._bad_requests.warning(f"refused a request: {error.code}: {error.message}")
            self._refuse(call, error)
            return
        if result is not None:
            self._reply(call, result)

    def _reply(self, call: Call, fields: dict[str, object]) -> None:
        call.done = True
        self._out.append((call, call.reply(fields)))

    def _refuse(self, call: Call, error: RefusedError) -> None:
        call.done = True
        self._out.append((call, call.error(error)))

    def _park(self, call: Call, deadline: float) -> None:
        pulls = sum(map(len, self._pulls.values()))
        if (pulls if isinstance(call.request, protocol.Pull) else len(self._polls)) >= PARKED_MAX:
            raise RefusedError("busy", f"{PARKED_MAX} requests wait already", "ask again later, with fewer at a time")
        self._until(call, deadline)

    def _until(self, call: Call, deadline: float) -> None:
        self._order += 1
        heapq.heappush(self._deadlines, (deadline, self._order, call))
        if len(self._deadlines) > 2 * self._parked_calls() + 1000:
            self._deadlines = [d for d in self._deadlines if not d[2].done]
            heapq.heapify(self._deadlines)

    def _parked_calls(self) -> int:
        return sum(map(len, self._pulls.values())) + len(self._polls)

    def _hello(self, call: Call, now: float) -> dict[str, object]:
        ready = self._engine.ready() is not None
        return answers.hello(self._index, self._settings, ready=ready, groups_max=GROUPS_MAX)

    def _pull(self, call: Call, now: float) -> dict[str, object] | None:
        request: protocol.Pull = call.request
        group = self._groups.get(request.group)
        call.existed = group is not None
        if group is None:
            group = self._create(request.group, request.from_ or "now")
            call.created = True
        group.use(self._wall())
        wait_ms = self._settings.batch_wait_ms if request.wait_ms is None else request.wait_ms
        waiting = self._pulls.get(group.name)
        why = NoBatch.HELD if self._holding.held else NoBatch.EMPTY
        # First come, first served: who waits already goes first, so they have all been served or can't be.
        if not waiting or request.peek:
            found = self._grant(group, call, now)
            if isinstance(found, Batch):
                return self._batch(group, call, found)
            why = found
        if wait_ms == 0 and (why is NoBatch.HELD or not group.unfinished):
            return self._nothing(call, why)
        self._park(call, now + min(wait_ms, bounds.WAIT_MS_MAX) / 1000)
        self._pulls.setdefault(group.name, {})[call] = None
        return None

    def _create(self, name: str, start: str) -> Group:
        protocol.check_name(name)
        if len(self._groups) >= GROUPS_MAX:
            stubs = sorted((g for g in self._groups.values() if g.state is GroupState.EXPIRED), key=lambda g: g.seen)
            if not stubs:
                raise RefusedError("groups_full", f"there are {GROUPS_MAX} groups already", "drop one that is not used")
            self._remove(stubs[0])
        group = self.registry.create(name)
        if start == "start":
            group.begin(self._index, 0, 0)
        self._begin_waiting(group)
        return group

    def _begin_waiting(self, group: Group) -> None:
        """From now: from the moment at which everything that was there before is known."""
        if group.state is GroupState.WAITING and self._engine.ready() is not None:
            group.begin(self._index, self._index.tick, self._index.tick)
            self.registry.touch(group)

    def _grant(self, group: Group, call: Call, now: float) -> Batch | NoBatch:
        if self._holding.held:
            return NoBatch.HELD
        request: protocol.Pull = call.request
        limit = min(request.max or self._settings.batch_size_max, self._settings.batch_size_max)
        if request.peek:
            found = group.peek(self._index, now, limit)
        else:
            lease_s = self._requests.lease_s(request.lease_ms)
            found = group.pull(self._index, now, limit, lease_s, self._settings.leases_max, request.worker)
        self.registry.touch(group)
        if group.unfinished:
            self.registry.soon(group)
        elif found is NoBatch.EMPTY:
            self._holding.note_nothing(group)
        return found

    def _batch(self, group: Group, call: Call, batch: Batch) -> dict[str, object]:
        request: protocol.Pull = call.request
        found: dict[str, object] = {
            "id": group.batch_id(batch.number) if batch.number else None,
            "group": group.name,
            "attempt": batch.attempt,
            "lease_ms": round(self._requests.lease_s(request.lease_ms) * 1000) if batch.number else 0,
            "events": batch.events,
            "more": batch.more,
        }
        if batch.number and self._holding.note_batch(group, batch.number):
            found["settled"] = True
        return {"batch": found, "created": call.created, "existed": call.existed}

    def _nothing(self, call: Call, why: NoBatch) -> dict[str, object]:
        return {"batch": None, "why": why, "created": call.created, "existed": call.existed}

    def _serve(self, name: str, now: float, end: float) -> bool:
        """Serves the pulls that wait for a group, in the order in which they came. False: time is up, and some are left."""
        calls = self._pulls.get(name)
        group = self._groups.get(name)
        if not calls or group is None or self._holding.held:
            return True
        dry = False
        for call in list(calls):
            if dry and not call.request.peek:
                continue
            found = self._grant(group, call, now)
            if isinstance(found, Batch):
                del calls[call]
                self._reply(call, self._batch(group, call, found))
                if calls and self._clock() >= end:
                    return False
            else:
                dry = dry or not call.request.peek
        if not calls:
            del self._pulls[name]
        return True

    def _time_out(self, call: Call, now: float) -> None:
        request = call.request
        if isinstance(request, protocol.Pull):
            group = self._groups.get(request.group)
            why = NoBatch.EMPTY
            if self._holding.held:
                why = NoBatch.HELD
            elif group is not None:
                if group.unfinished:
                    self._until(call, now)
                    return
                why = group.why_unserved(self._index, now, self._settings.leases_max)
            calls = self._pulls[request.group]
            del calls[call]
            if not calls:
                del self._pulls[request.group]
            self._reply(call, self._nothing(call, why))
            return
        del self._polls[call]
        if isinstance(request, protocol.Ready):
            self._reply(call, {"ready": None, "progress": self._engine.progress()})
        else:
            remedy = "see `status` for shards that hang"
            self._refuse(call, RefusedError("sync_failed", "the sync was not answered in time", remedy, subtrees=[]))

    def _poll(self, now: float) -> None:
        """Syncs and readies that are done, and groups that wait for the baseline."""
        for call in list(self._polls):
            fields = self._polled(call)
            if fields is not None:
                del self._polls[call]
                if isinstance(fields, RefusedError):
                    self._refuse(call, fields)
                else:
                    self._reply(call, fields)
        for group in self._groups.values():
            if group.state is GroupState.WAITING:
                self._begin_waiting(group)

    def _polled(self, call: Call) -> dict[str, object] | RefusedError | None:
        if isinstance(call.request, protocol.Ready):
            ready = self._engine.ready()
            return None if ready is None else {"ready": ready}
        result = self._engine.sync_result(call.token)
        return None if result is None else answers.synced(result, self._index.tick)

    def _of_group(self, call: Call, now: float) -> dict[str, object]:
        """ack, nack, release, extend, seek, retry, reset."""
        return self._requests.answer(call.request, now)

    def _drop(self, call: Call, now: float) -> dict[str, object]:
        group = self._requests.group(call.request.group)
        self._remove(group)
        return {"dropped": group.name}

    def _remove(self, group: Group) -> None:
        self.registry.remove(group)
        dropped = RefusedError("unknown_group", f"the group {group.name!r} was dropped", "pull again to make it anew")
        for call in self._pulls.pop(group.name, ()):
            self._refuse(call, dropped)

    def _ask_for_all(self, call: Call, now: float) -> None:
        """groups, status: answered when a description of all groups is made that is begun after this."""
        self._descriptions.ask(call)

    def _status(self) -> dict[str, object]:
        """All of it but the groups."""
        status = dict(self._engine.status())
        notes = status.get("notes")
        notes = [*(notes if isinstance(notes, list) else []), *self.registry.notes]
        return {**status, "notes": notes, "waiting_requests": self._parked_calls(), "refused_requests": self.refused}

    def _ready(self, call: Call, now: float) -> dict[str, object] | None:
        ready = self._engine.ready()
        if ready is not None:
            return {"ready": ready}
        wait_ms = call.request.wait_ms or 0
        if wait_ms == 0:
            return {"ready": None, "progress": self._engine.progress()}
        self._park(call, now + min(wait_ms, bounds.WAIT_MS_MAX) / 1000)
        self._polls[call] = None
        return None

    def _sync(self, call: Call, now: float) -> dict[str, object] | None:
        timeout_ms = _SYNC_MS if call.request.timeout_ms is None else call.request.timeout_ms
        timeout_s = min(timeout_ms, bounds.WAIT_MS_MAX) / 1000
        self._park(call, now + timeout_s + _SYNC_GRACE_S)
        call.token = self._engine.begin_sync(timeout_s)
        self._polls[call] = None
        return None

    def _hold(self, call: Call, now: float) -> dict[str, object]:
        return self._holding.hold(call.request, now)

    def _unhold(self, call: Call, now: float) -> dict[str, object]:
        return self._holding.unhold(call.request, now)

    def _look(self, call: Call, now: float) -> dict[str, object]:
        return {"asked": self._engine.look(protocol.exact_paths(call.request))}


_OPS: Final[dict[str, Callable[[Server, Call, float], dict[str, object] | None]]] = {
    "hello": Server._hello,
    "pull": Server._pull,
    "ack": Server._of_group,
    "nack": Server._of_group,
    "release": Server._of_group,
    "extend": Server._of_group,
    "seek": Server._of_group,
    "retry": Server._of_group,
    "reset": Server._of_group,
    "groups": Server._ask_for_all,
    "drop": Server._drop,
    "sync": Server._sync,
    "look": Server._look,
    "status": Server._ask_for_all,
    "ready": Server._ready,
    "hold": Server._hold,
    "unhold": Server._unhold,
}
