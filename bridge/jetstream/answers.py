"""Asks many things at once, and gathers what JetStream answers to each.

nats-py has this for messages, too (`publish_async`), but there the answer to a message that is refused never comes (2.16: the
callback raises the error, in place of passing it on). Its questions go one by one, and take several times as long.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
from nats.aio.client import Client
from nats.aio.msg import Msg


class NotDone(msgspec.Struct):
    """Why JetStream has not done what it was asked for."""

    err_code: int = 0
    description: str = "it does not answer"


class _Taken(msgspec.Struct):
    seq: int = 0
    error: NotDone | None = None


class _Done(msgspec.Struct):
    success: bool = False
    error: NotDone | None = None


class _StoredMessage(msgspec.Struct):
    seq: int
    data: bytes = b""


class _Found(msgspec.Struct):
    message: _StoredMessage | None = None
    error: NotDone | None = None


class Asked(NamedTuple):
    """A message, or a question."""

    subject: str
    body: bytes
    headers: dict[str, Any] | None = None


_taken = msgspec.json.Decoder(_Taken)
_done = msgspec.json.Decoder(_Done)
_found = msgspec.json.Decoder(_Found)


def sequence_of(answer: bytes) -> int | NotDone:
    """Of a message that was published."""
    try:
        taken = _taken.decode(answer)
    except msgspec.MsgspecError:  # nobody listens: an empty message
        return NotDone()
    return taken.seq if taken.error is None else taken.error


def refusal_of(answer: bytes) -> NotDone | None:
    """Of something that was to be done; None: it is done."""
    try:
        done = _done.decode(answer)
    except msgspec.MsgspecError:
        return NotDone()
    return None if done.success else done.error or NotDone()


def message_of(answer: bytes) -> tuple[int, bytes] | NotDone:
    """Sequence and body of a message that was asked for."""
    try:
        found = _found.decode(answer)
    except msgspec.MsgspecError:
        return NotDone()
    return (found.message.seq, found.message.data) if found.message is not None else found.error or NotDone()


class Answers:
    """For one connection. Made with `listening`."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._inbox = client.new_inbox()
        self._waiting: dict[str, asyncio.Future[bytes]] = {}
        self._number = 0

    @classmethod
    async def listening(cls, client: Client) -> Answers:
        answers = cls(client)
        await client.subscribe(f"{answers._inbox}.*", cb=answers._came)
        return answers

    async def to(self, asked: Sequence[Asked]) -> list[bytes]:
        """What is answered to each. Waits for all of them, also where they never come: cancel it then."""
        numbers: list[str] = []
        loop = asyncio.get_running_loop()
        try:
            for one in asked:
                self._number += 1
                number = f"{self._inbox}.{self._number}"
                numbers.append(number)
                self._waiting[number] = loop.create_future()
                await self._client.publish(one.subject, one.body, reply=number, headers=one.headers)
            return [await self._waiting[number] for number in numbers]
        finally:
            for number in numbers:
                self._waiting.pop(number).cancel()

    async def _came(self, message: Msg) -> None:
        waiting = self._waiting.get(message.subject)
        if waiting is not None and not waiting.done():
            waiting.set_result(message.data)
