"""The line to the aggregator: its two descriptors end a wait whenever there is something to take, or room to send."""

from __future__ import annotations

import logging
import select
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq

from shardwatch.shard.contract.limits import WIRE_VERSION
from shardwatch.shard.contract.state.layout import Layout
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


def taken(line: Line) -> list[int]:
    return [reply.committed for reply in line.replies()]


def awaited(line: Line, last: int) -> list[int]:
    """Replies up to one, each wait ended by the descriptor."""
    found = taken(line)
    while last not in found:
        assert readable(line.news, GUARD_MS), f"only {found}"
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
        assert readable(line.room, GUARD_MS)
    assert aggregator.facts.poll(GUARD_MS)
    assert aggregator.facts.recv() == b"a"
    aggregator.close()


def test_room_is_told_when_it_was_full(line: Line, layout: Layout) -> None:
    aggregator = Aggregator(layout)
    while not line.send(b"first"):
        assert readable(line.room, GUARD_MS)
    while line.send(b"another"):
        pass

    def read() -> None:
        while aggregator.facts.recv() != b"last":
            pass

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    while not line.send(b"last"):
        assert readable(line.room, GUARD_MS)
    reader.join(GUARD_MS / 1000)
    assert not reader.is_alive()
    aggregator.close()
