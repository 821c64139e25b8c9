"""Connections of the aggregator: bounded in number, bytes and turns, whatever the peers send or leave unread."""

from __future__ import annotations

import contextlib
import resource
import selectors
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shardwatch.aggregator.process.sockets import rooms
from shardwatch.aggregator.transport import door as door_module
from shardwatch.aggregator.transport.connection import UNREAD_BYTES_MAX, UNREAD_BYTES_PAUSE
from shardwatch.aggregator.transport.door import TURNED_AWAY_MAX, Door
from shardwatch.shard.contract.limits import FRAME_BYTES_MAX
from shardwatch.shard.contract.wire import zmtp

#: Messages that one turn may decode ahead, and then some.
AHEAD = 2 * 16
#: Seconds of a guard against hangs. 100,000 messages took more than 30 with coverage on a machine that was busy tenfold.
GUARD_S = 300.0


class Peer:
    """The other side: raw bytes over a socket that never blocks."""

    def __init__(self, path: Path, kind: bytes = b"DEALER", *, greet: bool = True) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.connect(str(path))
        self.sock.setblocking(False)
        self.decoder = zmtp.Decoder(FRAME_BYTES_MAX)
        self.waiting = b""
        self.closed = False
        self.greet = greet
        if greet:
            self.say(zmtp.GREETING + zmtp.ready(kind))

    def say(self, data: bytes) -> None:
        self.waiting += data
        self.push()

    def ask(self, *parts: bytes) -> None:
        self.say(zmtp.message(parts))

    def push(self) -> None:
        """Sends what there is room for."""
        with contextlib.suppress(BlockingIOError, BrokenPipeError, ConnectionResetError):
            while self.waiting:
                self.waiting = self.waiting[self.sock.send(self.waiting[:65536]) :]

    def hear(self) -> list[list[bytes]]:
        """What has come; notes whether the other side hung up."""
        found: list[list[bytes]] = []
        with contextlib.suppress(BlockingIOError):
            while True:
                try:
                    data = self.sock.recv(1 << 20)
                except ConnectionResetError:
                    data = b""
                if not data:
                    self.closed = True
                    break
                found += self.decoder.feed(data, 10**6)
        return found


class House:
    """A door, what is behind it, and peers."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.selector = selectors.DefaultSelector()
        self.door: Door[Any] | None = None
        self.peers: list[Peer] = []

    def open(self, kind: bytes = b"ROUTER", most: int = 100, *, crowded: bool = True) -> Door[Any]:
        self.door = Door(self.path, kind, self.selector, most, crowded=crowded)
        return self.door

    def peer(self, kind: bytes = b"DEALER", *, greet: bool = True) -> Peer:
        self.peers.append(Peer(self.path, kind, greet=greet))
        return self.peers[-1]

    def turn(self) -> None:
        """What a turn of the main loop does with what comes in."""
        for peer in self.peers:
            peer.push()
        for key, mask in self.selector.select(0):
            if key.data[1] is None or key.data[1].events:
                key.data[0].handle(key.data[1], mask, time.monotonic())

    def until(self, done: Callable[[], object]) -> None:
        deadline = time.monotonic() + GUARD_S
        while not done():
            assert time.monotonic() < deadline
            self.turn()

    def settle(self) -> None:
        """Until nothing moves any more."""
        for _ in range(20):
            self.turn()

    def close(self) -> None:
        for peer in self.peers:
            peer.sock.close()
        if self.door is not None:
            self.door.close()
        self.selector.close()


@pytest.fixture
def house(state_dir: Path) -> Iterator[House]:
    state_dir.mkdir(parents=True, exist_ok=True)
    house = House(state_dir / "d")
    yield house
    house.close()


def test_a_socket_that_was_removed_is_made_again(house: House) -> None:
    """Who is connected stays; others find the new one. While it is there, or its directory is missing, nothing is done."""
    door, first = house.open(), house.peer()
    door.restore()
    inode = door.path.stat().st_ino
    door.path.unlink()
    door.restore()
    assert door.path.stat().st_ino != inode and door.path.stat().st_mode & 0o777 == 0o600
    for peer in (first, house.peer()):
        peer.ask(b"", b"x")
        house.until(lambda: door.ready)
        assert door.take() is not None
    assert len(door) == 2
    home = door.path.parent
    door.path.unlink()
    home.rename(home.with_name("away"))
    with pytest.raises(FileNotFoundError):
        door.restore()
    home.with_name("away").rename(home)


def test_all_who_wait_at_a_socket_that_was_removed_are_let_in(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many turns that would have taken. Where there is no room, they are hung up on, and find the new one."""
    monkeypatch.setattr(door_module, "_ACCEPTED_MAX", 2)
    door = house.open(most=7)
    for _ in range(7):
        house.peer().ask(b"", b"x")
    door.path.unlink()
    door.restore()
    house.settle()
    assert len(door) == 7 and all(peer.hear() == [] and not peer.closed for peer in house.peers)
    for _ in range(TURNED_AWAY_MAX):
        house.peer(greet=False)
    house.until(lambda: len(door) == 7 + TURNED_AWAY_MAX)
    late = house.peer(greet=False)
    house.settle()
    door.path.unlink()
    door.restore()
    late.hear()
    assert late.closed and len(door) == 7 + TURNED_AWAY_MAX
    house.peers[7].sock.close()
    house.until(lambda: len(door) < 7 + TURNED_AWAY_MAX)
    house.peer().ask(b"", b"x")
    house.until(lambda: len(door) == 7 + TURNED_AWAY_MAX)


def test_messages_come_and_go(house: House) -> None:
    """Of every size; parts before the body come back before the answer."""
    door, peer = house.open(), house.peer()
    for size in (0, 1, 255, 256, 70_000, FRAME_BYTES_MAX - 1):
        peer.ask(b"", b"x" * size)
        house.until(lambda: door.ready)
        taken = door.take()
        assert taken is not None
        connection, parts = taken
        assert [len(p) for p in parts] == [0, size]
        assert door.answer(connection.key, [b"", b"y" * (size // 4)], time.monotonic())
        heard: list[list[bytes]] = []
        house.until(lambda heard=heard: heard.extend(peer.hear()) or heard)
        assert [len(p) for p in heard[0]] == [0, size // 4]
    assert door.held == 0


def test_who_reads_nothing_is_not_read_from(house: House) -> None:
    """5,000 requests, each answered with 200 KB. What is kept is bounded by bytes; who reads is served all of them."""
    door, stuck, other = house.open(), house.peer(), house.peer()
    for n in range(5000):
        stuck.ask(b"%d" % n)
    answered: list[bytes] = []

    def serve() -> None:
        house.turn()
        while (taken := door.take()) is not None:
            answered.append(taken[1][0])
            assert door.answer(taken[0].key, [b"y" * 200_000], time.monotonic())

    for _ in range(200):
        serve()
    assert len(answered) <= AHEAD
    assert door.held <= UNREAD_BYTES_MAX + (1 << 18)
    other.ask(b"other")
    heard: list[list[bytes]] = []
    deadline = time.monotonic() + GUARD_S
    while not heard and time.monotonic() < deadline:
        serve()
        heard += other.hear()
    assert heard
    count = 0
    deadline = time.monotonic() + GUARD_S
    while count < 300 and time.monotonic() < deadline:
        serve()
        count += len(stuck.hear())
    assert count >= 300
    answered.remove(b"other")
    assert answered == [b"%d" % n for n in range(len(answered))]


def test_what_is_asked_after_a_long_answer_waits_until_it_is_read(house: House) -> None:
    """Also while the answer is made and not given yet: else the next one would be one too many, and never be sent."""
    door, peer = house.open(), house.peer()
    peer.ask(b"long")
    peer.ask(b"short")
    other = house.peer()
    house.until(lambda: door.ready)
    taken = door.take()
    assert taken is not None and taken[1] == [b"long"]
    door.owe(taken[0].key, 2 << 20)
    other.ask(b"other")

    def after() -> list[bytes]:
        house.turn()
        return [] if (one := door.take()) is None else one[1]

    assert [eventually_some(after), after()] == [[b"other"], []]
    assert door.answer(taken[0].key, [b"y" * (2 << 20)], time.monotonic())
    assert after() == []
    heard: list[list[bytes]] = []
    deadline = time.monotonic() + GUARD_S
    while (next_one := after()) == [] and time.monotonic() < deadline:
        heard += peer.hear()
    assert next_one == [b"short"]
    door.owe(b"nobody", 1)


def eventually_some(look: Callable[[], list[bytes]]) -> list[bytes]:
    """What a look finds at last."""
    deadline = time.monotonic() + GUARD_S
    while not (found := look()) and time.monotonic() < deadline:
        pass
    return found


def test_a_connection_is_kept_so_many_bytes(house: House) -> None:
    """Beyond that it is sent nothing: the answer is told to be undelivered."""
    door, peer = house.open(), house.peer()
    peer.ask(b"a")
    house.until(lambda: door.ready)
    taken = door.take()
    assert taken is not None
    results = [door.answer(taken[0].key, [b"y" * (1 << 20)], time.monotonic()) for _ in range(10)]
    assert results == sorted(results, reverse=True) and results[0] and not results[-1]
    assert door.held <= UNREAD_BYTES_MAX + (1 << 20) + 64


def test_all_connections_together_are_kept_so_many_bytes(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever has stood still for longest has to go; what it was not sent is told."""
    monkeypatch.setattr(door_module, "HELD_BYTES_MAX", 4 << 20)
    door = house.open()
    peers = [house.peer() for _ in range(20)]
    for peer in peers:
        peer.ask(b"a")
    taken = []

    def all_there() -> bool:
        while (one := door.take()) is not None:
            taken.append(one[0])
        return len(taken) == 20

    house.until(all_there)
    for n, connection in enumerate(taken):
        for part in range(3):
            door.answer(connection.key, [b"%d-%d" % (n, part) + b"y" * (250_000)], time.monotonic(), (connection.key, part))
        assert door.held <= 4 << 20
    gone, unsent = door.departed()
    assert gone and len(door) == 20 - len(gone)
    assert taken[-1].key not in gone
    assert unsent and {key for key, _ in unsent} <= gone
    assert door.departed() == (set(), [])


def test_requests_that_are_not_complete_are_bounded(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each has begun a large one and goes no further."""
    monkeypatch.setattr(door_module, "HELD_BYTES_MAX", 4 << 20)
    door = house.open()
    for _ in range(20):
        house.peer().say(b"\2" + (1 << 20).to_bytes(8, "big") + b"x" * 400_000)
    house.settle()
    house.settle()
    assert door.held <= 4 << 20
    assert len(door) < 20


def test_everyone_has_a_turn(house: House) -> None:
    """A flood of one connection does not keep another's message waiting."""
    door, flood, other = house.open(), house.peer(), house.peer()
    for _ in range(20_000):
        flood.ask(b"flood")
    house.settle()
    other.ask(b"other")
    house.settle()
    names = [taken[1][0] for _ in range(3) if (taken := door.take()) is not None]
    assert b"other" in names


def test_what_is_decoded_ahead_is_bounded(house: House) -> None:
    """Small messages would take a hundred times their bytes."""
    door, peer = house.open(), house.peer()
    peer.say(zmtp.message([b""]) * 100_000)
    house.settle()
    (connection,) = door._by_key.values()
    assert len(connection.inbox) <= AHEAD
    assert connection.held < 1 << 18
    count = 0

    def all_taken() -> bool:
        nonlocal count
        while door.take() is not None:
            count += 1
        return count == 100_000

    house.until(all_taken)


BAD: dict[str, bytes] = {
    "no ZMTP": b"GET / HTTP/1.1\r\n\r\n",
    "ZMTP 1": b"\x01\x00",
    "ZMTP 2": b"\xff" + bytes(8) + b"\x7f\x01" + bytes(53),
    "a mechanism": (b"\xff" + bytes(8) + b"\x7f\x03\x00PLAIN").ljust(64, b"\0"),
    "no READY": zmtp.GREETING + zmtp.message([b"early"]),
    "another command": zmtp.GREETING + zmtp.command(b"HELLO", b""),
    "unknown flags": zmtp.GREETING + zmtp.ready(b"DEALER") + b"\x80\x00",
    "a long command": zmtp.GREETING + zmtp.ready(b"DEALER") + b"\x06" + (5000).to_bytes(8, "big"),
    "an endless frame": zmtp.GREETING + zmtp.ready(b"DEALER") + b"\x02" + b"\xff" * 8,
    "a frame too large": zmtp.GREETING + zmtp.ready(b"DEALER") + b"\x02" + (FRAME_BYTES_MAX + 1).to_bytes(8, "big"),
    "many parts": zmtp.GREETING + zmtp.ready(b"DEALER") + b"\x01\x00" * 1000,
    "large parts": zmtp.GREETING + zmtp.ready(b"DEALER") + (b"\x03" + (1 << 20).to_bytes(8, "big") + bytes(1 << 20)) * 9,
}


@pytest.mark.parametrize("case", BAD)
def test_who_speaks_something_else_is_hung_up_on(house: House, case: str) -> None:
    """Nothing of it is kept, and nobody else notices."""
    door, bad, good = house.open(), house.peer(greet=False), house.peer()
    bad.say(BAD[case])
    house.until(lambda: bad.hear() or bad.closed)
    good.ask(b"a")
    house.until(lambda: door.ready)
    taken = door.take()
    assert taken is not None and taken[1] == [b"a"]
    assert (len(door), door.held) == (1, 0)


def test_what_was_said_before_leaving_counts(house: House) -> None:
    """An ack, and its worker is gone."""
    door, peer = house.open(), house.peer()
    for n in range(50):
        peer.ask(b"%d" % n)
    peer.sock.close()
    house.peers.remove(peer)
    said: list[bytes] = []

    def all_said() -> bool:
        while (taken := door.take()) is not None:
            said.append(taken[1][0])
            door.answer(taken[0].key, [b"y"], time.monotonic())
        return len(said) == 50

    house.until(all_said)
    house.until(lambda: len(door) == 0)
    assert said == [b"%d" % n for n in range(50)]
    assert door.held == 0


def test_one_too_many_is_turned_away_and_the_rest_waits(house: House) -> None:
    """A few are let in to be told so; whoever comes then stays in the kernel's queue, until there is room."""
    door = house.open(most=5)
    inside = [house.peer() for _ in range(5)]
    house.settle()
    outside = [house.peer() for _ in range(TURNED_AWAY_MAX + 10)]
    house.settle()
    assert len(door) == 5 + TURNED_AWAY_MAX
    outside[0].ask(b"a")
    house.until(lambda: door.ready)
    taken = door.take()
    assert taken is not None and taken[0].away
    door.answer(taken[0].key, [b"too many"], time.monotonic())
    door.hang_up(taken[0])
    heard: list[list[bytes]] = []
    house.until(lambda: heard.extend(outside[0].hear()) or outside[0].closed)
    assert heard == [[b"too many"]]
    for peer in inside:
        peer.sock.close()
        house.peers.remove(peer)
    house.until(lambda: door.tick(time.monotonic() + 60) or [c.away for c in door._by_key.values()] == [False] * 5)


def test_want_of_descriptors_is_waited_for(house: House) -> None:
    """accept(2) finds none, as libzmq would not survive: who comes waits, and is let in when there is one."""
    door = house.open()
    peers = [house.peer() for _ in range(10)]
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(peer.sock.fileno() for peer in peers)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 1, before[1]))
        house.settle()
        assert len(door) < 10
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    house.until(lambda: door.tick(time.monotonic() + 60) or len(door) == 10)


def test_of_too_many_shards_the_silent_one_has_to_go(house: House) -> None:
    """A stranger's idle connections do not keep out a shard that starts."""
    door = house.open(b"PULL", most=5, crowded=False)
    idle = [house.peer(b"PUSH") for _ in range(5)]
    house.settle()
    shard = house.peer(b"PUSH")
    shard.ask(b"frame")
    house.until(lambda: door.ready)
    taken = door.take()
    assert taken is not None and taken[1] == [b"frame"]
    assert len(door) == 5
    idle[0].hear()
    assert idle[0].closed


def test_subscriptions_are_bounded(house: House) -> None:
    """One who subscribes to a million things is hung up on; who reads nothing is sent no more."""
    door, many, deaf, good = house.open(b"PUB"), house.peer(b"SUB"), house.peer(b"SUB"), house.peer(b"SUB")
    for n in range(1000):
        many.ask(b"\1%d" % n)
    for peer in (deaf, good):
        peer.ask(b"\1s0\0")
    house.until(lambda: many.hear() or many.closed)
    house.settle()
    heard = []
    for _ in range(200):
        door.publish(b"s0\0", b"x" * 50_000, time.monotonic())
        door.publish(b"s1\0", b"another's", time.monotonic())
        house.settle()
        heard += good.hear()
    assert heard == [[b"s0\0", b"x" * 50_000]] * 200
    assert door.held < UNREAD_BYTES_PAUSE + 200_000


def test_it_is_told_once_who_has_begun_to_listen(house: House) -> None:
    """Before anything is published: then it is heard. One that comes again is told of again."""
    door = house.open(b"PUB")
    assert door.subscribed() == set()
    for _ in range(2):
        peer = house.peer(b"SUB")
        peer.ask(b"\1s0\0")
        told: set[bytes] = set()
        house.until(lambda told=told: told.update(door.subscribed()) or told)
        assert told == {b"s0\0"}
        assert door.subscribed() == set()
        door.publish(b"s0\0", b"news", time.monotonic())
        heard: list[list[bytes]] = []
        house.until(lambda peer=peer, heard=heard: heard.extend(peer.hear()) or heard)
        assert heard == [[b"s0\0", b"news"]]
        peer.sock.close()
        house.peers.remove(peer)
        house.until(lambda: not len(door))


@pytest.mark.parametrize("forgotten", [False, True])
def test_an_answer_that_was_sent_in_part_was_not_sent(house: House, forgotten: bool) -> None:
    """Nobody can read it: the receipt comes back when the peer goes away, also if nobody asks who has gone. That of one that was
    sent whole does not."""
    door, peer = house.open(), house.peer()
    peer.ask(b"", b"x")
    house.until(lambda: door.ready)
    taken = door.take()
    assert taken is not None
    key = taken[0].key
    assert door.answer(key, [b"", b"short"], time.monotonic(), "short")
    assert door.answer(key, [b"", bytes(UNREAD_BYTES_MAX)], time.monotonic(), "long")
    assert 0 < door.held < UNREAD_BYTES_MAX
    peer.sock.close()
    house.peers.remove(peer)
    house.until(lambda: not len(door))
    if forgotten:
        door.forget_gone()
        assert door.parted
    assert door.departed() == (set() if forgotten else {key}, ["long"])
    assert door.held == 0 and not door.parted


@pytest.mark.parametrize(("kind", "commands"), [(b"PUB", 20), (b"PUB", 14), (b"ROUTER", 20)])
def test_nothing_is_kept_for_who_is_hung_up_on(house: House, kind: bytes, commands: int) -> None:
    """Too many subscriptions, by commands and by messages, with more behind them: a question, a message, and a part of one."""
    door, peer = house.open(kind), house.peer(b"SUB")
    house.settle()
    topics = [b"%d" % number for number in range(22)]
    subscriptions = [zmtp.command(b"SUBSCRIBE", topic) for topic in topics[:commands]]
    subscriptions += [zmtp.message([b"\1" + topic]) for topic in topics[commands:]]
    part = zmtp.message([bytes(60_000)])[:50_000]
    peer.say(b"".join([*subscriptions, zmtp.command(b"PING", b"\0\0ctx"), zmtp.message([b"", b"x"]), part]))
    house.until(lambda: not len(door))
    assert door.held == 0
    assert not door.ready


def test_a_ping_is_answered(house: House) -> None:
    """ZMTP 3.1's heartbeat: a peer that asks for it would hang up otherwise."""
    house.open()
    peer = house.peer()
    peer.say(zmtp.command(b"PING", b"\0\x64context"))
    house.until(lambda: peer.hear() or peer.decoder._ready)
    house.settle()
    raw = bytearray()
    with contextlib.suppress(BlockingIOError):
        raw += peer.sock.recv(100)
    assert raw in (b"", zmtp.command(b"PONG", b"context"))


@pytest.mark.parametrize("descriptors", [64, 100, 128, 256, 1024, 4096, 1 << 20])
def test_rooms_leave_descriptors(descriptors: int) -> None:
    """For the databases and all else; of a few there is a little for everyone."""
    shards, workers = rooms(descriptors)
    assert shards >= 2 and workers >= 2
    if descriptors >= 128:
        assert 2 * shards + workers + TURNED_AWAY_MAX + 64 <= descriptors


@given(st.lists(st.lists(st.binary(max_size=600), min_size=1, max_size=5), max_size=20), st.lists(st.integers(1, 200)))
def test_however_it_is_cut_the_messages_are_the_same(messages: list[list[bytes]], cuts: list[int]) -> None:
    """Bytes come as the kernel likes."""
    data = zmtp.GREETING + zmtp.ready(b"DEALER") + b"".join(map(zmtp.message, messages))
    decoder, found = zmtp.Decoder(1 << 20), []
    for size in [*cuts, len(data)]:
        found += decoder.feed(data[:size], 3)
        data = data[size:]
    while some := decoder.feed(b"", 3):
        found += some
    assert found == messages
    assert decoder.held == 0
