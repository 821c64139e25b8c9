"""The requests `sync` and `ready`, which wait until something is in the index; and the sync with which `wait` begins."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from ..groups.index_port import IndexPort
from ..protocol import bounds
from ..protocol.messages import RefusedError
from .call import Call
from .deadlines import Deadlines
from .engine_port import EnginePort
from .outbox import Outbox

#: How many such requests may wait at a time. Further ones are refused with `busy`.
WAITING_MAX: Final = 10_000
#: How long after its own timeout a sync may still be answered, in seconds, before it is given up here.
_SYNC_GRACE_S: Final = 2.0
#: The timeout of a sync that names none, in milliseconds.
_SYNC_MS: Final = 30_000


#: What follows once a call is in sync: gets the last tick, and what was left out, as fields of a reply.
Synced = Callable[[int, dict[str, object]], None]


class _SyncCall(NamedTuple):
    """A sync that a call waits for."""

    #: What the engine has given to it.
    token: int
    #: None: the call is answered.
    then: Synced | None


class Barriers:
    """The calls that wait for the engine. `poll` asks the engine about its progress."""

    def __init__(self, index: IndexPort, engine: EnginePort, outbox: Outbox) -> None:
        self._index = index
        self._engine = engine
        self._outbox = outbox
        self._syncs: dict[Call, _SyncCall] = {}
        #: Of all calls that wait.
        self.deadlines: Deadlines[Call] = Deadlines()

    def __len__(self) -> int:
        """The number of calls that wait."""
        return len(self.deadlines)

    def ready(self, call: Call, now: float) -> dict[str, object] | None:
        """Returns the fields of the reply, or None if the reply comes later. Raises RefusedError."""
        ready = self._engine.ready()
        if ready is not None:
            return {"ready": ready}
        wait_ms = call.request.wait_ms or 0
        if wait_ms == 0:
            return self._not_ready()
        self._wait(call, now + min(wait_ms, bounds.WAIT_MS_MAX) / 1000)
        return None

    def sync(self, call: Call, now: float) -> None:
        """Adds a call, whose reply comes later. Raises RefusedError."""
        timeout_ms = _SYNC_MS if call.request.timeout_ms is None else call.request.timeout_ms
        self.begin_sync(call, now, min(timeout_ms, bounds.WAIT_MS_MAX) / 1000)

    def begin_sync(self, call: Call, now: float, timeout_s: float, then: Synced | None = None) -> None:
        """The same. With `then`, that is called in place of a reply once everything is in the index; if this fails, the call is
        refused. Raises RefusedError."""
        self._wait(call, now + timeout_s + _SYNC_GRACE_S)
        self._syncs[call] = _SyncCall(self._engine.begin_sync(timeout_s), then)

    def poll(self) -> None:
        """Answers the calls whose condition is met."""
        if not len(self):
            return
        ready = self._engine.ready()
        for call in list(self.deadlines):
            sync = self._syncs.get(call)
            if sync is None:
                if ready is not None:
                    self._end(call)
                    self._outbox.answer(call, {"ready": ready})
            elif (result := self._engine.sync_result(sync.token)) is not None:
                self._end(call)
                self._answer_sync(call, result, sync.then)

    def time_out(self, now: float, over: Callable[[], bool]) -> None:
        """Answers the calls that have waited long enough, until the time for this is `over`."""
        for call in self.deadlines.take(now):
            if not self._forget_sync(call):
                self._outbox.answer(call, self._not_ready())
            else:
                remedy = "see `status` for shards that hang"
                self._outbox.refuse(call, RefusedError("sync_failed", "the sync was not answered in time", remedy, subtrees=[]))
            if over():
                return

    def forget(self, peers: frozenset[bytes]) -> None:
        """Forgets the calls of connections that are gone."""
        for call in [call for call in self.deadlines if call.is_of(peers)]:
            self._end(call)

    def give_up(self, why: RefusedError) -> None:
        """Refuses all calls that wait."""
        for call in list(self.deadlines):
            self._end(call)
            self._outbox.refuse(call, why)

    def _wait(self, call: Call, until: float) -> None:
        if len(self) >= WAITING_MAX:
            raise RefusedError("busy", f"{WAITING_MAX} requests wait already", "ask again later, with fewer at a time")
        self.deadlines.set(call, until)

    def _end(self, call: Call) -> None:
        self.deadlines.drop(call)
        self._forget_sync(call)

    def _forget_sync(self, call: Call) -> bool:
        """Whether the call waited for a sync. The engine need not keep the outcome, unless the call was given it."""
        sync = self._syncs.pop(call, None)
        if sync is not None:
            self._engine.forget_sync(sync.token)
        return sync is not None

    def _not_ready(self) -> dict[str, object]:
        return {"ready": None, "progress": self._engine.progress()}

    def _answer_sync(self, call: Call, result: Mapping[str, object], then: Synced | None) -> None:
        if result.get("ok"):
            left_out = {"left_out": result["left_out"]} if result.get("left_out") else {}
            if then is None:
                self._outbox.answer(call, {"tick": self._index.tick, **left_out})
            else:
                then(self._index.tick, left_out)
            return
        more = {key: value for key, value in result.items() if key not in ("ok", "error", "message", "remedy")}
        message = str(result.get("message") or result.get("error") or "not everything could be looked at")
        remedy = str(result.get("remedy") or "see `status` for the subtrees and shards")
        self._outbox.refuse(call, RefusedError("sync_failed", message, remedy, **more))
