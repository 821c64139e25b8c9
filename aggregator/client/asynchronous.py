"""`AsyncExtractClient`: what `blocking` is, for asyncio."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncGenerator, Awaitable
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import zmq
import zmq.asyncio

from shardwatch.shard.contract.errors import NotRunningError, ShardwatchError, UsageError
from shardwatch.shard.contract.input import arguments

from ..protocol.messages import NAME_CHARS_MAX
from .base import (
    PASSING,
    REPLY_S,
    SECONDS_MAX,
    WAIT_S_MAX,
    BatchData,
    ClientBase,
    Following,
    PullReply,
    RequestError,
    decode_any,
    decode_pull,
    group_name,
    milliseconds,
    patience,
    pauses,
    retry_ms,
)

T = TypeVar("T")


class AsyncBatch(BatchData):
    """Some events, on lease; see Batch."""

    __slots__ = ()

    async def ack(self) -> bool:
        """See Batch.ack."""
        try:
            if not self.is_notice:
                await self._client.ack(self.group, self.id, patience_s=self._patience_s(5.0))
        except RequestError as error:
            if not self._came_too_late(error):
                raise
            return False
        self._done = True
        return True

    async def nack(self, reason: str = "", *, retry_s: float | None = None) -> None:
        try:
            if not self.is_notice:
                await self._client.nack(self.group, self.id, reason, retry_s=retry_s, patience_s=self._patience_s(0.0))
        except RequestError as error:
            if not self._came_too_late(error):
                raise
        self._done = True

    async def extend(self, lease_s: float | None = None) -> None:
        if not self.is_notice:
            await self._client.extend(self.group, self.id, lease_s, patience_s=self._patience_s(0.0))

    async def release(self) -> None:
        if not self.is_notice:
            await self._client.release(self.group, batch=self.id)
        self._done = True


class AsyncExtractClient(ClientBase):
    """The same for asyncio: requests of one client wait for each other.

    For one event loop: another one may use it once that is closed; before, it raises UsageError there. In a child made with
    fork it has a connection of its own.
    """

    def __init__(self, state_dir: Path | str, *, worker: str = "", timeout_s: float = REPLY_S) -> None:
        super().__init__(state_dir, worker=worker, timeout_s=timeout_s)

    def _begin(self) -> None:
        super()._begin()
        self._open()

    def _open(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lock = asyncio.Lock()
        self._context: zmq.asyncio.Context = zmq.asyncio.Context()
        self._socket: zmq.asyncio.Socket | None = None
        self._monitor: zmq.asyncio.Socket | None = None
        #: What the request under way waits for: its answer, or the end of a pause.
        self._waiting: asyncio.Future[Any] | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Idempotent. A request that another task waits in ends with NotRunningError."""
        if self._closed:
            return
        self._closed = True
        if self._pid != os.getpid():  # what there is, is the parent's
            return
        if self._waiting is not None and self._loop is not None and not self._loop.is_closed():
            self._waiting.cancel()
        self._disconnect()
        self._context.term()

    async def request(self, op: str, *, wait_s: float = 0.0, patience_s: float | None = 0.0, **fields: Any) -> dict[str, Any]:
        """Any op of docs/protocol.md; see ExtractClient.request."""
        reply: dict[str, Any] = decode_any(await self._ask(op, fields, wait_s, patience_s))
        return reply

    async def _ask(self, op: str, fields: dict[str, Any], wait_s: float, patience_s: float | None) -> bytes:
        limit_s = arguments.seconds("wait_s", wait_s, 0.0, 2 * SECONDS_MAX) + self.timeout_s
        patience_s = patience(patience_s)
        self._check_open()
        self._check_loop()
        async with self._lock:
            number, body = self._request(op, fields)
            deadline, patient_until = time.monotonic() + limit_s, time.monotonic() + patience_s
            waits = pauses()
            while True:
                self._check_open()
                reason: object = f"it does not answer `{op}`"
                try:
                    await self._connect()
                except NotRunningError as error:
                    if time.monotonic() >= patient_until:
                        raise
                    reason = error.message
                else:
                    answer = await self._exchange(number, body, deadline)
                    if answer is not None:
                        self._absence.over()
                        return self._result(answer)
                    self._disconnect()
                now = time.monotonic()
                if now >= max(deadline, patient_until):
                    raise self._timed_out(op, limit_s)
                self._absence.noted(reason)
                await self._sleep(next(waits))
                deadline = max(deadline, min(patient_until, time.monotonic() + limit_s))

    def _check_loop(self) -> None:
        """Begins anew in a child, and in a new loop; raises UsageError in another one than that which the client is used in."""
        loop = asyncio.get_running_loop()
        if self._pid != os.getpid():
            self._begin()
        elif self._loop is not None and self._loop is not loop:
            if not self._loop.is_closed():
                raise UsageError("the client is used in another event loop", hint="make one for each")
            self._disconnect()
            self._context.term()
            self._open()
        self._loop = loop

    async def _sleep(self, seconds: float) -> None:
        await self._wait(asyncio.sleep(seconds))

    async def _wait(self, awaited: Awaitable[T]) -> T:
        """Waits. Raises NotRunningError when the client is closed meanwhile."""
        self._waiting = waiting = asyncio.ensure_future(awaited)
        try:
            return await waiting
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if self._closed and (task is None or not task.cancelling()):
                self._check_open()
            raise
        finally:
            self._waiting = None

    async def _exchange(self, number: int, body: bytes, deadline: float) -> bytes | None:
        assert self._socket is not None and self._monitor is not None
        await self._socket.send(body)
        poller = zmq.asyncio.Poller()
        poller.register(self._socket, zmq.POLLIN)
        poller.register(self._monitor, zmq.POLLIN)
        while (left := deadline - time.monotonic()) > 0:
            ready = dict(await self._wait(poller.poll(round(left * 1000) + 1)))
            self._check_open()
            if self._socket in ready:
                answer = await self._socket.recv()
                if self._is_ours(answer, number):
                    return answer
            elif self._monitor in ready:
                return None
        return None

    async def _connect(self) -> None:
        if self._monitor is not None and await self._monitor.poll(0):
            self._disconnect()
        if self._socket is not None:
            return
        self._probe()
        try:
            self._socket = self._context.socket(zmq.DEALER)
            self._socket.setsockopt(zmq.LINGER, 0)
            self._monitor = self._socket.get_monitor_socket(zmq.EVENT_DISCONNECTED)
            self._socket.connect(self.endpoint)
        except zmq.ZMQError as error:
            self._disconnect()
            raise self._no_socket(error) from error

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
        patience_s: float | None = 0.0,
    ) -> AsyncBatch | None:
        reply, body = await self._pull(self._pull_fields(group, max, wait_s, from_, peek, lease_s), wait_s, patience_s)
        return None if reply.batch is None else AsyncBatch(self, reply, body)

    async def _pull(self, fields: dict[str, Any], wait_s: float, patience_s: float | None) -> tuple[PullReply, bytes]:
        body = await self._ask("pull", fields, wait_s, patience_s)
        return decode_pull(body), body

    async def batches(
        self,
        group: str,
        *,
        max: int | None = None,
        wait_s: float | None = None,
        follow: bool = True,
        from_: str | None = None,
        lease_s: float | None = None,
        patience_s: float | None = None,
    ) -> AsyncGenerator[AsyncBatch, None]:
        wait_s = arguments.seconds("wait_s", 0.0 if wait_s is None else wait_s, 0.0, SECONDS_MAX)
        wait_s = WAIT_S_MAX if follow else min(wait_s, 3600.0)
        patient_s = patience(patience_s)
        following = Following(group_name(group), from_)
        while True:
            fields = self._pull_fields(group, max, wait_s, following.from_, False, lease_s)
            try:
                reply, body = await self._pull(fields, wait_s, patient_s if follow else 0.0)
            except RequestError as error:
                if not (follow and error.code in PASSING):
                    raise
                self._absence.noted(error)
                await self._sleep(following.pause_s())
                continue
            notice = following.answered(reply) if follow else None
            batch = None if reply.batch is None else AsyncBatch(self, reply, body, follows=follow)
            try:
                if notice is not None:
                    yield AsyncBatch(self, notice, b"")
                if batch is not None:
                    yield batch
            except BaseException:
                if batch is not None and not batch._done:
                    with contextlib.suppress(ShardwatchError):  # else its lease ends by itself
                        await batch.release()
                raise
            if batch is None and not follow:
                return

    async def ack(self, group: str, batch: str, *, patience_s: float | None = 5.0) -> dict[str, Any]:
        return await self.request("ack", patience_s=patience_s, group=group_name(group), batch=batch)

    async def nack(
        self, group: str, batch: str, reason: str = "", *, retry_s: float | None = None, patience_s: float | None = 0.0
    ) -> dict[str, Any]:
        more: dict[str, Any] = {} if retry_s is None else {"retry_ms": retry_ms(retry_s)}
        return await self.request("nack", patience_s=patience_s, group=group_name(group), batch=batch, reason=reason, **more)

    async def extend(
        self, group: str, batch: str, lease_s: float | None = None, *, patience_s: float | None = 0.0
    ) -> dict[str, Any]:
        more: dict[str, Any] = {} if lease_s is None else {"lease_ms": milliseconds("lease_s", lease_s)}
        return await self.request("extend", patience_s=patience_s, group=group_name(group), batch=batch, **more)

    async def release(self, group: str, *, batch: str | None = None, worker: str | None = None) -> int:
        more: dict[str, Any] = {"batch": batch} if batch is not None else {"worker": worker or self.worker}
        return int((await self.request("release", group=group_name(group), **more))["released"])

    async def hold(self, name: str, lease_s: float, *, patience_s: float | None = 0.0) -> bool:
        name = arguments.text("name", name, NAME_CHARS_MAX)
        reply = await self.request("hold", patience_s=patience_s, name=name, lease_ms=milliseconds("lease_s", lease_s))
        return not reply["spent"]

    async def unhold(self, name: str) -> bool:
        return bool((await self.request("unhold", name=arguments.text("name", name, NAME_CHARS_MAX)))["released"])

    async def seek(self, group: str, tick: int | str) -> bool:
        return not (await self.request("seek", group=group_name(group), tick=tick))["fresh"]

    async def retry(self, group: str) -> int:
        return int((await self.request("retry", group=group_name(group)))["paths"])

    async def groups(self) -> list[dict[str, Any]]:
        return list((await self.request("groups"))["groups"])

    async def reset(self, group: str) -> None:
        await self.request("reset", group=group_name(group))

    async def drop(self, group: str) -> None:
        await self.request("drop", group=group_name(group))

    async def sync(self, timeout_s: float = 30.0, *, patience_s: float | None = 0.0) -> dict[str, Any]:
        timeout_s = arguments.seconds("timeout_s", timeout_s, 0.0, SECONDS_MAX)
        return await self.request("sync", wait_s=timeout_s + 3.0, patience_s=patience_s, timeout_ms=round(timeout_s * 1000))

    async def status(self) -> dict[str, Any]:
        status: dict[str, Any] = (await self.request("status"))["status"]
        return status

    async def ready(self, wait_s: float = 0.0, *, patience_s: float | None = 0.0) -> dict[str, Any] | None:
        wait_s = arguments.seconds("wait_s", wait_s, 0.0, SECONDS_MAX)
        reply = await self.request("ready", wait_s=wait_s, patience_s=patience_s, wait_ms=round(wait_s * 1000))
        ready: dict[str, Any] | None = reply["ready"]
        return ready

    async def hello(self) -> dict[str, Any]:
        return await self.request("hello")
