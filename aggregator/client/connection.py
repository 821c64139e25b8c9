"""A ZeroMQ connection to the extract socket that can be asked whether it was cut. For both kinds of sockets that pyzmq has."""

from __future__ import annotations

import socket
from typing import Any, Final, Generic, TypeVar

import zmq

from shardwatch.shard.contract.errors import NotRunningError, ServiceError

#: `zmq.Socket`, or that of `zmq.asyncio`.
S = TypeVar("S", bound="zmq.Socket[Any]")
#: As a plain number: to compare with a flag of an enumeration makes another one each time.
_POLLIN: Final = int(zmq.POLLIN)


class Connection(Generic[S]):
    """One connection at a time; each has an identity of its own, so nothing that was meant for an old one can arrive on it.

    Belongs to one thread. Nothing here blocks.

    Args:
        events: what the monitor tells, beside that the connection is cut.
        reconnect_ms: first and longest pause after which ZeroMQ connects again by itself; None: its own.
    """

    def __init__(
        self, context: zmq.Context[S], endpoint: str, *, events: int = 0, reconnect_ms: tuple[int, int] | None = None
    ) -> None:
        self._context = context
        self._endpoint = endpoint
        self._events = zmq.EVENT_DISCONNECTED | events
        self._reconnect_ms = reconnect_ms
        self._socket: S | None = None
        self._monitor: S | None = None
        self._fds: tuple[int, int] | None = None

    @property
    def is_open(self) -> bool:
        return self._socket is not None

    @property
    def socket(self) -> S:
        """Carries requests and replies. Only while it is open."""
        assert self._socket is not None
        return self._socket

    @property
    def monitor(self) -> S:
        """Readable once one of the `events` happened. Only while it is open."""
        assert self._monitor is not None
        return self._monitor

    @property
    def fds(self) -> tuple[int, int]:
        """Two descriptors to be polled for reading, while it is open: there may be replies, and events.

        zmq.Poller makes several system calls for each socket at each wait; these cost one for all. What libzmq has for a socket
        is told once, so before a wait `has_news` must have been False of both since anything was sent, received, or told.
        """
        assert self._fds is not None
        return self._fds

    def stand(self) -> bool:
        """Opens it, unless one stands. Returns whether it is a new one.

        Raises NotRunningError where nothing listens, ServiceError where no socket can be made.
        """
        if self._monitor is not None and has_news(self._monitor):
            # It was cut since the last request. ZeroMQ connects again by itself, but a request sent now and once more when
            # the event is read would be asked twice.
            self.close()
        if self._socket is not None:
            return False
        self._probe()
        self.open()
        return True

    def open(self, reconnect_ms: tuple[int, int] | None = None) -> None:
        """Opens it, whether or not anything listens: ZeroMQ connects when something does. Raises ServiceError.

        `reconnect_ms`: for this connection alone, in place of what the object was made with.
        """
        pauses_ms = reconnect_ms or self._reconnect_ms
        try:
            self._socket = made = self._context.socket(zmq.DEALER)
            made.setsockopt(zmq.LINGER, 0)
            if pauses_ms is not None:
                made.setsockopt(zmq.RECONNECT_IVL, pauses_ms[0])
                made.setsockopt(zmq.RECONNECT_IVL_MAX, pauses_ms[1])
            self._monitor = made.get_monitor_socket(self._events)
            made.connect(self._endpoint)
            self._fds = int(made.get(zmq.FD)), int(self._monitor.get(zmq.FD))
        except zmq.ZMQError as error:
            self.close()
            raise ServiceError(
                f"no socket can be made for {self._endpoint}: {error}",
                hint="look at the number of open files (ulimit -n)",
                retryable=True,
            ) from error

    def close(self) -> None:
        """Idempotent. What is on its way is lost."""
        if self._socket is not None:
            self._socket.disable_monitor()
            self._socket.close(0)
        if self._monitor is not None:
            self._monitor.close(0)
        self._socket = self._monitor = None

    def _probe(self) -> None:
        """Raises NotRunningError where nothing listens. One connect(2) to a local socket: it does not block."""
        path = self._endpoint.removeprefix("ipc://")
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


def has_news(socket: zmq.Socket[Any]) -> bool:
    """Whether something can be read, once the socket has taken in all that libzmq has for it. Does not block."""
    return bool(int(socket.get(zmq.EVENTS)) & _POLLIN)
