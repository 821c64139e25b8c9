"""The acknowledgement that a loop over batches owes: it goes with the request for the next batch. Pure: made of flows
(`conversation`).

So a batch costs the service one request in place of two, and one commit less. A service that does not know such requests is
sent the acknowledgement by itself, before the next batch is asked for.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final, TypeAlias

import msgspec
from msgspec import UNSET, UnsetType

from shardwatch.shard.contract.errors import ShardwatchError

from ..protocol.codes import TOO_LATE
from . import replies, requests
from .absence import logger
from .conversation import Ask, Flow
from .replies import RequestError

#: Seconds for which an ack of a single pull, or at the end of a loop, tries again while the service is away.
ACK_PATIENCE_S: Final = 5.0

#: What a request acknowledges: a batch; None: nothing, but its reply tells whether it could; unset: nothing.
Acknowledged: TypeAlias = str | UnsetType | None


class _EndedReply(msgspec.Struct):
    """The reply to an `ack` that begins what was pulled ahead."""

    begun: str | UnsetType | None = UNSET


_ended = msgspec.msgpack.Decoder(_EndedReply)


class OwedAck:
    """Of one batch at most.

    Args:
        group: of all batches of the loop.
        patience_s: seconds for which a service that is away is tried again, where the acknowledgement goes by itself.
        is_ours: whether this is the process in which the loop began. A child made with fork never asks for the next batch.
    """

    def __init__(self, group: str, patience_s: float, is_ours: Callable[[], bool] = lambda: True) -> None:
        self._group = group
        self._patience_s = patience_s
        self._is_ours = is_ours
        #: What is owed; None: nothing.
        self.batch: str | None = None
        #: Whether the service knows requests that acknowledge; None: nobody has wanted to know.
        self._is_known: bool | None = None
        self._over = False

    def take_over(self, batch: str) -> bool:
        """Owes the acknowledgement of this batch from now on. False if it can't: it owes another one, the loop is over, or it is
        that of another process."""
        if self._over or self.batch is not None or not self._is_ours():
            return False
        self.batch = batch
        self._is_known = bool(self._is_known)
        return True

    def offer(self) -> Flow[Acknowledged]:
        """What the next request acknowledges. Raises ShardwatchError if it had to be acknowledged by itself, and that failed."""
        if self.batch is not None and not self._is_known:
            yield from self.send()
        if self.batch is not None:
            return self.batch
        return None if self._is_known is False else UNSET

    def send(self) -> Flow[None]:
        """Acknowledges by itself what is owed. Raises ShardwatchError."""
        if self.batch is not None:
            yield from self._send(self.batch, self._patience_s)
            self.batch = None

    def told(self, offered: Acknowledged, acked: bool | UnsetType | None) -> None:
        """A request with what was offered was answered, and this is what its reply says of it."""
        if offered is UNSET:
            return
        self._is_known = acked is not UNSET
        if self._is_known and offered is not None and offered == self.batch:
            self.batch = None
            if not acked:
                self._warn("its lease was over")

    def ended(self, body: bytes) -> str | None:
        """A request that acknowledges what was offered, and begins what was pulled ahead, was answered: what has begun."""
        try:
            begun = _ended.decode(replies.checked(body)).begun
        except RequestError as error:
            if error.code in TOO_LATE:
                self._warn(error.message)
                self.batch = None
            return None
        self.batch = None
        self._is_known = begun is not UNSET
        return None if begun is UNSET else begun

    def leave(self, patience_s: float = math.inf) -> Flow[None]:
        """The loop is over: what is owed goes by itself. If that is impossible, the batch is handed out again.

        `patience_s`: seconds for which a service that is away is tried again; ACK_PATIENCE_S at most.
        """
        self._over = True
        batch, self.batch = self.batch, None
        if batch is not None:
            try:
                yield from self._send(batch, min(patience_s, ACK_PATIENCE_S))
            except ShardwatchError as error:
                self._warn(error.message)

    def _send(self, batch: str, patience_s: float) -> Flow[None]:
        try:
            yield Ask(requests.ack(self._group, batch), patience_s)
        except RequestError as error:
            if error.code not in TOO_LATE:
                raise
            self._warn(error.message)

    def _warn(self, why: str) -> None:
        logger.warning("A batch of group %s was not acknowledged, it is handed out again: %s", self._group, why)
