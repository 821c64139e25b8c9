"""The line to the aggregator: its two descriptors end a wait whenever there is something to take, or room to send."""

from __future__ import annotations

import contextlib
import logging
import select
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq

from shardwatch.shard.contract.limits import FRAME_BYTES_MAX, WIRE_VERSION
from shardwatch.shard.contract.state.layout import Layout
from shardwatch.shard.contract.wire import zmtp
from shardwatch.shard.contract.wire.frames import Reply, encode
from shardwatch.shard.process.line import Line

SHARD = "shard-0"
#: Hang guard, milliseconds.
GUARD_MS = 20_000


class Aggregator:
    """The other end, by libzmq."""

    def __init__(self, layout: Layout, *, listening: bool = True) -> None:
        self._context = zmq.Context()
        self._layout = layout
        self.acks = self._context.socket(zmq.XPUB)
        self.acks.bind(layout.endpoint(layout.acks_socket))
        self.facts = self._context.socket(zmq.PULL)
        if listening:
            self.listen()

    def listen(self) -> None:
        self.facts.bind(self._layout.endpoint(self._layout.facts_socket))

    def await_shard(self, line: Line) -> None:
        """Until the shard has subscribed: what is sent before is lost. It subscribes anew when it learns that it was cut off."""
        waits = 0
        while not self.acks.poll(20):
            line.tend()
            assert taken(line) == []
            waits += 1
            assert waits < GUARD_MS // 20
        self.acks.recv()

    def reply(self, committed: int) -> None:
        self.acks.send_multipart([SHARD.encode() + b"\0", encode(Reply(WIRE_VERSION, 1, 1, committed, resend=False))])

    def close(self) -> None:
        self._context.destroy(linger=0)


@pytest.fixture
def layout(state_dir: Path) -> Layout:
    layout = Layout(state_dir)
    layout.acks_socket.parent.mkdir(parents=True)
    return layout


@pytest.fixture
def line(layout: Layout) -> Iterator[Line]:
    line = Line(SHARD, layout, "", logging.getLogger("test"))
    yield line
    line.close()


@pytest.fixture
def aggregator(layout: Layout, line: Line) -> Iterator[Aggregator]:
    aggregator = Aggregator(layout)
    aggregator.await_shard(line)
    yield aggregator
    aggregator.close()


def readable(fd: int, timeout_ms: int) -> bool:
    poller = select.poll()
    poller.register(fd, select.POLLIN)
    return bool(poller.poll(timeout_ms))


def await_turn(line: Line, fd: int) -> None:
    """Waits for a descriptor as the loop of a shard does: for news too, and until the line is due."""
    poller = select.poll()
    for number in {fd, line.news}:
        poller.register(number, select.POLLIN)
    end = time.monotonic() + GUARD_MS / 1000
    while time.monotonic() < end:
        due = line.next_due()
        ready = poller.poll(GUARD_MS if due is None else max(0, -(-(due - time.monotonic_ns()) // 1_000_000)))
        line.tend()
        if any(number == fd for number, _ in ready):
            return
        assert taken(line) == []
    raise AssertionError(f"nothing came in {GUARD_MS} ms")


def taken(line: Line) -> list[int]:
    return [reply.committed for reply in line.replies()]


def awaited(line: Line, last: int) -> list[int]:
    """Replies up to one, each wait ended by the descriptor."""
    found = taken(line)
    while last not in found:
        await_turn(line, line.news)
        found += taken(line)
    return found


def test_each_reply_is_told(line: Line, aggregator: Aggregator) -> None:
    """Also the first one, if replies were taken before."""
    assert taken(line) == []
    for number in range(1, 200):
        aggregator.reply(number)
        assert awaited(line, number) == [number]
        assert not readable(line.news, 0) or taken(line) == []


def test_many_replies_are_taken_at_once(line: Line, aggregator: Aggregator) -> None:
    assert taken(line) == []
    for number in range(1, 200):
        aggregator.reply(number)
    assert awaited(line, 199) == list(range(1, 200))


def test_replies_of_another_life_are_told(line: Line, layout: Layout) -> None:
    """The aggregator is another process by now, and the line has connected to it by itself."""
    assert taken(line) == []
    for number in range(1, 4):
        aggregator = Aggregator(layout)
        aggregator.await_shard(line)
        aggregator.reply(number)
        assert awaited(line, number) == [number]
        aggregator.close()


def test_room_is_told_once_somebody_listens(line: Line, layout: Layout) -> None:
    assert not line.send(b"a")
    aggregator = Aggregator(layout, listening=False)
    assert not line.send(b"a")
    aggregator.listen()
    while not line.send(b"a"):
        await_turn(line, line.room)
    assert aggregator.facts.poll(GUARD_MS)
    assert aggregator.facts.recv() == b"a"
    aggregator.close()


def test_room_is_told_when_it_was_full(line: Line, layout: Layout) -> None:
    aggregator = Aggregator(layout)
    while not line.send(b"first"):
        await_turn(line, line.room)
    while line.send(b"another"):
        pass

    def read() -> None:
        while aggregator.facts.recv() != b"last":
            pass

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    while not line.send(b"last"):
        await_turn(line, line.room)
    reader.join(GUARD_MS / 1000)
    assert not reader.is_alive()
    aggregator.close()


class Door:
    """The aggregator's socket for frames, byte by byte: what an aggregator in trouble might do."""

    def __init__(self, layout: Layout) -> None:
        self._listener, self._other = (socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) for _ in range(2))
        self._listener.bind(str(layout.facts_socket))
        self._other.bind(str(layout.acks_socket))  # the line gets in there, and is told nothing
        for listener in (self._listener, self._other):
            listener.listen()

    def accept(self, line: Line) -> socket.socket:
        """The next connection of the line."""
        while not readable(self._listener.fileno(), 20) or line.next_due() is not None:
            line.tend()
        peer, _ = self._listener.accept()
        peer.settimeout(GUARD_MS / 1000)
        return peer

    def greet(self, line: Line) -> socket.socket:
        """The next connection of the line, which may send from then on."""
        peer = self.accept(line)
        greeting = zmtp.GREETING + zmtp.ready(b"PUSH")
        assert peer.recv(len(greeting), socket.MSG_WAITALL) == greeting
        peer.sendall(zmtp.GREETING + zmtp.ready(b"PULL"))
        await_turn(line, line.room)
        return peer

    def close(self) -> None:
        self._listener.close()
        self._other.close()


@pytest.fixture
def door(layout: Layout) -> Iterator[Door]:
    door = Door(layout)
    yield door
    door.close()


def test_a_message_that_is_too_long_for_the_socket_is_sent_in_parts(line: Line, door: Door) -> None:
    """Until the rest of it was sent, no other is taken. `news` leads to the rest, also if nothing else is to be sent."""
    with door.greet(line) as peer:
        bodies = [bytes([number]) * (1 << 20) for number in range(3)]
        decoder = zmtp.Decoder(FRAME_BYTES_MAX)
        found: list[list[bytes]] = []
        decoder.feed(zmtp.GREETING + zmtp.ready(b"PUSH"), 1)
        assert line.send(bodies[0])
        sent = 1
        while len(found) < len(bodies):
            if sent < len(bodies) and line.send(bodies[sent]):
                sent += 1
                assert not line.send(b"no room")
            assert taken(line) == []
            found += decoder.feed(peer.recv(1 << 16), len(bodies))
        assert found == [[body] for body in bodies]
        assert taken(line) == [] and not readable(line.news, 0)


def test_what_was_sent_in_part_is_not_continued_elsewhere(line: Line, door: Door) -> None:
    """The next connection begins with a whole message."""
    with door.greet(line) as peer:
        assert line.send(bytes(1 << 20))
        peer.recv(1 << 16)
    while line.next_due() is None:
        await_turn_of_news(line)
    with door.greet(line) as peer:
        assert line.send(b"whole")
        assert peer.recv(7, socket.MSG_WAITALL) == zmtp.message([b"whole"])


def await_turn_of_news(line: Line) -> None:
    assert readable(line.news, GUARD_MS)
    assert taken(line) == []


@pytest.mark.parametrize("said", [b"HTTP/1.1 400 Bad Request\r\n", zmtp.GREETING + zmtp.command(b"HELLO", b""), b""])
def test_who_says_something_else_is_left(line: Line, door: Door, said: bytes) -> None:
    """And tried again, after a pause: somebody else may listen there by then."""
    with door.accept(line) as peer:
        peer.sendall(said)
        peer.shutdown(socket.SHUT_WR)
        while line.next_due() is None:
            await_turn_of_news(line)
        assert not line.send(b"to nobody")
    door.greet(line).close()


def test_a_ping_is_answered(line: Line, door: Door) -> None:
    """An aggregator by libzmq may be told to ask whether its peers live."""
    with door.greet(line) as peer:
        peer.sendall(zmtp.command(b"PING", b"\0\x64context"))
        await_turn_of_news(line)
        pong = zmtp.command(b"PONG", b"context")
        assert peer.recv(len(pong), socket.MSG_WAITALL) == pong


def test_more_is_underway_than_usual(line: Line, door: Door) -> None:
    """An aggregator that is busy finds the frames of several turns of a shard when it reads again."""
    frame = bytes(16_000)
    near, far = socket.socketpair()
    with door.greet(line), near, far:
        near.setblocking(False)
        usual = underway = 0
        with contextlib.suppress(BlockingIOError):
            while near.send(frame):
                usual += 1
        while line.send(frame):
            underway += 1
    assert underway > usual > 0
