"""What is handed on of a stream, and when, with a server that says what it is told to."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from cli_process import GUARD_S

from shardwatch.bridge.jetstream import reader as reader_module
from shardwatch.bridge.jetstream.reader import Lost, StreamReader

pytestmark = pytest.mark.asyncio


class Server:
    """As a nats-server answers questions for messages."""

    def __init__(self) -> None:
        #: How many messages were asked for, each time.
        self.asked: list[int] = []
        self.was_asked = asyncio.Event()
        self._answer: Callable[[Any], Awaitable[None]] | None = None
        self._reply = ""
        self._sent = 0

    def new_inbox(self) -> str:
        return "inbox"

    async def subscribe(self, subject: str, cb: Callable[[Any], Awaitable[None]]) -> None:
        self._answer = cb

    async def publish(self, subject: str, body: bytes, reply: str) -> None:
        self.asked.append(json.loads(body)["batch"])
        self._reply = reply
        self.was_asked.set()

    async def send(self, pending: int) -> None:
        """A message, after which it has so many, as it says."""
        self._sent += 1
        about = SimpleNamespace(
            sequence=SimpleNamespace(consumer=self._sent, stream=10 * self._sent), num_pending=pending,
            timestamp=datetime.fromtimestamp(self._sent, UTC),
        )  # fmt: skip
        await self.answer(SimpleNamespace(headers=None, metadata=about, subject="s", data=b"x"))

    async def say_over(self, question: int | None = None) -> None:
        """The time of a question is over: of the last one."""
        subject = self._reply if question is None else f"inbox.{question}"
        await self.answer(SimpleNamespace(headers={"Status": "408"}, subject=subject))

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
    await server.say_over()
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


async def test_a_question_that_the_server_forgets_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """nats-server 2.9.10 says nothing of a question whose time ends as a message comes."""
    monkeypatch.setattr(reader_module, "_GRACE_S", 0.0)
    server = Server()
    reader = await reader_of(server)
    assert await reader.take(1000, 0.001) == []
    taking = asyncio.ensure_future(taken(reader))
    while len(server.asked) < 2:
        await asyncio.sleep(0)
    await server.send(pending=1)
    await server.say_over(question=1)
    assert await taking == [10]
    assert not reader.is_drained, "what is said of an earlier question is of before"
