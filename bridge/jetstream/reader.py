"""Reads a part of a stream in order, from a sequence on, as fast as it comes.

Nothing is acknowledged: whoever reads keeps the position. So all that a reader has at the server is a consumer, which is removed
when the reader is done, or by the server itself if nobody is left to do so. (`fetch` of nats-py is not used, since it holds a
message back until its time is over.)
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import deque
from typing import Final, NamedTuple

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

#: Seconds without a question after which a server removes a consumer.
UNUSED_S: Final = 300.0
#: Seconds for which what is there may be on its way; it may also have been removed, or replaced by what comes later.
_THERE_S: Final = 1.0
#: Seconds for which a message waits for the next one, if the server has said that there are more.
_LINGER_S: Final = 0.05
#: Seconds after the end of a question's time within which the server says that it is over. nats-server 2.9.10 says nothing if a
#: message comes at that very moment (within some milliseconds), and keeps the message until the next question, although others
#: may be waiting: so this is as long as such a message is held up. Asking again too early does no harm.
_GRACE_S: Final = 0.1
#: The same of a question for what is there, whose end tells that it is not there any more.
_THERE_GRACE_S: Final = 1.0


class StreamMessage(NamedTuple):
    """A message of a stream."""

    sequence: int
    subject: str
    body: bytes
    #: When the server took it, in seconds since 1970.
    at: float = 0.0
    #: Whether there was none after it, when it was sent.
    is_newest: bool = False


class Lost(Exception):
    """The consumer is gone, or something was left out."""


class StreamReader:
    """For one consumer, and one task at a time. Made by `Broker.reading`, which says what may be raised."""

    def __init__(self, client: Client, question: str, pending: int) -> None:
        self._client = client
        self._question = question
        self._subscription: Subscription | None = None
        self._inbox = client.new_inbox()
        self._queue: deque[StreamMessage] = deque()
        self._came = asyncio.Event()
        #: Messages that were asked for, and may come yet.
        self._wanted = 0
        self._questions = 0
        #: When the last question is over, even if the server does not say so: time of the event loop.
        self._over_at = 0.0
        self._number = 0
        self._lost = ""
        #: Messages that the server had beside, when the last one came. It may count some that were replaced since.
        self._pending = pending

    async def listen(self) -> None:
        self._subscription = await self._client.subscribe(f"{self._inbox}.*", cb=self._answered)

    async def stop(self) -> None:
        """Hears no more. Raises what nats-py raises where the connection is lost."""
        if self._subscription is not None:
            await self._subscription.unsubscribe()

    @property
    def is_drained(self) -> bool:
        """Whether everything that the stream had at some moment was taken."""
        return not self._pending and not self._queue

    async def take(self, most: int, wait_s: float) -> list[StreamMessage]:
        """What comes next, up to `most`; nothing if nothing came within `wait_s` (0: only what is there), or sooner, if the
        server was wrong about what it has.

        Returns as soon as the server has no more, so a message that comes alone is not held back. Raises Lost.
        """
        if wait_s == 0:
            most = min(most, self._pending + len(self._queue))
        while not self._lost and len(self._queue) < most and (self._pending or not self._queue):
            self._came.clear()
            if self._pending and not self._wanted:
                await self._ask(most, _THERE_S, _THERE_GRACE_S)
            elif not self._wanted:  # the first that comes says how many there are
                await self._ask(1, wait_s or _THERE_S, _GRACE_S)
            await self._something_came()
            if not self._came.is_set() or not (self._wanted or self._queue):
                break
        if self._lost:
            raise Lost(self._lost)
        return [self._queue.popleft() for _ in range(min(most, len(self._queue)))]

    async def _something_came(self) -> None:
        """Returns when something was answered, but does not hold back for long what is there, and waits for no question that is
        over.
        """
        left_s = _LINGER_S if self._queue else max(0.0, self._over_at - asyncio.get_running_loop().time())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(left_s):
                await self._came.wait()
        if not self._came.is_set() and not self._queue:
            self._wanted = 0

    async def _ask(self, most: int, wait_s: float, grace_s: float) -> None:
        self._wanted = most
        self._questions += 1
        self._over_at = asyncio.get_running_loop().time() + wait_s + grace_s
        question = json.dumps({"batch": most, "expires": int(wait_s * 1e9)}).encode()
        await self._client.publish(self._question, question, reply=f"{self._inbox}.{self._questions}")

    async def _answered(self, message: Msg) -> None:
        status = (message.headers or {}).get("Status")
        if status is None:
            self._message(message)
        elif status == "408":  # the time is over: what is pending still, was removed
            if message.subject == f"{self._inbox}.{self._questions}":
                self._wanted = self._pending = 0
        else:
            self._lost = (message.headers or {}).get("Description") or f"status {status}"
        self._came.set()

    def _message(self, message: Msg) -> None:
        about = message.metadata
        self._number += 1
        if about.sequence.consumer != self._number:
            self._lost = "a message was left out"
            return
        self._wanted = max(0, self._wanted - 1)
        self._pending = about.num_pending
        self._queue.append(
            StreamMessage(
                about.sequence.stream, message.subject, message.data, about.timestamp.timestamp(), not about.num_pending
            )
        )
