"""What is said where a stream goes, or a connection ends, between two questions; and of a stream that has no room."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import nats.errors
import nats.js.errors
import pytest
from nats.aio.client import Client

from shardwatch.bridge.jetstream import server_connection
from shardwatch.bridge.jetstream.access import Access
from shardwatch.bridge.jetstream.answers import Answers
from shardwatch.bridge.jetstream.broker import Broker
from shardwatch.bridge.jetstream.server_connection import AwayError, ServerConnection
from shardwatch.bridge.jetstream.unused_consumers import UnusedConsumers
from shardwatch.bridge.protocol.bodies import NOTHING, Message


class Server:
    """nats-py's client of a server on which the stream is gone; it goes away as soon as it has made a consumer."""

    max_payload = 1 << 20

    def __init__(self) -> None:
        self.is_closed = False

    def jetstream(self, timeout: float) -> Server:
        return self

    async def stream_info(self, name: str) -> None:
        raise nats.js.errors.NotFoundError(code=404, err_code=10059, description="stream not found")

    async def purge_stream(self, name: str, **which: Any) -> None:
        await self.stream_info(name)

    async def add_consumer(self, stream: str, config: Any) -> Any:
        return SimpleNamespace(name=config.name, num_pending=0)

    def new_inbox(self) -> str:
        return "_INBOX.a"

    async def subscribe(self, subject: str, **how: Any) -> None:
        raise nats.errors.ConnectionClosedError

    async def publish(self, subject: str, **what: Any) -> None:
        raise nats.errors.ConnectionClosedError

    async def close(self) -> None:
        self.is_closed = True


def opened(server: Server) -> ServerConnection:
    return ServerConnection(cast("Client", server), "nats://h:1", server_connection._Forbidden(), asyncio.Event())


def broker(answers: Answers | None = None) -> Broker:
    return Broker(opened(Server()), cast("Answers", answers), UnusedConsumers())


async def test_a_stream_that_is_removed_while_it_is_used_is_waited_for() -> None:
    """`ship` of batches asks for its bounds every 10 s, and a worker whenever it takes a partition."""
    for asked in (broker().bounds("s"), broker().purge("s", "p.>", 9)):
        with pytest.raises(AwayError, match="the stream s is gone") as caught:
            await asked
        assert caught.value.retryable


async def test_a_connection_that_ends_between_two_questions_is_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Right after a consumer was made, and right after it was opened: it is closed then, since nobody has it."""
    with pytest.raises(AwayError):
        async with broker().reading("s", "p.>", 0):
            pass
    server = Server()

    async def open_it(access: Access, name: str) -> ServerConnection:
        return opened(server)

    monkeypatch.setattr(ServerConnection, "opened", open_it)
    with pytest.raises(AwayError):
        await Broker.connected(Access(("nats://h:1",), None))
    assert server.is_closed


async def test_a_full_stream_has_a_remedy() -> None:
    class Full:
        async def to(self, asked: Any) -> list[bytes]:
            return [b'{"error": {"code": 503, "err_code": 10077, "description": "maximum bytes exceeded"}}']

    with pytest.raises(AwayError, match="maximum bytes exceeded") as caught:
        await broker(cast("Answers", Full())).put("s", [(Message("p.a", NOTHING, b""), 0)])
    assert "max_bytes" in caught.value.hint and caught.value.retryable
