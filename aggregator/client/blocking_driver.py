"""The blocking driver: carries out the steps of flows (`conversation`) with a socket of its own. It decides nothing."""

from __future__ import annotations

import atexit
import os
import select
import socket
import threading
import time
import weakref
from collections.abc import Callable, Iterable
from typing import Any, Final, TypeVar

import zmq

from shardwatch.shard.contract.errors import NotRunningError, ShardwatchError

from .connection import Connection, has_news
from .conversation import Alone, Ask, Conversation, Flow, HangUp, Pause, Receive, Send, Step
from .owed import ACK_PATIENCE_S
from .requests import Request

T = TypeVar("T")

#: The longest wait of one poll, seconds: poll(2) counts milliseconds in an int.
_POLL_S_MAX: Final = 86_400.0


class BlockingDriver:
    """Threads may share it: requests then wait for each other. A child made with fork begins anew, with its own connection.

    Args:
        endings: what is to be done if the process ends before the driver is closed, each in so many seconds. It is asked then.
    """

    def __init__(
        self, conversation: Conversation, endings: Callable[[], Iterable[Callable[[float], Flow[None]]]] = tuple
    ) -> None:
        self._conversation = conversation
        self._endings = endings
        self._closed = False
        self._begin()
        _drivers.add(self)

    def _begin(self) -> None:
        self._conversation.begin()
        self._pid = os.getpid()
        self._lock = threading.RLock()
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._connection = Connection(self._context, self._conversation.endpoint)
        #: What was waited for last, and how.
        self._polled: tuple[int, ...] | None = None
        self._poller = select.poll()
        #: The first is readable once the driver is closed: that ends the wait of another thread.
        self._closing, self._close = socket.socketpair()

    def close(self) -> None:
        """Idempotent, and for any thread: what another one waits for ends with NotRunningError."""
        if self._closed:
            return
        self._closed = True
        if self._pid != os.getpid():  # what there is, is the parent's
            return
        self._close.send(b"c")
        with self._lock:
            self._connection.close()
            self._context.term()
            self._drop_pair()

    def _drop_pair(self) -> None:
        self._closing.close()
        self._close.close()

    def run(self, flow: Flow[T]) -> T:
        """Carries a flow out to its end. Returns its result, raises its errors; NotRunningError where the driver is closed."""
        try:
            step = next(flow)
            while True:
                try:
                    outcome = self._carry_out(step)
                except ShardwatchError as error:
                    step = flow.throw(error)
                else:
                    step = flow.send(outcome)
        except StopIteration as end:
            result: T = end.value
            return result

    def run_if_idle(self, flow: Flow[None]) -> None:
        """Carries a flow out, unless the driver is closed or a request of another thread is in progress."""
        if not self._closed and self._lock.acquire(blocking=False):
            try:
                self.run(flow)
            finally:
                self._lock.release()

    def end_with_process(self, until: float) -> None:
        """Carries out what is to be done at the end of the process, as far as it can begin before that time of the monotonic
        clock."""
        for ending in self._endings():
            left_s = until - time.monotonic()
            if left_s > 0:
                self.run_if_idle(ending(left_s))

    def ask(self, request: Request, patience_s: float) -> bytes:
        """One request; see `Conversation.ask`."""
        return self._alone(self._conversation.ask(request, patience_s))

    def _alone(self, flow: Flow[T]) -> T:
        self._check_open()
        if self._pid != os.getpid():
            self._drop_pair()  # ours are copies; of what is ZeroMQ's nothing can be used, nor closed, in a child
            self._begin()
        with self._lock:
            return self.run(flow)

    def _carry_out(self, step: Step) -> Any:
        match step:
            case Send(frame):
                self._check_open()
                if self._connection.stand():
                    self._conversation.forget()
                self._connection.socket.send(frame)
            case Receive(until):
                return self._receive(until)
            case HangUp():
                self._connection.close()
            case Pause(seconds):
                self._poll((), seconds)  # select(2) takes no descriptor above 1023
                self._check_open()
            case Ask(request, patience_s):
                return self.ask(request, patience_s)
            case Alone(flow):
                return self._alone(flow)
        return None

    def _receive(self, until: float) -> bytes | None:
        connection = self._connection
        while connection.is_open:  # it is not where the last request could not be sent: nothing will come of those before
            if has_news(connection.socket):
                return connection.socket.recv()
            left = until - time.monotonic()
            if left <= 0 or has_news(connection.monitor):
                return None
            self._poll(connection.fds, left)
            self._check_open()
        return None

    def _poll(self, fds: tuple[int, ...], seconds: float) -> None:
        """Waits for news of the connection with these descriptors, or for the end of the driver."""
        if fds != self._polled:
            self._polled, self._poller = fds, select.poll()
            for fd in (*fds, self._closing.fileno()):
                self._poller.register(fd, select.POLLIN)
        self._poller.poll(min(seconds, _POLL_S_MAX) * 1000)

    def _check_open(self) -> None:
        if self._closed:
            raise NotRunningError("the client is closed", hint="make a new one")


#: Those that somebody has.
_drivers: weakref.WeakSet[BlockingDriver] = weakref.WeakSet()


def _end_with_process() -> None:
    """Daemon threads are still there, and end right after this, wherever they are. A request that one of them has in progress
    takes along what was owed. However many clients there are, a service that is away is looked for once: a process with many
    threads would hardly end otherwise."""
    until = time.monotonic() + ACK_PATIENCE_S
    for driver in list(_drivers):
        driver.end_with_process(until)


atexit.register(_end_with_process)
