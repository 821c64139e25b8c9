"""A connection to the extract socket with several requests in flight, waiting at the same time for all that may end a command.

`ExtractClient` asks one thing at a time and blocks; a command that prints for ever must also notice its signals, a closed
standard output and the death of the service while it is idle, without waking up to look.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any

import msgspec
import zmq

from shardwatch.shard.contract.errors import NotRunningError, ServiceError, ShardwatchError, UsageError
from shardwatch.shard.contract.state.layout import Layout

from ...terminal.ends import Ends
from ...terminal.streams import say

#: What is added to a request's own wait before it counts as lost and is sent again.
ANSWER_S = 5.0
#: When a patient line asks again what was refused for now, seconds; at once, if the connection is made anew before that.
REFUSED_S = 1.0
_RECONNECT_MS, _RECONNECT_MS_MAX = 10, 500

Reply = dict[str, Any]

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode


class Line:
    """Requests by number, answers as they come. A broken connection is made anew and what is open is asked again.

    At least once, therefore: a request whose answer was lost with a dying service is asked twice.
    """

    def __init__(
        self, layout: Layout, *, process_fd: int | None = None, asked_again: frozenset[str] = frozenset()
    ) -> None:
        """A line to the service of a state directory, which need not be there yet.

        Args:
            process_fd: what `process.ended_fd` gave; `wait` returns at once, with `died` set, when that process ends.
            asked_again: codes of errors that are no answer: what is refused so is asked again. RETRYABLE (the service stops, the
                disk is full) for who goes on for ever.
        """
        self._endpoint = layout.endpoint(layout.extract_socket)
        self._process_fd = process_fd
        self._asked_again = asked_again
        self._context = zmq.Context()
        self._next = 0
        self._open: dict[int, tuple[bytes, float, float]] = {}
        self._acks: set[int] = set()
        self.died = False
        #: True from a lost connection until the next one.
        self.lost = False
        self._connect()

    def _connect(self) -> None:
        socket = self._context.socket(zmq.DEALER)
        socket.linger = 0
        socket.setsockopt(zmq.RECONNECT_IVL, _RECONNECT_MS)
        socket.setsockopt(zmq.RECONNECT_IVL_MAX, _RECONNECT_MS_MAX)
        self._monitor = socket.get_monitor_socket(zmq.EVENT_CONNECTED | zmq.EVENT_DISCONNECTED)
        socket.connect(self._endpoint)
        self._socket = socket

    def _reconnect(self) -> None:
        """A new identity: nothing that was meant for the old connection can arrive any more."""
        self._disconnect()
        self._connect()
        for number, (frame, wait_s, _) in list(self._open.items()):
            self._send(number, frame, wait_s)

    def _disconnect(self) -> None:
        self._socket.disable_monitor()
        self._monitor.close(0)
        self._socket.close(0)

    def ask(self, op: str, *, wait_s: float = 0.0, **fields: object) -> int:
        """Sends a request and returns its number. `wait_s`: how long the service may park it (said in `fields` too)."""
        self._next += 1
        if op in ("ack", "release"):
            self._acks.add(self._next)
        try:
            frame = _encode({"v": 1, "id": self._next, "op": op, **fields})
        except (ValueError, OverflowError) as error:  # text of an argument that is not UTF-8, a number beyond 64 bits
            raise UsageError(f"the arguments can't be sent: {error}", hint="names of groups and holds are UTF-8") from None
        self._send(self._next, frame, wait_s)
        return self._next

    def _send(self, number: int, frame: bytes, wait_s: float) -> None:
        self._open[number] = (frame, wait_s, time.monotonic() + wait_s + ANSWER_S)
        try:
            self._socket.send(frame, zmq.DONTWAIT)
        except zmq.Again:  # the queue towards a service that is away is full: the deadline sends it again
            pass

    def wait(self, ends: Ends, timeout_s: float | None = None) -> list[tuple[int, Reply]]:
        """Answers that are there, else waits for one. Empty after `timeout_s`, or when the process died or `lost` changed.

        Raises Ended (through `ends`) for a signal or a closed standard output.
        """
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        lost = self.lost
        while True:
            ends.check()
            answers = self._receive()
            if answers or self.died or self.lost != lost:
                return answers
            now = time.monotonic()
            if deadline is not None and now >= deadline:
                return []
            self._repeat_overdue(now)
            limits = [due for _, _, due in self._open.values()]
            if deadline is not None:
                limits.append(deadline)
            self._poll(ends, max(0.0, min(limits) - now) if limits else None)

    def _poll(self, ends: Ends, timeout_s: float | None) -> None:
        poller = zmq.Poller()
        poller.register(self._socket, zmq.POLLIN)
        poller.register(self._monitor, zmq.POLLIN)
        poller.register(ends.wake_fd, zmq.POLLIN)
        if ends.output_fd is not None:
            poller.register(ends.output_fd, zmq.POLLERR)
        if self._process_fd is not None:
            poller.register(self._process_fd, zmq.POLLIN)
        ready = dict(poller.poll(None if timeout_s is None else int(timeout_s * 1000) + 1))
        if self._process_fd is not None and ready.get(self._process_fd):
            self.died = True
        if self._monitor in ready:
            self._note_connection()

    def _note_connection(self) -> None:
        broken = False
        while self._monitor.poll(0):
            event = int.from_bytes(self._monitor.recv_multipart()[0][:2], "little")
            self.lost = event == zmq.EVENT_DISCONNECTED
            broken = broken or self.lost
            if not self.lost:  # what was queued is asked now: an answer is due from now on, not since it was queued
                now = time.monotonic()
                self._open = {n: (frame, wait_s, now + wait_s + ANSWER_S) for n, (frame, wait_s, _) in self._open.items()}
        if broken:
            self._reconnect()

    def _repeat_overdue(self, now: float) -> None:
        if any(now >= due for _, _, due in self._open.values()):
            self._reconnect()

    def _receive(self) -> list[tuple[int, Reply]]:
        answers: list[tuple[int, Reply]] = []
        while True:
            try:
                body = self._socket.recv(zmq.DONTWAIT)
            except zmq.Again:
                return answers
            reply = _decode(body)
            number = reply.get("id")
            if number in self._open and reply.get("error") in self._asked_again:
                frame, wait_s, due = self._open[number]
                self._open[number] = (frame, wait_s, min(due, time.monotonic() + REFUSED_S))
                continue
            # An answer to a request sent twice: what it hands out (a batch) must not be lost, so it is passed on too.
            self._acks.discard(number)
            if self._open.pop(number, None) is not None or hands_out(reply):
                answers.append((number, reply))

    def answer(self, ends: Ends, number: int, wait_s: float = 0.0, answer_s: float = ANSWER_S) -> Reply:
        """Waits for the answer to `number` alone, and says so when the service goes away meanwhile. Raises NotRunningError when
        none comes; Ended."""
        deadline = time.monotonic() + wait_s + answer_s
        missing = False
        while True:
            if missing != self.lost:
                missing = self.lost
                say_lost(missing)
            for answered, reply in self.wait(ends, max(0.0, deadline - time.monotonic())):
                if answered == number:
                    return reply
            if self.died or time.monotonic() >= deadline:
                self._open.pop(number, None)
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
        while (left := deadline - time.monotonic()) > 0 and not self.died:
            self._open = {number: entry for number, entry in self._open.items() if number in self._acks}
            if not self._open:
                break
            if self._socket.poll(int(left * 1000) + 1):
                self._receive()

    def close(self) -> None:
        self._disconnect()
        self._context.destroy(linger=0)

    def __enter__(self) -> Line:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._acks:
            self.finish(0.5)
        self.close()


def say_lost(missing: bool) -> None:
    say(f"shardwatch: {'the service went away; waiting for it' if missing else 'the service is back'}")


def checked(reply: Mapping[str, Any]) -> Reply:
    """The reply, or the error in it: UsageError where the request was wrong, ServiceError otherwise."""
    if reply.get("ok"):
        return dict(reply)
    kind: type[ShardwatchError] = UsageError if reply.get("error") in WRONG_REQUESTS else ServiceError
    raise kind(str(reply.get("message") or reply.get("error")), hint=str(reply.get("remedy") or ""))


#: Error codes of the extract protocol that the user of a command can cause.
WRONG_REQUESTS = frozenset({"bad_field", "bad_group", "bad_request", "unknown_group"})
#: Those that pass by themselves: client_base's, without its imports.
RETRYABLE = frozenset({"busy", "stopping", "storage"})


def hands_out(reply: Reply) -> bool:
    """Whether a reply carries a batch (an ack's carries the batch's name only)."""
    return isinstance(reply.get("batch"), dict)
