"""What a pull hands out: the events, and the lease that they are held on. Pure: ending a lease is a flow (`conversation`)."""

from __future__ import annotations

import contextlib
from typing import NamedTuple

import msgspec
from msgspec import UNSET, UnsetType

from shardwatch.shard.contract.errors import ShardwatchError

from ..protocol.codes import TOO_LATE
from ..protocol.messages import Event, Fresh, exact
from . import requests
from .absence import logger
from .conversation import Ask, Flow
from .owed import ACK_PATIENCE_S, OwedAck
from .replies import RequestError
from .requests import Request


class Pulled(msgspec.Struct):
    """The batch of a reply, as docs/protocol.md has it."""

    id: str | None
    group: str
    attempt: int
    lease_ms: int
    events: list[Event | Fresh]
    more: bool
    settled: bool = False

    @property
    def alone(self) -> Fresh | None:
        """The notice to drop the mirror. A batch with it has no other events."""
        first = self.events[0] if len(self.events) == 1 else None
        return first if isinstance(first, Fresh) else None


class PullReply(msgspec.Struct):
    """The reply to a pull."""

    batch: Pulled | None
    created: bool = False
    existed: bool = False


class Glimpse(msgspec.Struct):
    """What of a batch is needed before its events are."""

    id: str
    group: str
    more: bool


class PullGlance(msgspec.Struct):
    """A reply to a pull, without the events. Also of an error."""

    batch: Glimpse | None = None
    #: What became of the batch that was acknowledged with it; unset: the service does not know such requests.
    acked: bool | UnsetType | None = UNSET


_decoder = msgspec.msgpack.Decoder(PullReply)
_glanced = msgspec.msgpack.Decoder(PullGlance)


class Handed(NamedTuple):
    """A batch as it came, with its lease."""

    pulled: Pulled
    lease: Lease
    #: Whether the pull made the group, or found it.
    created: bool
    existed: bool


def decode_pull(body: bytes) -> PullReply:
    """The reply, with exact paths in its events."""
    reply = _decoder.decode(body)
    if reply.batch is not None and b"_b64" in body:
        for event in reply.batch.events:
            if isinstance(event, Event):
                exact(event)
    return reply


def glance(body: bytes) -> PullGlance:
    """The reply to a pull that is no peek, without the events: they take longer."""
    return _glanced.decode(body)


class ArrivedReply(NamedTuple):
    """A reply to a pull, and its batch, if there is one."""

    body: bytes
    batch: Glimpse | None
    #: What `decode_pull` makes of it, if that was done already.
    reply: PullReply | None = None

    def decoded(self) -> PullReply:
        """The reply with its events."""
        return decode_pull(self.body) if self.reply is None else self.reply


def give_back(batch: Glimpse) -> Flow[None]:
    """Gives back a batch that nobody has seen. If that is impossible, its lease ends by itself."""
    with contextlib.suppress(ShardwatchError):
        yield Ask(requests.release(batch.group, batch.id, worker=""))


def handed(reply: PullReply, *, follows: bool = False, owed: OwedAck | None = None) -> Handed | None:
    """What a pull handed out; None where nothing was there. For `follows` and `owed` see Lease."""
    pulled = reply.batch
    return None if pulled is None else Handed(pulled, Lease(pulled, follows=follows, owed=owed), reply.created, reply.existed)


class Lease:
    """A batch from when it was handed out until its lease ends: it is acknowledged, nacked, or given back.

    Args:
        follows: it belongs to a loop without end. Ending the lease then waits for a service that is away, and coming too late is
            not an error, because the batch is handed out again.
        owed: takes acknowledgements over that nobody waits for; None: it belongs to no loop.
    """

    __slots__ = ("_ended", "_follows", "_id", "_owed", "group")

    def __init__(self, pulled: Pulled, *, follows: bool, owed: OwedAck | None = None) -> None:
        self._follows = follows
        self._owed = owed
        self._id = pulled.id
        self._ended = False
        self.group = pulled.group

    def ack(self, *, wait: bool = True) -> Flow[bool]:
        """Whether it came in time. If nobody waits for that, it may go with the next request of the loop."""
        if not wait and self._owed is not None and self._id is not None and self._owed.take_over(self._id):
            self._ended = True
            return True
        return (yield from self._end(requests.ack(self.group, self._id), ACK_PATIENCE_S))

    def nack(self, reason: str, retry_s: float | None, output: str = "") -> Flow[bool]:
        """Whether it came in time."""
        return (yield from self._end(requests.nack(self.group, self._id, reason, retry_s, output), 0.0))

    def extend(self, lease_s: float | None) -> Flow[None]:
        yield Ask(requests.extend(self.group, self._id, lease_s), self._patience_s(0.0))

    def release(self) -> Flow[None]:
        """Of a peek, which has no lease, nothing is given back."""
        if self._id is not None:
            yield Ask(requests.release(self.group, self._id, worker=""))
        self._ended = True

    def leave(self) -> Flow[None]:
        """Gives it back if it is on lease still. If that is impossible, the lease ends by itself."""
        if not self._ended:
            with contextlib.suppress(ShardwatchError):
                yield from self.release()

    def _end(self, request: Request, patience_s: float) -> Flow[bool]:
        try:
            yield Ask(request, self._patience_s(patience_s))
        except RequestError as error:
            if not self._follows or self._ended or error.code not in TOO_LATE:
                raise
            logger.warning("A batch of group %s was answered too late, it is handed out again: %s", self.group, error.message)
            self._ended = True
            return False
        self._ended = True
        return True

    def _patience_s(self, otherwise: float) -> float:
        return requests.patience(None) if self._follows else otherwise


class BatchData:
    """What both kinds of batch hold."""

    __slots__ = (
        "_lease", "attempt", "created", "events", "existed", "fresh", "group", "id", "lease_s", "more", "settled",
    )  # fmt: skip

    def __init__(self, handed: Handed) -> None:
        pulled = handed.pulled
        self._lease = handed.lease
        #: None of a peek: then there is nothing to ack.
        self.id = pulled.id
        self.group = pulled.group
        #: 1 at the first time.
        self.attempt = pulled.attempt
        #: Seconds, counted from the pull, within which it must be acknowledged or extended.
        self.lease_s = pulled.lease_ms / 1000
        #: True: more was pending when the batch was made.
        self.more = pulled.more
        #: True: batches were held back, and with this one the group has received everything that changed in the meantime.
        self.settled = pulled.settled
        #: Whether the pull made the group, or found it.
        self.created = handed.created
        self.existed = handed.existed
        #: Not None: drop your mirror, because every existing file follows as `created`. Then there are no events.
        self.fresh: Fresh | None = pulled.alone
        self.events: list[Event] = [] if self.fresh is not None else pulled.events  # type: ignore[assignment]

    def __len__(self) -> int:
        return len(self.events)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id} of {self.group!r}: {'fresh' if self.fresh else len(self.events)}>"
