"""A connection to the extract socket with several requests in flight, waiting at the same time for all that may end a command.

`ExtractClient` asks one thing at a time and blocks; a command that prints for ever must also notice its signals, a closed
standard output and the death of the service while it is idle, without waking up to look. It shares the client's requests and
connection (`aggregator.client`); which answers are due is `in_flight`'s to know.
"""

from __future__ import annotations

import math
import select
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any

import msgspec
import zmq

from shardwatch.aggregator.client.connection import Connection, has_news
from shardwatch.aggregator.client.replies import RequestError
from shardwatch.aggregator.client.requests import Request
from shardwatch.aggregator.protocol.codes import WRONG_REQUESTS
from shardwatch.shard.contract.errors import NotRunningError, UsageError
from shardwatch.shard.contract.state.layout import Layout

from ...terminal.ends import Ends
from ...terminal.streams import say
from .in_flight import ANSWER_S, InFlight, Reply

#: First and longest pause before ZeroMQ connects again, milliseconds.
_RECONNECT_MS = (10, 500)
#: The same for the first connection to a service that this command has just started. The pauses do not grow, because the service
#: is ready within a few tenths of a second, and whatever is left of a pause then is waited out. An attempt takes 0.05 ms.
_RECONNECT_STARTING_MS = (5, 5)

_decode = msgspec.msgpack.Decoder().decode


def say_absence(absent: bool) -> None:
    """Tells the user that the service went away, or that it is back."""
    say(f"shardwatch: {'the service went away; waiting for it' if absent else 'the service is back'}")


def _poller(closed: int | None, *readable: int | None) -> select.poll:
    """Waits until one descriptor is closed at its other end, or one of the others can be read. None is no descriptor."""
    poller = select.poll()
    if closed is not None:
        poller.register(closed, 0)
    for fd in readable:
        if fd is not None:
            poller.register(fd, select.POLLIN)
    return poller


class ProcessEnded(Exception):
    """The process that a connection was to keep an eye on has ended."""


class ServiceConnection:
    """Requests by number, answers as they come. A broken connection is made anew and what is open is asked again.

    At least once, therefore: a request whose answer was lost with a dying service is asked twice.
    """

    def __init__(
        self,
        layout: Layout,
        *,
        process_fd: int | None = None,
        asked_again: frozenset[str] = frozenset(),
        on_absence: Callable[[bool], object] | None = say_absence,
    ) -> None:
        """A connection to the service of a state directory, which need not be there yet.

        Args:
            process_fd: what `process.ended_fd` gave for the process of a service that has just been started; `wait` raises
                ProcessEnded when that process ends.
            asked_again: codes of errors that are no answer: what is refused so is asked again. RETRYABLE (the service stops, the
                disk is full) for who goes on for ever.
            on_absence: called with True when the connection to the service is lost, and with False when it is back.
        """
        self._process_fd = process_fd
        self._on_absence = on_absence
        self._context = zmq.Context()
        self._socket = Connection(
            self._context, layout.endpoint(layout.extract_socket), events=zmq.EVENT_CONNECTED, reconnect_ms=_RECONNECT_MS
        )
        self._in_flight = InFlight(asked_again)
        self._process_ended = False
        #: There may be news of the sockets that their descriptors do not tell.
        self._has_news = True
        #: From a lost connection until the next one.
        self._absent = False
        #: What was waited for last, and how.
        self._watched: tuple[int | None, ...] = ()
        self._poller = _poller(None)
        self._socket.open(_RECONNECT_STARTING_MS if process_fd is not None else None)

    def _reconnect(self) -> None:
        """A new identity: nothing that was meant for the old connection can arrive any more."""
        self._socket.close()
        self._socket.open()
        self._has_news = True
        self._in_flight.begin_anew(time.monotonic())
        for frame in self._in_flight.frames():
            self._send(frame)

    def ask(self, op: str, *, wait_s: float = 0.0, **fields: object) -> int:
        """Sends a request and returns its number. `wait_s`: how long the service may wait with it (said in `fields` too)."""
        number = self._in_flight.add(Request(op, fields, wait_s), time.monotonic())
        self._send(self._in_flight.frame(number))
        return number

    def _send(self, frame: bytes) -> None:
        self._has_news = True
        try:
            self._socket.socket.send(frame, zmq.DONTWAIT)
        except zmq.Again:  # the queue towards a service that is away is full: it is sent again when it is due
            pass

    def wait(self, ends: Ends, timeout_s: float | None = None, also: int | None = None) -> list[tuple[int, Reply]]:
        """Answers that are there, else waits for one. Empty after `timeout_s`, and when the descriptor `also` can be read.

        Raises Ended (through `ends`) for a signal or a closed standard output, and ProcessEnded.
        """
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            ends.check()
            answers = self._take_news()
            if self._process_ended:
                raise ProcessEnded
            if answers:
                return answers
            now, due = time.monotonic(), self._in_flight.next_due()
            if deadline is not None and now >= deadline:
                return []
            if now >= due:
                self._reconnect()
                continue
            until = due if deadline is None else min(due, deadline)
            if self._poll(ends, None if until == math.inf else max(0.0, until - now), also):
                return self._take_news()

    def _poll(self, ends: Ends, timeout_s: float | None, also: int | None) -> bool:
        """Whether `also` can be read. Waits for it, for news of the service, and for whatever ends the command.

        Raises Ended.
        """
        watched = (ends.output_fd, *self._socket.fds, ends.wake_fd, self._process_fd, also)
        if watched != self._watched:
            self._watched, self._poller = watched, _poller(*watched)
        ready = dict(self._poller.poll(None if timeout_s is None else int(timeout_s * 1000) + 1))
        if self._process_fd in ready:
            self._process_ended = True
        if ends.wake_fd in ready or ends.output_fd in ready:
            ends.check()
        self._has_news = self._has_news or not ready.keys().isdisjoint(self._socket.fds)
        return also in ready

    def _take_news(self) -> list[tuple[int, Reply]]:
        """Answers that are there. What has become of the connection is noted."""
        answers: list[tuple[int, Reply]] = []
        while self._has_news:
            self._has_news = False
            answers += self._receive()
            if has_news(self._socket.monitor):
                self._note_connection()
                self._has_news = True
        return answers

    def _note_connection(self) -> None:
        monitor = self._socket.monitor
        broken, absent = False, self._absent
        while has_news(monitor):
            event = int.from_bytes(monitor.recv_multipart()[0][:2], "little")
            absent = event == zmq.EVENT_DISCONNECTED
            broken = broken or absent
            if not absent:
                self._in_flight.connected(time.monotonic())
        if broken:
            self._reconnect()
        if absent != self._absent:
            self._absent = absent
            if self._on_absence is not None:
                self._on_absence(absent)

    def _receive(self) -> list[tuple[int, Reply]]:
        answers: list[tuple[int, Reply]] = []
        while has_news(self._socket.socket):
            reply = _decode(self._socket.socket.recv(zmq.DONTWAIT))
            if self._in_flight.answered(reply, time.monotonic()):
                answers.append((reply.get("id", 0), reply))
        return answers

    def answer(self, ends: Ends, number: int, wait_s: float = 0.0, answer_s: float = ANSWER_S) -> Reply:
        """Waits for the answer to `number` alone. Raises NotRunningError when none comes, Ended, and ProcessEnded."""
        deadline = time.monotonic() + wait_s + answer_s
        while True:
            for answered, reply in self.wait(ends, max(0.0, deadline - time.monotonic())):
                if answered == number:
                    return reply
            if time.monotonic() >= deadline:
                self._in_flight.forget(number)
                raise NotRunningError(
                    "the service does not answer",
                    hint="`shardwatch status` and the logs in its state directory tell more",
                    retryable=True,
                )

    def request(self, ends: Ends, op: str, *, wait_s: float = 0.0, answer_s: float = ANSWER_S, **fields: object) -> Reply:
        """One request and its checked answer, for a command that waits for nothing else."""
        return checked(self.answer(ends, self.ask(op, wait_s=wait_s, **fields), wait_s, answer_s))

    def finish(self, timeout_s: float) -> None:
        """Waits until every ack and release sent is confirmed; what else is open is forgotten. Never raises Ended."""
        deadline = time.monotonic() + timeout_s
        self._in_flight.keep_lease_ends()
        while len(self._in_flight) and (left := deadline - time.monotonic()) > 0 and not self._process_ended:
            if self._socket.socket.poll(int(left * 1000) + 1):
                self._receive()

    def close(self) -> None:
        self._socket.close()
        self._context.destroy(linger=0)

    def __enter__(self) -> ServiceConnection:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._in_flight.ends_leases:
            self.finish(0.5)
        self.close()


def checked(reply: Mapping[str, Any]) -> Reply:
    """The reply, or the error in it: UsageError where the request was wrong, RequestError otherwise."""
    if reply.get("ok"):
        return dict(reply)
    code, hint = str(reply.get("error")), str(reply.get("remedy") or "")
    message = str(reply.get("message") or code)
    if code in WRONG_REQUESTS:
        raise UsageError(message, hint=hint)
    raise RequestError(code, message, hint, dict(reply))
