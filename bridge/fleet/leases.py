"""The leases of a group, as they lie in a bucket of JetStream's key-value store, and what one worker has of them.

Who may have what, `sharing` decides. Here it is written and read.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Collection, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Final

import msgspec

from ..jetstream.broker import Broker
from ..jetstream.reader import StreamMessage, StreamReader
from ..protocol.bodies import NOTHING, Message
from .sharing import Share, Write

#: Seconds after which a lease that nobody renews goes from the stream of leases. Far above what a lease may last.
_KEPT_S: Final = 86_400.0


class _LeaseBody(msgspec.Struct):
    worker: str
    lease_s: float
    #: For people.
    name: str = ""


_lease_body = msgspec.json.Decoder(_LeaseBody)


class PartitionLeases:
    """Of one worker, over one connection after the other.

    Args:
        stream: whose partitions are shared.
        name: of the worker, for people; a random part is added.
        away_s: seconds without a sign of life after which others take its partitions.
    """

    def __init__(self, stream: str, group: str, name: str, away_s: float) -> None:
        self._stream = f"KV_{stream}-groups"
        self._bucket = f"$KV.{stream}-groups"
        self._group = group
        self._name = name
        self._away_s = away_s
        self._share = Share(os.urandom(8).hex(), away_s)
        #: Sequence of the last sign of life.
        self._presence = 0

    # -- what this worker has

    def holds(self, partition: int) -> bool:
        return self._share.holds(partition, time.monotonic())

    def may_hand_out(self, partition: int) -> bool:
        return self._share.may_hand_out(partition, time.monotonic())

    def held(self) -> list[int]:
        return self._share.held(time.monotonic())

    def has_all(self, partitions: int) -> bool:
        """Whether there is nothing that this worker could take."""
        return self._share.has_all(partitions, time.monotonic())

    # -- the bucket

    async def make(self, broker: Broker, replicas: int) -> None:
        """Makes the bucket, on so many servers, if there is none."""
        await broker.make_leases(self._stream, f"{self._bucket}.>", replicas, _KEPT_S)

    def reading(self, broker: Broker) -> AbstractAsyncContextManager[StreamReader]:
        """Of what is in the bucket, and of what comes."""
        return broker.reading(self._stream, f"{self._bucket}.{self._group}.>", None)

    def saw(self, messages: Sequence[StreamMessage]) -> None:
        now = time.monotonic()
        for message in messages:
            body = _decoded(message.body)
            key = message.subject.split(".")[3:]
            if key[0] == "worker":
                self._share.saw_worker(key[-1], message.sequence, body.lease_s, now)
                continue
            with contextlib.suppress(ValueError):  # of somebody else
                self._share.saw(int(key[0]), message.sequence, body.worker, body.lease_s, now)

    async def turn(self, broker: Broker, partitions: int, busy: Collection[int], silent: Collection[int]) -> None:
        """Renews, takes and gives back what `Share.plan` says."""
        await self._write(broker, self._share.plan(partitions, time.monotonic(), busy, silent))

    async def give_back(self, broker: Broker) -> None:
        """Everything, and says that this worker is gone."""
        await self._write(broker, self._share.goodbye(time.monotonic()))
        await self._say(broker, 0.0)

    async def say_alive(self, broker: Broker) -> None:
        """That this worker is there, and for how long that holds."""
        await self._say(broker, self._away_s)

    async def _say(self, broker: Broker, lease_s: float) -> None:
        body = msgspec.json.encode(_LeaseBody(self._share.worker, lease_s, self._name))
        message = Message(self._subject(f"worker.{self._share.worker}"), NOTHING, body)
        (revision,) = await broker.put(self._stream, [(message, self._presence)])
        if revision is None:  # an answer was lost
            found = await broker.last(self._stream, message.subject)
            self._presence = 0 if found is None else found[0]
        else:
            self._presence = revision

    async def _write(self, broker: Broker, writes: Sequence[Write]) -> None:
        if not writes:
            return
        sent = time.monotonic()
        for write, revision in zip(writes, await broker.put(self._stream, [self._lease(w) for w in writes]), strict=True):
            if revision is not None:
                self._share.wrote(write, revision, sent)
                continue
            self._share.refused(write.partition)
            found = await broker.last(self._stream, self._subject(write.partition))
            revision, body = found or (0, b"")
            self.saw([StreamMessage(revision, self._subject(write.partition), body)])

    def _lease(self, write: Write) -> tuple[Message, int]:
        body = _LeaseBody(write.worker, self._away_s, self._name if write.worker else "")
        return Message(self._subject(write.partition), NOTHING, msgspec.json.encode(body)), write.revision

    def _subject(self, key: int | str) -> str:
        return f"{self._bucket}.{self._group}.{key}"


def _decoded(body: bytes) -> _LeaseBody:
    """Nobody has what is not there, or what was removed with other tools: these leave a message without a body."""
    try:
        return _lease_body.decode(body)
    except msgspec.MsgspecError:
        return _LeaseBody("", 0.0)
