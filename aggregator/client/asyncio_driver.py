"""The driver for asyncio: carries out the steps of flows (`conversation`) with a socket of its own. It decides nothing."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable
from typing import Any, TypeVar

import zmq
import zmq.asyncio

from shardwatch.shard.contract.errors import NotRunningError, ShardwatchError, UsageError

from .connection import Connection
from .conversation import Alone, Ask, Conversation, Flow, HangUp, Pause, Receive, Send, Step
from .requests import Request

T = TypeVar("T")


class AsyncioDriver:
    """Requests wait for each other. For one event loop: another one may use it once that is closed; before, it raises UsageError
    there. A child made with fork begins anew, with its own connection."""

    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation
        self._closed = False
        self._begin()

    def _begin(self) -> None:
        self._conversation.begin()
        self._pid = os.getpid()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lock = asyncio.Lock()
        self._context: zmq.asyncio.Context = zmq.asyncio.Context()
        self._connection: Connection[zmq.asyncio.Socket] = Connection(self._context, self._conversation.endpoint)
        #: What the request under way waits for: its answer, or the end of a pause.
        self._waiting: asyncio.Future[Any] | None = None

    def close(self) -> None:
        """Idempotent. What another task waits for ends with NotRunningError."""
        if self._closed:
            return
        self._closed = True
        if self._pid != os.getpid():  # what there is, is the parent's
            return
        if self._waiting is not None and self._loop is not None and not self._loop.is_closed():
            self._waiting.cancel()
        self._end_connection()

    def _end_connection(self) -> None:
        self._connection.close()
        self._context.term()

    async def run(self, flow: Flow[T]) -> T:
        """Carries a flow out to its end. Returns its result, raises its errors; NotRunningError where the driver is closed."""
        try:
            step = next(flow)
            while True:
                try:
                    outcome = await self._carry_out(step)
                except ShardwatchError as error:
                    step = flow.throw(error)
                else:
                    step = flow.send(outcome)
        except StopIteration as end:
            result: T = end.value
            return result

    async def run_if_idle(self, flow: Flow[None]) -> None:
        """Carries a flow out, unless the driver is closed or a request of another task is in progress."""
        if not self._closed and not self._lock.locked():
            await self.run(flow)

    async def ask(self, request: Request, patience_s: float) -> bytes:
        """One request; see `Conversation.ask`."""
        return await self._alone(self._conversation.ask(request, patience_s))

    async def _alone(self, flow: Flow[T]) -> T:
        self._check_open()
        self._enter_loop()
        async with self._lock:
            return await self.run(flow)

    async def _carry_out(self, step: Step) -> Any:
        match step:
            case Send(frame):
                self._check_open()
                if self._connection.stand():
                    self._conversation.forget()
                await self._connection.socket.send(frame)
            case Receive(until):
                return await self._receive(until)
            case HangUp():
                self._connection.close()
            case Pause(seconds):
                await self._wait(asyncio.sleep(seconds))
            case Ask(request, patience_s):
                return await self.ask(request, patience_s)
            case Alone(flow):
                return await self._alone(flow)
        return None

    async def _receive(self, until: float) -> bytes | None:
        connection = self._connection
        if not connection.is_open:  # the last request could not be sent: nothing will come of those before
            return None
        poller = zmq.asyncio.Poller()
        for readable in (connection.socket, connection.monitor):
            poller.register(readable, zmq.POLLIN)
        left = until - time.monotonic()
        ready = dict(await self._wait(poller.poll(round(left * 1000) + 1))) if left > 0 else {}
        self._check_open()
        return await connection.socket.recv() if connection.socket in ready else None

    async def _wait(self, awaited: Awaitable[T]) -> T:
        """Waits. Raises NotRunningError when the driver is closed meanwhile."""
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

    def _enter_loop(self) -> None:
        """Begins anew in a child, and in a new loop; raises UsageError in another one than that which the driver is used in."""
        loop = asyncio.get_running_loop()
        if self._pid != os.getpid():
            self._begin()
        elif self._loop is not None and self._loop is not loop:
            if not self._loop.is_closed():
                raise UsageError("the client is used in another event loop", hint="make one for each")
            self._end_connection()
            self._begin()
        self._loop = loop

    def _check_open(self) -> None:
        if self._closed:
            raise NotRunningError("the client is closed", hint="make a new one")
