"""What extract workers and commands talk to a service with: `ExtractClient`, and `AsyncExtractClient` for asyncio.

Both survive a restart of the service: a request whose answer was lost is sent again over a new socket, with pauses that grow
and jitter, until its time is up. All requests may be repeated: an ack of an acked batch says so, and a batch whose reply was
lost comes again when its lease ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import msgspec
import zmq
import zmq.asyncio

from shardwatch.aggregator.protocol import PROTOCOL_VERSION, Event, Fresh, exact
from shardwatch.shard.contract.errors import NotRunningError, ServiceError, ServiceTimeoutError, ShardwatchError
from shardwatch.shard.contract.layout import Layout

__all__ = ["AsyncBatch", "AsyncExtractClient", "Batch", "Event", "ExtractClient", "Fresh"]

#: Seconds that an answer may take beyond the wait that was asked for.
REPLY_S: Final = 10.0
#: Seconds for which `batches` looks for a service that went away, before it gives up.
PATIENCE_S: Final = 60.0
#: First and longest pause between two attempts, seconds; each is jittered by half.
_PAUSE_S: Final = 0.05
_PAUSE_S_MAX: Final = 2.0
#: Longest wait of one request of `batches`: the next one is sent at once.
_WAIT_S_MAX: Final = 30.0


class _Pulled(msgspec.Struct):
    id: str | None
    group: str
    attempt: int
    lease_ms: int
    events: list[Event | Fresh]
    more: bool


class _Reply(msgspec.Struct):
    """A reply of any op; `fields` decodes it again where more is needed."""

    id: int | None = None
    ok: bool = False
    error: str = ""
    message: str = ""
    remedy: str = ""


class _PullReply(msgspec.Struct):
    batch: _Pulled | None
    created: bool = False
    existed: bool = False
    why: str = ""


_reply = msgspec.msgpack.Decoder(_Reply)
_pull_reply = msgspec.msgpack.Decoder(_PullReply)
_any = msgspec.msgpack.Decoder()
_encode = msgspec.msgpack.Encoder().encode

#: Errors that pass by themselves.
_RETRYABLE: Final = frozenset({"busy", "stopping", "storage"})


class RequestError(ServiceError):
    """The service refused a request. `code` is stable (docs/protocol.md); `fields` is the whole reply."""

    def __init__(self, code: str, message: str, hint: str, fields: dict[str, Any]) -> None:
        super().__init__(message, hint=hint, retryable=code in _RETRYABLE)
        self.code = code
        self.fields = fields


class _BatchData:
    """What both kinds of batch hold."""

    __slots__ = ("_client", "_done", "attempt", "created", "events", "existed", "fresh", "group", "id", "lease_s", "more")

    def __init__(self, client: Any, reply: _PullReply, body: bytes) -> None:
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


class Batch(_BatchData):
    """Some events, on lease. Ack it when they are done; without an ack it is handed out again."""

    __slots__ = ()

    def ack(self) -> None:
        """Done, durably, when it returns. Idempotent. Raises RequestError (`lease_expired`) where it came too late."""
        self._client.ack(self.group, self.id)
        self._done = True

    def nack(self, reason: str = "", *, retry_s: float | None = None) -> None:
        """Failed: handed out again after a pause that grows with the attempts, or after `retry_s`."""
        self._client.nack(self.group, self.id, reason, retry_s=retry_s)
        self._done = True

    def extend(self, lease_s: float | None = None) -> None:
        """The lease ends `lease_s` (by default the service's) from now."""
        self._client.extend(self.group, self.id, lease_s)

    def release(self) -> None:
        """Gives it back unharmed: handed out again at once."""
        self._client.release(self.group, batch=self.id)
        self._done = True


class AsyncBatch(_BatchData):
    """Some events, on lease; see Batch."""

    __slots__ = ()

    async def ack(self) -> None:
        await self._client.ack(self.group, self.id)
        self._done = True

    async def nack(self, reason: str = "", *, retry_s: float | None = None) -> None:
        await self._client.nack(self.group, self.id, reason, retry_s=retry_s)
        self._done = True

    async def extend(self, lease_s: float | None = None) -> None:
        await self._client.extend(self.group, self.id, lease_s)

    async def release(self) -> None:
        await self._client.release(self.group, batch=self.id)
        self._done = True


class _Base:
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
        """Raises NotRunningError where nothing listens, or the client is closed. One connect(2) to a local socket: it does not block."""
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
        raise RequestError(reply.error, reply.message, reply.remedy, _any.decode(body))

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
        optional = {"max": max, "from": from_, "peek": peek or None, "lease_ms": _ms(lease_s)}
        return fields | {k: v for k, v in optional.items() if v is not None}


def _ms(seconds: float | None) -> int | None:
    return None if seconds is None else max(1, round(seconds * 1000))


def _pauses() -> Iterator[float]:
    pause = _PAUSE_S
    while True:
        yield pause * random.uniform(0.5, 1.5)
        pause = min(pause * 2, _PAUSE_S_MAX)


class ExtractClient(_Base):
    """Blocking client. Threads may share it: requests then wait for each other, so give each worker thread its own.

    After `fork` make a new one. Close it, or use it as a context manager.
    """

    def __init__(self, state_dir: Path | str, *, worker: str = "", timeout_s: float = REPLY_S) -> None:
        super().__init__(state_dir, worker=worker, timeout_s=timeout_s)
        self._lock = threading.Lock()
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._socket: zmq.Socket[bytes] | None = None
        self._monitor: zmq.Socket[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Idempotent."""
        self._closed = True
        self._disconnect()
        self._context.term()

    def request(self, op: str, *, wait_s: float = 0.0, patience_s: float = 0.0, **fields: Any) -> dict[str, Any]:
        """Any op of docs/protocol.md. The reply as a map.

        Args:
            wait_s: seconds that the service was asked to wait; the answer may take `timeout_s` longer.
            patience_s: seconds for which a service that is not there is looked for.

        Raises NotRunningError, ServiceTimeoutError, RequestError.
        """
        reply: dict[str, Any] = _any.decode(self._ask(op, fields, wait_s, patience_s))
        return reply

    def _ask(self, op: str, fields: dict[str, Any], wait_s: float, patience_s: float) -> bytes:
        with self._lock:
            number, body = self._request(op, fields)
            limit_s = wait_s + self.timeout_s
            deadline, patient_until = time.monotonic() + limit_s, time.monotonic() + patience_s
            pauses = _pauses()
            while True:
                try:
                    self._connect()
                except NotRunningError:
                    if time.monotonic() >= patient_until:
                        raise
                else:
                    answer = self._exchange(number, body, deadline)
                    if answer is not None:
                        return self._result(answer)
                    self._disconnect()
                now = time.monotonic()
                if now >= max(deadline, patient_until):
                    raise self._timed_out(op, limit_s)
                time.sleep(next(pauses))
                deadline = max(deadline, min(patient_until, time.monotonic() + limit_s))

    def _exchange(self, number: int, body: bytes, deadline: float) -> bytes | None:
        """The answer, or None where it can't come any more on this connection."""
        assert self._socket is not None and self._monitor is not None
        self._socket.send(body)
        poller = zmq.Poller()
        poller.register(self._socket, zmq.POLLIN)
        poller.register(self._monitor, zmq.POLLIN)
        while (left := deadline - time.monotonic()) > 0:
            ready = dict(poller.poll(round(left * 1000) + 1))
            if self._socket in ready:
                answer = self._socket.recv()
                if self._is_ours(answer, number):
                    return answer
            elif self._monitor in ready:
                return None
        return None

    def _connect(self) -> None:
        if self._socket is not None:
            return
        self._probe()
        self._socket = self._context.socket(zmq.DEALER)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._monitor = self._socket.get_monitor_socket(zmq.EVENT_DISCONNECTED)
        self._socket.connect(self.endpoint)

    def _disconnect(self) -> None:
        if self._socket is not None:
            self._socket.disable_monitor()
            self._socket.close(0)
        if self._monitor is not None:
            self._monitor.close(0)
        self._socket = self._monitor = None

    # -- ops

    def pull(
        self,
        group: str,
        *,
        max: int | None = None,
        wait_s: float = 0.0,
        from_: str | None = None,
        peek: bool = False,
        lease_s: float | None = None,
        patience_s: float = 0.0,
    ) -> Batch | None:
        """The next batch, on lease, or None if nothing came within `wait_s`.

        Args:
            max: events at most; the service's batch_size_max is the upper bound and the default.
            from_: `now` (the default) or `start`, for a group that does not exist yet.
            peek: only look: no lease, nothing moves.
        """
        fields = self._pull_fields(group, max, wait_s, from_, peek, lease_s)
        body = self._ask("pull", fields, wait_s, patience_s)
        reply = _pull_reply.decode(body)
        return None if reply.batch is None else Batch(self, reply, body)

    def batches(
        self,
        group: str,
        *,
        max: int | None = None,
        wait_s: float | None = None,
        follow: bool = True,
        from_: str | None = None,
        lease_s: float | None = None,
        patience_s: float = PATIENCE_S,
    ) -> Iterator[Batch]:
        """Batches, one after the other; ack or nack each. The last one, if it was neither, is given back when the loop
        ends (`break`, `close()`); others stay on lease until somebody acks them.

        Args:
            wait_s: without `follow`, seconds without a batch after which the loop ends (default 0: what is pending now).
            follow: go on for ever, through restarts of the service.
            patience_s: with `follow`, seconds for which a service that went away is looked for.
        """
        wait = _WAIT_S_MAX if follow else min(wait_s or 0.0, 3600.0)
        patience = patience_s if follow else 0.0
        while True:
            try:
                batch = self.pull(group, max=max, wait_s=wait, from_=from_, lease_s=lease_s, patience_s=patience)
            except RequestError as error:
                if not (follow and error.code in _RETRYABLE):
                    raise
                time.sleep(_PAUSE_S * random.uniform(1, 3))
                continue
            if batch is None:
                if not follow:
                    return
                continue
            try:
                yield batch
            except BaseException:
                if not batch._done:
                    with contextlib.suppress(ShardwatchError):  # else its lease ends by itself
                        batch.release()
                raise

    def ack(self, group: str, batch: str, *, patience_s: float = 5.0) -> dict[str, Any]:
        return self.request("ack", patience_s=patience_s, group=group, batch=batch)

    def nack(self, group: str, batch: str, reason: str = "", *, retry_s: float | None = None) -> dict[str, Any]:
        more: dict[str, Any] = {} if retry_s is None else {"retry_ms": round(retry_s * 1000)}
        return self.request("nack", group=group, batch=batch, reason=reason, **more)

    def extend(self, group: str, batch: str, lease_s: float | None = None) -> dict[str, Any]:
        more: dict[str, Any] = {} if lease_s is None else {"lease_ms": _ms(lease_s)}
        return self.request("extend", group=group, batch=batch, **more)

    def release(self, group: str, *, batch: str | None = None, worker: str | None = None) -> int:
        """Gives back a batch, or all batches of a worker of that name (one that died). Number of batches."""
        more: dict[str, Any] = {"batch": batch} if batch is not None else {"worker": worker or self.worker}
        return int(self.request("release", group=group, **more)["released"])

    def seek(self, group: str, tick: int | str) -> bool:
        """Goes to a tick, to `start` or to `now`. False: it is too long ago, the group gets `fresh` instead."""
        return not self.request("seek", group=group, tick=tick)["fresh"]

    def retry(self, group: str) -> int:
        """Hands out again the paths that were set aside. Their number."""
        return int(self.request("retry", group=group)["paths"])

    def groups(self) -> list[dict[str, Any]]:
        return list(self.request("groups")["groups"])

    def drop(self, group: str) -> None:
        self.request("drop", group=group)

    def sync(self, timeout_s: float = 30.0, *, patience_s: float = 0.0) -> dict[str, Any]:
        """Returns once every change made before the call is in the index. Raises RequestError (`sync_failed`)."""
        return self.request("sync", wait_s=timeout_s + 3.0, patience_s=patience_s, timeout_ms=round(timeout_s * 1000))

    def status(self) -> dict[str, Any]:
        status: dict[str, Any] = self.request("status")["status"]
        return status

    def ready(self, wait_s: float = 0.0, *, patience_s: float = 0.0) -> dict[str, Any] | None:
        """Counts, once everything is watched and the baseline committed; None if that is not so within `wait_s`."""
        ready: dict[str, Any] | None = self.request(
            "ready", wait_s=wait_s, patience_s=patience_s, wait_ms=round(wait_s * 1000)
        )["ready"]
        return ready

    def hello(self) -> dict[str, Any]:
        return self.request("hello")


class AsyncExtractClient(_Base):
    """The same for asyncio: for one event loop; requests of one client wait for each other."""

    def __init__(self, state_dir: Path | str, *, worker: str = "", timeout_s: float = REPLY_S) -> None:
        super().__init__(state_dir, worker=worker, timeout_s=timeout_s)
        self._lock = asyncio.Lock()
        self._context: zmq.asyncio.Context = zmq.asyncio.Context()
        self._socket: zmq.asyncio.Socket | None = None
        self._monitor: zmq.asyncio.Socket | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Idempotent."""
        self._closed = True
        self._disconnect()
        self._context.term()

    async def request(self, op: str, *, wait_s: float = 0.0, patience_s: float = 0.0, **fields: Any) -> dict[str, Any]:
        """Any op of docs/protocol.md; see ExtractClient.request."""
        reply: dict[str, Any] = _any.decode(await self._ask(op, fields, wait_s, patience_s))
        return reply

    async def _ask(self, op: str, fields: dict[str, Any], wait_s: float, patience_s: float) -> bytes:
        async with self._lock:
            number, body = self._request(op, fields)
            limit_s = wait_s + self.timeout_s
            deadline, patient_until = time.monotonic() + limit_s, time.monotonic() + patience_s
            pauses = _pauses()
            while True:
                try:
                    self._connect()
                except NotRunningError:
                    if time.monotonic() >= patient_until:
                        raise
                else:
                    answer = await self._exchange(number, body, deadline)
                    if answer is not None:
                        return self._result(answer)
                    self._disconnect()
                now = time.monotonic()
                if now >= max(deadline, patient_until):
                    raise self._timed_out(op, limit_s)
                await asyncio.sleep(next(pauses))
                deadline = max(deadline, min(patient_until, time.monotonic() + limit_s))

    async def _exchange(self, number: int, body: bytes, deadline: float) -> bytes | None:
        assert self._socket is not None and self._monitor is not None
        await self._socket.send(body)
        poller = zmq.asyncio.Poller()
        poller.register(self._socket, zmq.POLLIN)
        poller.register(self._monitor, zmq.POLLIN)
        while (left := deadline - time.monotonic()) > 0:
            ready = dict(await poller.poll(round(left * 1000) + 1))
            if self._socket in ready:
                answer = await self._socket.recv()
                if self._is_ours(answer, number):
                    return answer
            elif self._monitor in ready:
                return None
        return None

    def _connect(self) -> None:
        if self._socket is not None:
            return
        self._probe()
        self._socket = self._context.socket(zmq.DEALER)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._monitor = self._socket.get_monitor_socket(zmq.EVENT_DISCONNECTED)
        self._socket.connect(self.endpoint)

    def _disconnect(self) -> None:
        if self._socket is not None:
            self._socket.disable_monitor()
            self._socket.close(0)
        if self._monitor is not None:
            self._monitor.close(0)
        self._socket = self._monitor = None

    # -- ops: see ExtractClient

    async def pull(
        self,
        group: str,
        *,
        max: int | None = None,
        wait_s: float = 0.0,
        from_: str | None = None,
        peek: bool = False,
        lease_s: float | None = None,
        patience_s: float = 0.0,
    ) -> AsyncBatch | None:
        fields = self._pull_fields(group, max, wait_s, from_, peek, lease_s)
        body = await self._ask("pull", fields, wait_s, patience_s)
        reply = _pull_reply.decode(body)
        return None if reply.batch is None else AsyncBatch(self, reply, body)

    async def batches(
        self,
        group: str,
        *,
        max: int | None = None,
        wait_s: float | None = None,
        follow: bool = True,
        from_: str | None = None,
        lease_s: float | None = None,
        patience_s: float = PATIENCE_S,
    ) -> AsyncIterator[AsyncBatch]:
        wait = _WAIT_S_MAX if follow else min(wait_s or 0.0, 3600.0)
        patience = patience_s if follow else 0.0
        while True:
            try:
                batch = await self.pull(group, max=max, wait_s=wait, from_=from_, lease_s=lease_s, patience_s=patience)
            except RequestError as error:
                if not (follow and error.code in _RETRYABLE):
                    raise
                await asyncio.sleep(_PAUSE_S * random.uniform(1, 3))
                continue
            if batch is None:
                if not follow:
                    return
                continue
            try:
                yield batch
            except BaseException:
                if not batch._done:
                    with contextlib.suppress(ShardwatchError):
                        await batch.release()
                raise

    async def ack(self, group: str, batch: str, *, patience_s: float = 5.0) -> dict[str, Any]:
        return await self.request("ack", patience_s=patience_s, group=group, batch=batch)

    async def nack(self, group: str, batch: str, reason: str = "", *, retry_s: float | None = None) -> dict[str, Any]:
        more: dict[str, Any] = {} if retry_s is None else {"retry_ms": round(retry_s * 1000)}
        return await self.request("nack", group=group, batch=batch, reason=reason, **more)

    async def extend(self, group: str, batch: str, lease_s: float | None = None) -> dict[str, Any]:
        more: dict[str, Any] = {} if lease_s is None else {"lease_ms": _ms(lease_s)}
        return await self.request("extend", group=group, batch=batch, **more)

    async def release(self, group: str, *, batch: str | None = None, worker: str | None = None) -> int:
        more: dict[str, Any] = {"batch": batch} if batch is not None else {"worker": worker or self.worker}
        return int((await self.request("release", group=group, **more))["released"])

    async def seek(self, group: str, tick: int | str) -> bool:
        return not (await self.request("seek", group=group, tick=tick))["fresh"]

    async def retry(self, group: str) -> int:
        return int((await self.request("retry", group=group))["paths"])

    async def groups(self) -> list[dict[str, Any]]:
        return list((await self.request("groups"))["groups"])

    async def drop(self, group: str) -> None:
        await self.request("drop", group=group)

    async def sync(self, timeout_s: float = 30.0, *, patience_s: float = 0.0) -> dict[str, Any]:
        return await self.request("sync", wait_s=timeout_s + 3.0, patience_s=patience_s, timeout_ms=round(timeout_s * 1000))

    async def status(self) -> dict[str, Any]:
        status: dict[str, Any] = (await self.request("status"))["status"]
        return status

    async def ready(self, wait_s: float = 0.0, *, patience_s: float = 0.0) -> dict[str, Any] | None:
        reply = await self.request("ready", wait_s=wait_s, patience_s=patience_s, wait_ms=round(wait_s * 1000))
        ready: dict[str, Any] | None = reply["ready"]
        return ready

    async def hello(self) -> dict[str, Any]:
        return await self.request("hello")
