"""`AsyncExtractClient`: what `client` is, for asyncio. Import it from `shardwatch` or from `client`."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncGenerator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import zmq
import zmq.asyncio

from shardwatch.aggregator.client_base import (
    PATIENCE_S,
    PAUSE_S,
    REPLY_S,
    RETRYABLE,
    WAIT_S_MAX,
    BatchData,
    ClientBase,
    RequestError,
    decode_any,
    decode_pull,
    milliseconds,
    pauses,
)
from shardwatch.shard.contract.errors import NotRunningError, ShardwatchError


class AsyncBatch(BatchData):
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


class AsyncExtractClient(ClientBase):
    """The same for asyncio: for one event loop; requests of one client wait for each other."""

    def __init__(self, state_dir: Path | str, *, worker: str = "", timeout_s: float = REPLY_S) -> None:
        super().__init__(state_dir, worker=worker, timeout_s=timeout_s)
        self._lock = asyncio.Lock()
        self._context: zmq.asyncio.Context = zmq.asyncio.Context()
        self._socket: zmq.asyncio.Socket | None = None
        self._monitor: zmq.asyncio.Socket | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Idempotent."""
        self._closed = True
        self._disconnect()
        self._context.term()

    async def request(self, op: str, *, wait_s: float = 0.0, patience_s: float = 0.0, **fields: Any) -> dict[str, Any]:
        """Any op of docs/protocol.md; see ExtractClient.request."""
        reply: dict[str, Any] = decode_any(await self._ask(op, fields, wait_s, patience_s))
        return reply

    async def _ask(self, op: str, fields: dict[str, Any], wait_s: float, patience_s: float) -> bytes:
        async with self._lock:
            number, body = self._request(op, fields)
            limit_s = wait_s + self.timeout_s
            deadline, patient_until = time.monotonic() + limit_s, time.monotonic() + patience_s
            waits = pauses()
            while True:
                try:
                    await self._connect()
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
                await asyncio.sleep(next(waits))
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

    async def _connect(self) -> None:
        if self._monitor is not None and await self._monitor.poll(0):
            self._disconnect()
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
        reply = decode_pull(body)
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
    ) -> AsyncGenerator[AsyncBatch, None]:
        wait = WAIT_S_MAX if follow else min(wait_s or 0.0, 3600.0)
        patience = patience_s if follow else 0.0
        while True:
            try:
                batch = await self.pull(group, max=max, wait_s=wait, from_=from_, lease_s=lease_s, patience_s=patience)
            except RequestError as error:
                if not (follow and error.code in RETRYABLE):
                    raise
                await asyncio.sleep(PAUSE_S * random.uniform(1, 3))
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
        more: dict[str, Any] = {} if lease_s is None else {"lease_ms": milliseconds(lease_s)}
        return await self.request("extend", group=group, batch=batch, **more)

    async def release(self, group: str, *, batch: str | None = None, worker: str | None = None) -> int:
        more: dict[str, Any] = {"batch": batch} if batch is not None else {"worker": worker or self.worker}
        return int((await self.request("release", group=group, **more))["released"])

    async def hold(self, name: str, lease_s: float, *, patience_s: float = 0.0) -> bool:
        reply = await self.request("hold", patience_s=patience_s, name=name, lease_ms=milliseconds(lease_s))
        return not reply["spent"]

    async def unhold(self, name: str) -> bool:
        return bool((await self.request("unhold", name=name))["released"])

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
