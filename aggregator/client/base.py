"""What both clients share: addresses, requests as bytes, replies as values. Used by `blocking` and `asynchronous` only."""

from __future__ import annotations

import logging
import math
import os
import random
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec

from shardwatch.shard.contract.errors import NotRunningError, ServiceError, ServiceTimeoutError, UsageError
from shardwatch.shard.contract.input import arguments
from shardwatch.shard.contract.state.layout import Layout

from ..protocol.messages import NAME_CHARS_MAX, PROTOCOL_VERSION, REQUEST_BYTES_MAX, Event, Fresh, exact

logger = logging.getLogger("shardwatch.aggregator.client")

#: Seconds that an answer may take beyond the wait that was asked for.
REPLY_S: Final = 10.0
#: First and longest pause between two attempts, seconds; each is jittered by half.
PAUSE_S: Final = 0.05
PAUSE_S_MAX: Final = 2.0
#: Longest wait of one request of `batches`: the next one is sent at once.
WAIT_S_MAX: Final = 30.0
#: Seconds for which a service is away before the log says that it is waited for: a program that died is back sooner.
TOLD_S: Final = 1.0
#: Largest values of a request's fields, as in docs/protocol.md: what is over them is refused before it is sent.
SECONDS_MAX: Final = 86_400.0
NUMBER_MAX: Final = 2**31 - 1


class Pulled(msgspec.Struct):
    id: str | None
    group: str
    attempt: int
    lease_ms: int
    events: list[Event | Fresh]
    more: bool
    settled: bool = False


class _Reply(msgspec.Struct):
    """A reply of any op; `fields` decodes it again where more is needed."""

    id: int | None = None
    ok: bool = False
    error: str = ""
    message: str = ""
    remedy: str = ""


class PullReply(msgspec.Struct):
    batch: Pulled | None
    created: bool = False
    existed: bool = False
    why: str = ""


_reply = msgspec.msgpack.Decoder(_Reply)
decode_pull = msgspec.msgpack.Decoder(PullReply).decode
decode_any: Any = msgspec.msgpack.Decoder().decode
_encode = msgspec.msgpack.Encoder().encode

#: Errors that pass by themselves.
RETRYABLE: Final = frozenset({"busy", "stopping", "storage"})
#: What `batches` goes on after: beside those, a group that was dropped while its pull waited. The next pull makes it anew.
PASSING: Final = RETRYABLE | {"unknown_group"}


class RequestError(ServiceError):
    """The service refused a request. `code` is stable (docs/protocol.md); `fields` is the whole reply."""

    def __init__(self, code: str, message: str, hint: str, fields: dict[str, Any]) -> None:
        super().__init__(message, hint=hint, retryable=code in RETRYABLE)
        self.code = code
        self.fields = fields


class BatchData:
    """What both kinds of batch hold."""

    __slots__ = (
        "_client", "_done", "_follows", "attempt", "created", "events", "existed", "fresh", "group", "id", "lease_s",
        "more", "settled",
    )  # fmt: skip

    def __init__(self, client: Any, reply: PullReply, body: bytes, *, follows: bool = False) -> None:
        """`follows`: it is one of a loop that goes on for ever. What settles it then waits for a service that is away, and that
        it came too late is no error, since the batch is handed out again."""
        pulled = reply.batch
        assert pulled is not None
        self._client = client
        self._done = False
        self._follows = follows
        #: None of a peek, and of a notice that `batches` makes itself: then there is nothing to ack.
        self.id = pulled.id
        self.group = pulled.group
        #: 1 at the first time.
        self.attempt = pulled.attempt
        #: Seconds from the pull on within which it must be acked or extended.
        self.lease_s = pulled.lease_ms / 1000
        #: True: more was pending when the batch was made.
        self.more = pulled.more
        #: True: batches were held back, and with this one the group has been handed all that changed meanwhile.
        self.settled = pulled.settled
        #: Whether the pull made the group, or found it.
        self.created = reply.created
        self.existed = reply.existed
        #: Not None: drop your mirror, every present file follows as `created`. There are no events then.
        self.fresh: Fresh | None = None
        self.events: list[Event] = []
        if len(pulled.events) == 1 and isinstance(pulled.events[0], Fresh):
            self.fresh = pulled.events[0]
        else:
            self.events = pulled.events  # type: ignore[assignment]
            if b"_b64" in body:
                for event in self.events:
                    exact(event)

    @property
    def is_notice(self) -> bool:
        """Whether `batches` made it itself, since the group was lost: to be heeded like any `fresh`; nobody waits for its ack."""
        return self.id is None and self.fresh is not None and self.lease_s == 0

    def _patience_s(self, otherwise: float) -> float | None:
        return None if self._follows else otherwise

    def _came_too_late(self, error: RequestError) -> bool:
        """Whether a loop goes on after this refusal: the lease is over, or the group is gone with its state directory."""
        if not self._follows or self._done or error.code not in ("lease_expired", "unknown_group"):
            return False
        logger.warning("A batch of group %s was settled too late, it is handed out again: %s", self.group, error.message)
        self._done = True
        return True

    def __len__(self) -> int:
        return len(self.events)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id} of {self.group!r}: {'fresh' if self.fresh else len(self.events)}>"


class Absence:
    """Tells the log, once each, that a service is waited for and that it is back."""

    def __init__(self, where: str) -> None:
        self._where = where
        self._since: float | None = None
        self._told = False

    def noted(self, reason: object) -> None:
        """It is away, or refuses for now."""
        now = time.monotonic()
        if self._since is None:
            self._since = now
        if not self._told and now - self._since >= TOLD_S:
            self._told = True
            logger.warning("The service at %s is waited for: %s", self._where, reason)

    def over(self) -> None:
        """It has answered."""
        if self._told:
            logger.warning("The service at %s is back", self._where)
        self._since, self._told = None, False


class Following:
    """What `batches` remembers from pull to pull: pauses while the service refuses, and whether its group was lost.

    A group that a later pull had to make anew is gone with all it knew: with the state directory, or because it was dropped.
    It then begins at the start, and the worker is told to forget first, as by the service itself where only the index is lost.
    """

    def __init__(self, group: str, from_: str | None) -> None:
        self.from_ = from_
        self._group = group
        self._known = False
        self._pauses = pauses()

    def pause_s(self) -> float:
        """How long to wait before what was refused for now is asked again."""
        return next(self._pauses)

    def answered(self, reply: PullReply) -> PullReply | None:
        """Takes note of an answer; the notice to forget all, if that comes before it."""
        self._pauses = pauses()
        lost = self._known and reply.created
        self._known, self.from_ = True, "start"
        if not lost:
            return None
        notice = Fresh(tick=0, reason="the group was lost, and made anew")
        return PullReply(Pulled(None, self._group, 1, 0, [notice], True))


class ClientBase:
    """What both clients share: addresses, requests as bytes, replies as values."""

    def __init__(self, state_dir: Path | str, *, worker: str = "", timeout_s: float = REPLY_S) -> None:
        """Args:
            state_dir: the state directory, or an endpoint (`ipc://…`).
            worker: name shown in `groups`; by default made of host, process and client.
            timeout_s: seconds that an answer may take, beyond the wait that a request asks for.

        Raises UsageError.
        """
        if isinstance(state_dir, str) and state_dir.startswith("ipc://"):
            self.endpoint = "ipc://" + str(arguments.path("the endpoint's path", state_dir.removeprefix("ipc://")))
        else:
            where = arguments.path("state_dir", state_dir)
            self.endpoint = Layout.endpoint(Layout(where.absolute()).extract_socket)
        self._given_worker = arguments.text("worker", worker, NAME_CHARS_MAX) if worker != "" else ""
        self.timeout_s = arguments.seconds("timeout_s", timeout_s, 0.001, SECONDS_MAX)
        self._closed = False
        self._absence = Absence(self.endpoint)
        self._begin()

    def _begin(self) -> None:
        """What belongs to this process alone: a child made with fork begins anew."""
        self._pid = os.getpid()
        self.worker = self._given_worker or f"{socket.gethostname()}-{os.getpid()}-{random.getrandbits(24):06x}"
        self._number = random.getrandbits(32)

    def _check_open(self) -> None:
        if self._closed:
            raise NotRunningError("the client is closed", hint="make a new one")

    def _probe(self) -> None:
        """Raises NotRunningError where nothing listens. One connect(2) to a local socket: it does not block."""
        path = self.endpoint.removeprefix("ipc://")
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as s:
            s.setblocking(False)
            try:
                s.connect(path)
            except (BlockingIOError, InterruptedError):
                pass
            except OSError as error:
                raise NotRunningError(
                    f"no service answers at {path}: {error.strerror or error}",
                    hint="start it with `shardwatch up`, or name its state directory",
                    retryable=True,
                ) from None

    def _request(self, op: str, fields: dict[str, Any]) -> tuple[int, bytes]:
        self._number += 1
        arguments.text("op", op, NAME_CHARS_MAX)
        try:
            body = _encode({"v": PROTOCOL_VERSION, "op": op, **fields, "id": self._number})
        except (TypeError, ValueError, OverflowError, RecursionError) as error:  # ValueError: text that is no valid Unicode
            raise UsageError(f"the request `{op}` can't be sent: {error}", hint="see docs/protocol.md for its fields") from None
        if len(body) > REQUEST_BYTES_MAX:
            raise UsageError(f"the request `{op}` is {len(body)} bytes long", hint=f"at most {REQUEST_BYTES_MAX} are taken")
        return self._number, body

    @staticmethod
    def _result(body: bytes) -> bytes:
        """The body of a reply that is no error. Raises RequestError."""
        reply = _reply.decode(body)
        if reply.ok:
            return body
        raise RequestError(reply.error, reply.message, reply.remedy, decode_any(body))

    @staticmethod
    def _is_ours(body: bytes, number: int) -> bool:
        try:
            return _reply.decode(body).id == number
        except msgspec.MsgspecError:
            return False

    def _no_socket(self, error: Exception) -> ServiceError:
        return ServiceError(
            f"no socket can be made for {self.endpoint}: {error}",
            hint="look at the number of open files (ulimit -n)",
            retryable=True,
        )

    def _timed_out(self, op: str, seconds: float) -> ServiceTimeoutError:
        return ServiceTimeoutError(
            f"the service at {self.endpoint} did not answer `{op}` within {seconds:g} s",
            hint="see `shardwatch status` and the aggregator's log",
            retryable=True,
        )

    def _pull_fields(
        self, group: str, max: int | None, wait_s: float, from_: str | None, peek: bool, lease_s: float | None
    ) -> dict[str, Any]:
        if from_ not in (None, "now", "start"):
            raise arguments.wrong("from_", from_, "None, `now` or `start`")
        if max is not None:
            arguments.whole("max", max, 1, NUMBER_MAX)
        wait_ms = round(arguments.seconds("wait_s", wait_s, 0.0, SECONDS_MAX) * 1000)
        fields: dict[str, Any] = {"group": group_name(group), "wait_ms": wait_ms, "worker": self.worker}
        optional = {"max": max, "from": from_, "peek": bool(peek) or None, "lease_ms": milliseconds("lease_s", lease_s)}
        return fields | {k: v for k, v in optional.items() if v is not None}


def group_name(group: object) -> str:
    return arguments.text("group", group, NAME_CHARS_MAX)


def milliseconds(name: str, seconds: float | None) -> int | None:
    """The field of a request for these seconds, at least 1 ms; None for None. Raises UsageError."""
    return None if seconds is None else max(1, round(arguments.seconds(name, seconds, 0.0, SECONDS_MAX) * 1000))


def retry_ms(retry_s: float) -> int:
    return round(arguments.seconds("retry_s", retry_s, 0.0, SECONDS_MAX) * 1000)


def patience(seconds: float | None) -> float:
    """`patience_s` as it is counted with; None is for ever. Raises UsageError."""
    return math.inf if seconds in (None, math.inf) else arguments.seconds("patience_s", seconds, 0.0, SECONDS_MAX * 366)


def pauses() -> Iterator[float]:
    pause = PAUSE_S
    while True:
        yield pause * random.uniform(0.5, 1.5)
        pause = min(pause * 2, PAUSE_S_MAX)
