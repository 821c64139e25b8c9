"""The requests `hello`, `status` and `groups`, by which the service describes itself. Reads, and changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from shardwatch.shard.contract.state.settings import Settings
from shardwatch.shard.contract.version import __version__

from ..groups.index_port import IndexPort
from ..groups.registry import Registry
from ..protocol import bounds
from ..protocol.messages import RefusedError
from . import roster
from .call import Call
from .description import Descriptions
from .engine_port import EnginePort
from .holding import Holding
from .outbox import Outbox


class StatusRequests:
    """Answers `hello` at once, and the others with a description of all groups that is begun after they have arrived.

    Args:
        counts: what the server counts, for `status`.
    """

    def __init__(
        self,
        index: IndexPort,
        registry: Registry,
        engine: EnginePort,
        settings: Settings,
        holding: Holding,
        outbox: Outbox,
        descriptions: Descriptions,
        *,
        counts: Callable[[], Mapping[str, int]],
    ) -> None:
        self._index = index
        self._registry = registry
        self._engine = engine
        self._settings = settings
        self._holding = holding
        self._outbox = outbox
        self._counts = counts
        self._descriptions = descriptions

    def hello(self, call: Call, now: float) -> dict[str, object]:
        """What a client should know before it begins."""
        limits = {
            "request_bytes": bounds.REQUEST_BYTES_MAX,
            "batch": self._settings.batch_size_max,
            "leases": self._settings.leases_max,
            "groups": roster.GROUPS_MAX,
            "wait_ms": bounds.WAIT_MS_MAX,
            "lease_ms": bounds.LEASE_MS_MAX,
            "hold_ms": self._settings.hold_ms_max,
        }
        return {
            "server": "shardwatch",
            "version": __version__,
            "incarnation": self._index.incarnation,
            "tick": self._index.tick,
            "ready": self._engine.ready() is not None,
            "lease_ms": self._settings.lease_ms,
            "limits": limits,
        }

    def describe(self, call: Call, now: float) -> None:
        """Adds a `status` or `groups` call, whose reply comes later. Raises RefusedError."""
        self._descriptions.ask(call)

    def work(self, now: float, over: Callable[[], bool]) -> None:
        """Continues the description until no call waits, or until the time for this is `over`."""
        for call, rows in self._descriptions.work(now, over):
            groups = {"groups": rows, **self._holding.describe(now)}
            self._outbox.answer(call, groups if call.request.op == "groups" else {"status": self._status() | groups})

    def give_up(self, why: RefusedError) -> None:
        """Refuses all calls that wait."""
        for call in self._descriptions.give_up():
            self._outbox.refuse(call, why)

    def _status(self) -> dict[str, object]:
        """The whole status except for the groups."""
        status = dict(self._engine.status())
        notes = status.get("notes")
        return {**status, "notes": [*(notes if isinstance(notes, list) else []), *self._registry.notes], **self._counts()}
