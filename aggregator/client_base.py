"""What both clients share: addresses, requests as bytes, replies as values. Used by `client` and `client_async` only."""

from __future__ import annotations

import os
import random
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec

from shardwatch.aggregator.protocol import PROTOCOL_VERSION, Event, Fresh, exact
from shardwatch.shard.contract.errors import NotRunningError, ServiceError, ServiceTimeoutError
from shardwatch.shard.contract.layout import Layout

#: Seconds that an answer may take beyond the wait that was asked for.
REPLY_S: Final = 10.0
#: Seconds for which `batches` looks for a service that went away, before it gives up.
PATIENCE_S: Final = 60.0
#: First and longest pause between two attempts, seconds; each is jittered by half.
PAUSE_S: Final = 0.05
PAUSE_S_MAX: Final = 2.0
#: Longest wait of one request of `batches`: the next one is sent at once.
WAIT_S_MAX: Final = 30.0


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


class RequestError(ServiceError):
    """The service refused a request. `code` is stable (docs/protocol.md); `fields` is the whole reply."""

    def __init__(self, code: str, message: str, hint: str, fields: dict[str, Any]) -> None:
        super().__init__(message, hint=hint, retryable=code in RETRYABLE)
        self.code = code
        self.fields = fields


class BatchData:
    """What both kinds of batch hold."""

    __slots__ = (
        "_client", "_done", "attempt", "created", "events", "existed", "fresh", "group", "id", "lease_s", "more", "settled",
    )  # fmt: skip

    def __init__(self, client: Any, reply: PullReply, body: bytes) -> None:
        pulled = reply.batch
        assert pulled is not None
        self._client = client
        self._done = False
        #: None of a peek.
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

    def __len__(self) -> int:
        return len(self.events)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id} of {self.group!r}: {'fresh' if self.fresh else len(self.events)}>"


class ClientBase:
    """What both clients share: addresses, requests as bytes, replies as values."""

    def __init__(self, state_dir: Path | str, *, worker: str = "", timeout_s: float = REPLY_S) -> None:
        """Args:
        state_dir: the state directory, or an endpoint (`ipc://…`).
        worker: name shown in `groups`; by default made of host, process and client.
        timeout_s: seconds that an answer may take, beyond the wait that a request asks for.
        """
        where = str(state_dir)
        self.endpoint = where if "://" in where else Layout.endpoint(Layout(where).extract_socket)
        self.worker = worker or f"{socket.gethostname()}-{os.getpid()}-{random.getrandbits(24):06x}"
        self.timeout_s = timeout_s
        self._number = random.getrandbits(32)
        self._closed = False

    def _probe(self) -> None:
        """Raises NotRunningError where nothing listens. One connect(2) to a local socket: it does not block."""
        if self._closed:
            raise NotRunningError("the client is closed", hint="make a new one")
        path = self.endpoint.removeprefix("ipc://")
        if path == self.endpoint:
            return
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
        return self._number, _encode({"v": PROTOCOL_VERSION, "id": self._number, "op": op, **fields})

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

    def _timed_out(self, op: str, seconds: float) -> ServiceTimeoutError:
        return ServiceTimeoutError(
            f"the service at {self.endpoint} did not answer `{op}` within {seconds:g} s",
            hint="see `shardwatch status` and the aggregator's log",
            retryable=True,
        )

    def _pull_fields(
        self, group: str, max: int | None, wait_s: float, from_: str | None, peek: bool, lease_s: float | None
    ) -> dict[str, Any]:
        fields: dict[str, Any] = {"group": group, "wait_ms": round(wait_s * 1000), "worker": self.worker}
        optional = {"max": max, "from": from_, "peek": peek or None, "lease_ms": milliseconds(lease_s)}
        return fields | {k: v for k, v in optional.items() if v is not None}


def milliseconds(seconds: float | None) -> int | None:
    return None if seconds is None else max(1, round(seconds * 1000))


def pauses() -> Iterator[float]:
    pause = PAUSE_S
    while True:
        yield pause * random.uniform(0.5, 1.5)
        pause = min(pause * 2, PAUSE_S_MAX)
