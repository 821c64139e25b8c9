"""Publishes many messages at once, and gathers what JetStream answers to each.

nats-py has this too (`publish_async`), but there the answer to a message that is refused never comes (2.16: the callback raises
the error, in place of passing it on).
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
from nats.aio.client import Client
from nats.aio.msg import Msg

from ..protocol.bodies import Message


class NotTaken(msgspec.Struct):
    """Why JetStream has not taken a message."""

    err_code: int = 0
    description: str = "it does not answer"


class _Answer(msgspec.Struct):
    seq: int = 0
    error: NotTaken | None = None


class Posted(NamedTuple):
    """A message, and what is asked of JetStream beside."""

    message: Message
    headers: dict[str, Any]


_decoder = msgspec.json.Decoder(_Answer)


class Answers:
    """For one connection. Made with `listening`."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._inbox = client.new_inbox()
        self._waiting: dict[str, asyncio.Future[int | NotTaken]] = {}
        self._number = 0

    @classmethod
    async def listening(cls, client: Client) -> Answers:
        answers = cls(client)
        await client.subscribe(f"{answers._inbox}.*", cb=answers._came)
        return answers

    async def publish(self, outgoing: Sequence[Posted]) -> list[int | NotTaken]:
        """The sequence of each message, or why it has none. Waits for all of them, also where they never come: cancel it then."""
        numbers: list[str] = []
        loop = asyncio.get_running_loop()
        try:
            for message, headers in outgoing:
                self._number += 1
                number = f"{self._inbox}.{self._number}"
                numbers.append(number)
                self._waiting[number] = loop.create_future()
                await self._client.publish(message.subject, message.body, reply=number, headers=headers)
            return [await self._waiting[number] for number in numbers]
        finally:
            for number in numbers:
                self._waiting.pop(number).cancel()

    async def _came(self, message: Msg) -> None:
        waiting = self._waiting.get(message.subject)
        if waiting is None or waiting.done():
            return
        try:
            answer = _decoder.decode(message.data)
        except msgspec.MsgspecError:  # nobody listens: an empty message
            answer = _Answer(error=NotTaken())
        waiting.set_result(answer.seq if answer.error is None else answer.error)
