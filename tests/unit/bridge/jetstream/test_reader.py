"""What is handed on of a stream, and when, with a server that says what it is told to."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import pytest
from cli_process import GUARD_S

from shardwatch.bridge.jetstream.reader import Lost, StreamReader

pytestmark = pytest.mark.asyncio


class Server:
    """As a nats-server answers questions for messages."""

    def __init__(self) -> None:
        #: How many messages were asked for, each time.
        self.asked: list[int] = []
        self.was_asked = asyncio.Event()
        self._answer: Callable[[Any], Awaitable[None]] | None = None
        self._sent = 0

    def new_inbox(self) -> str:
        return "inbox"

    async def subscribe(self, subject: str, cb: Callable[[Any], Awaitable[None]]) -> None:
        self._answer = cb

    async def publish(self, subject: str, body: bytes, reply: str) -> None:
        self.asked.append(json.loads(body)["batch"])
        self.was_asked.set()

    async def send(self, pending: int) -> None:
        """A message, after which it has so many, as it says."""
        self._sent += 1
        about = SimpleNamespace(sequence=SimpleNamespace(consumer=self._sent, stream=10 * self._sent), num_pending=pending)
        await self.answer(SimpleNamespace(headers=None, metadata=about, subject="s", data=b"x"))

    async def say(self, status: str) -> None:
        await self.answer(SimpleNamespace(headers={"Status": status, "Description": f"it is {status}"}))

    async def answer(self, message: Any) -> None:
        assert self._answer is not None
        await self._answer(message)


async def reader_of(server: Server, pending: int = 0) -> StreamReader:
    reader = StreamReader(server, "question", pending)  # type: ignore[arg-type]
    await reader.listen()
    return reader


async def taken(reader: StreamReader) -> list[int]:
    async with asyncio.timeout(GUARD_S):
        return [message.sequence for message in await reader.take(1000, 20.0)]


async def test_a_message_is_handed_on_although_the_server_is_wrong_about_what_follows() -> None:
    """Messages that it counts may be replaced before they are sent, and then nothing more is said until the question is over."""
    server = Server()
    reader = await reader_of(server)
    taking = asyncio.ensure_future(taken(reader))
    await server.was_asked.wait()
    await server.send(pending=5)
    assert await taking == [10]
    assert not reader.is_drained
    await server.say("408")
    assert reader.is_drained


async def test_one_message_is_waited_for_and_then_all_that_are_there() -> None:
    """So the question for many never lasts long, and its end tells what is not there any more."""
    server = Server()
    reader = await reader_of(server)
    taking = asyncio.ensure_future(taken(reader))
    await server.was_asked.wait()
    server.was_asked.clear()
    await server.send(pending=2)
    await server.was_asked.wait()
    await server.send(pending=1)
    await server.send(pending=0)
    found = await taking
    while len(found) < 3:
        found += await taken(reader)
    assert found == [10, 20, 30]
    assert server.asked == [1, 1000]
    assert reader.is_drained


async def test_what_is_left_out_is_noticed() -> None:
    server = Server()
    reader = await reader_of(server, pending=2)
    await server.send(pending=1)
    server._sent += 1
    await server.send(pending=0)
    with pytest.raises(Lost, match="left out"):
        await taken(reader)
