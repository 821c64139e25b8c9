"""A Server over a real index, with a clock set by hand, and a caller of its requests. For tests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import msgspec
from told_index import Tellable, ToldIndex

from shardwatch.aggregator.groups.registry import Registry
from shardwatch.aggregator.groups.store import GroupStore
from shardwatch.aggregator.server.call import Outgoing
from shardwatch.aggregator.server.serve import Server
from shardwatch.shard.contract.state.settings import Settings


class FakeEngine:
    """An engine that says what it is told to say."""

    def __init__(self) -> None:
        self.is_ready = True
        self.syncs: dict[int, dict[str, object] | None] = {}
        self.forgotten: list[int] = []
        self.held_locks: set[bytes] = set()

    def status(self) -> dict[str, object]:
        return {"ready": self.is_ready, "notes": ["of the engine"]}

    def ready(self) -> dict[str, object] | None:
        return {"files": 1, "directories": 1, "shards": 1, "backend": "fake", "generation": 1} if self.is_ready else None

    def progress(self) -> dict[str, object]:
        return {"files": 0}

    def begin_sync(self, timeout_s: float) -> int:
        self.syncs[len(self.syncs)] = None
        return len(self.syncs) - 1

    def sync_result(self, token: int) -> dict[str, object] | None:
        return self.syncs[token]

    def forget_sync(self, token: int) -> None:
        self.forgotten.append(token)

    def locks(self) -> set[bytes]:
        return self.held_locks

    def look(self, paths: Sequence[bytes]) -> int:
        return len(paths)


class Bench:
    """A service without sockets. Replies that come later are kept by the id of their request."""

    def __init__(self, path: Path, index: Tellable | None = None, **settings: Any) -> None:
        self.path = path
        self.index: Tellable = index or ToldIndex()
        self.engine = FakeEngine()
        defaults: dict[str, Any] = {"roots": (), "include": (), "exclude": (), "batch_wait_ms": 0}
        self.settings = Settings(**(defaults | settings))
        self.now = 1000.0
        self.wall = 1_700_000_000.0
        self.boot = "boot-1"
        self.replies: dict[int, dict[str, Any]] = {}
        self.replied_at: dict[int, float] = {}
        self.number = 0
        #: The connection on which it asks.
        self.peer = b"peer"
        #: Called before anybody is told of changes of groups.
        self.keep: Callable[[], object] = lambda: None
        self.open()

    def open(self) -> None:
        """A start of the service. What the index knew of hand-outs was in memory only."""
        self.index.reopen()
        self.store = GroupStore(self.path, durability=self.settings.durability, boot=self.boot)
        clocks = (lambda: self.now, lambda: self.wall + self.now)
        registry = Registry(self.index, self.store, self.settings, self.now, clocks[1])
        self.server = Server(self.index, registry, self.engine, self.settings, *clocks, keep=self._kept)

    def _kept(self) -> None:
        self.keep()

    def crash(self) -> None:
        """As kill -9 and a new start."""
        self.store.abandon()
        self.open()

    def restart(self) -> None:
        """A clean end and a new start."""
        self.take(self.server.close())
        self.store.close()
        self.open()

    def send(self, op: str, *, json: bool = False, **fields: Any) -> int:
        """Sends a request; its id."""
        self.take(self.server.handle_many([self.body(op, json=json, **fields)]))
        return self.number

    def body(self, op: str, *, json: bool = False, **fields: Any) -> tuple[list[bytes], bytes]:
        """A request as it arrives, under the next id."""
        self.number += 1
        body = {"v": 1, "id": self.number, "op": op, **{k.rstrip("_"): v for k, v in fields.items()}}
        encode = msgspec.json.encode if json else msgspec.msgpack.encode
        return [self.peer, b"%d" % self.number], encode(body)

    def take(self, out: list[Outgoing]) -> None:
        for envelope, body, _lease in out:
            reply = msgspec.json.decode(body) if body[:1] == b"{" else msgspec.msgpack.decode(body)
            assert envelope[1:] == [b"%d" % reply["id"]]
            assert reply["id"] not in self.replies, "a second reply"
            self.replies[reply["id"]] = reply
            self.replied_at[reply["id"]] = self.now

    def ask(self, op: str, **fields: Any) -> dict[str, Any]:
        """Sends a request and gives its reply, which must be there at once."""
        return self.replies.pop(self.send(op, **fields))

    def pull(self, group: str = "g", **fields: Any) -> dict[str, Any] | None:
        """The batch of a pull from the start."""
        reply = self.ask("pull", group=group, **({"from_": "start"} | fields))
        assert reply["ok"], reply
        batch: dict[str, Any] | None = reply["batch"]
        return batch

    def ack(self, batch: dict[str, Any]) -> dict[str, Any]:
        return self.ask("ack", group=batch["group"], batch=batch["id"])

    def drain(self, group: str = "g", **fields: Any) -> list[dict[str, Any]]:
        """Pulls and acks until nothing is left; all events."""
        events: list[dict[str, Any]] = []
        while (batch := self.pull(group, **fields)) is not None:
            events += batch["events"]
            assert self.ack(batch)["ok"]
        return events

    def advance(self, seconds: float) -> None:
        """Time goes by in steps of at most a second, as main's loop has it."""
        end = self.now + seconds
        while self.now < end:
            self.now = min(end, self.now + 0.9)
            self.take(self.server.tick())

    def commit(self) -> None:
        self.take(self.server.on_commit())

    def group(self, name: str = "g") -> dict[str, Any]:
        """The group as `groups` lists it."""
        return next(g for g in self.ask("groups")["groups"] if g["name"] == name)


class BenchMaker(Protocol):
    """The fixture `make_bench`: a service over `files` files /r/0, /r/1 and so on."""

    def __call__(self, files: int = 0, **settings: Any) -> Bench: ...


def short(events: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """(type, path) of each event."""
    return [(e.get("event_type", e["type"]), e.get("path", "")) for e in events]
