"""Input that nobody honest sends, on every socket: counted, logged once a second, refused; everything else goes on."""

from __future__ import annotations

import contextlib
import json
import os
import random
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest
import zmq
from cli_process import environment
from running import Consumer, Running, consuming, running, settings_for, stats_below
from waiting import eventually

from shardwatch.shard.contract.limits import FRAME_BYTES_MAX, WIRE_VERSION
from shardwatch.shard.contract.process.life import SERVICE_VARIABLE
from shardwatch.shard.contract.state.planfile import Anchor, Plan, write_plan
from shardwatch.shard.contract.state.settings import write_settings
from shardwatch.shard.contract.wire.frames import Baseline, Beat, Frame, Listing, Record, Reply, decode_up, encode
from shardwatch.supervisor.service.state_dir import prepare

#: How much more memory a process may hold after a flood than before it.
RSS_RATIO_MAX = 2.0


@pytest.fixture
def busy(tree: Path, state_dir: Path) -> Iterator[tuple[Running, Consumer]]:
    """A ready service with a consumer that has everything."""
    with running(state_dir, settings_for(tree)) as service, consuming(state_dir) as consumer:
        service.assert_mirrored(consumer, tree)
        yield service, consumer


class Stranger:
    """Sockets of somebody else, all closed at the end."""

    def __init__(self) -> None:
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._sockets: list[zmq.Socket[bytes]] = []

    def socket(self, kind: int, **options: int) -> zmq.Socket[bytes]:
        sock = self._context.socket(kind)
        sock.setsockopt(zmq.SNDTIMEO, 30_000)
        sock.setsockopt(zmq.RCVTIMEO, 30_000)
        for name, value in options.items():
            sock.setsockopt(getattr(zmq, name.upper()), value)
        self._sockets.append(sock)
        return sock

    def push(self, service: Running, bodies: list[bytes]) -> None:
        """Sends these to the aggregator as a shard would."""
        sock = self.socket(zmq.PUSH)
        sock.connect(service.layout.endpoint(service.layout.facts_socket))
        for body in bodies:
            sock.send(body)

    def asking(self, service: Running, **options: int) -> zmq.Socket[bytes]:
        """A connection to the extract socket."""
        sock = self.socket(zmq.DEALER, **options)
        sock.connect(service.layout.endpoint(service.layout.extract_socket))
        return sock

    def close(self) -> None:
        for sock in self._sockets:
            sock.close(0)
        self._context.destroy(linger=0)


@pytest.fixture
def stranger() -> Iterator[Stranger]:
    """Somebody with sockets."""
    made = Stranger()
    yield made
    made.close()


def _junk(seed: int, count: int) -> list[bytes]:
    """Frames that are cut, of another version, too large, or random."""
    dice = random.Random(seed)
    good = encode(Frame(WIRE_VERSION, "s0", 1, 1, 1, [Listing(b"/r", 1, [], b"")]))
    found = []
    for n in range(count):
        kind = n % 4
        if kind == 0:
            found.append(good[: dice.randrange(len(good))])
        elif kind == 1:
            found.append(encode(Frame(WIRE_VERSION + 1 + dice.randrange(100), "s0", 1, 1, 1, [])))
        elif kind == 2:
            found.append(dice.randbytes(dice.randrange(2000)))
        else:
            found.append(good.replace(b"/r", bytes([dice.randrange(256), dice.randrange(256)])) + b"more")
    return found


def _rss(pid: int) -> int:
    return int(psutil.Process(pid).memory_info().rss)


def _pids(service: Running) -> dict[str, int]:
    return {name: int(row["pid"]) for name, row in service.programs().items()}


class _Undisturbed:
    """Nobody died, memory is bounded, the mirror is equal, and the log has a line a second at most."""

    def __init__(self, service: Running, consumer: Consumer, tree: Path) -> None:
        self.service, self.consumer, self.tree = service, consumer, tree
        self.pids = _pids(service)
        self.rss = {name: _rss(pid) for name, pid in self.pids.items()} | {"": _rss(service.process.pid)}
        self.began = time.monotonic()

    def check(self) -> None:
        (self.tree / "after.ast.json").write_text("{}")
        self.service.assert_mirrored(self.consumer, self.tree)
        assert self.consumer.fresh == 0
        assert _pids(self.service) == self.pids
        now = {name: _rss(pid) for name, pid in self.pids.items()} | {"": _rss(self.service.process.pid)}
        # Beside a ratio, a largest frame that is read, and one that waits.
        grown = {name: round((now[name] - 2 * FRAME_BYTES_MAX) / before, 2) for name, before in self.rss.items()}
        assert max(grown.values()) < RSS_RATIO_MAX, grown
        seconds = time.monotonic() - self.began
        for log in self.service.layout.logs.glob("*.log"):
            lines = [line for line in log.read_text(errors="replace").splitlines() if "refused" in line]
            assert len(lines) <= 2 * (seconds + 2), (log, len(lines), seconds)


def test_facts_that_are_no_frames(
    busy: tuple[Running, Consumer], tree: Path, stranger: Stranger
) -> None:
    """4,000 of them beside the shard's own."""
    service, consumer = busy
    before = _Undisturbed(service, consumer, tree)
    stranger.push(service, _junk(1, 4000))
    eventually(lambda: service.client.status()["refused"] == 4000, what="all are counted")
    assert "refused" in service.layout.log("aggregator").read_text()
    before.check()


def test_facts_that_are_too_large(
    busy: tuple[Running, Consumer], tree: Path, stranger: Stranger
) -> None:
    """The connection that sends one is cut; the largest that may be sent is read, and refused."""
    service, consumer = busy
    before = _Undisturbed(service, consumer, tree)
    sock = stranger.socket(zmq.PUSH)
    monitor = sock.get_monitor_socket(zmq.EVENT_DISCONNECTED)
    sock.connect(service.layout.endpoint(service.layout.facts_socket))
    sock.send(b"x" * (FRAME_BYTES_MAX + 1))
    assert monitor.poll(30_000), "the connection is cut"
    sock.disable_monitor()
    monitor.close(0)
    sock.close(0)
    stranger.push(service, [b"x" * FRAME_BYTES_MAX] * 50)
    eventually(lambda: service.client.status()["refused"] == 50, 60, what="all are counted")
    before.check()


def test_a_shard_of_another_service(
    busy: tuple[Running, Consumer], tree: Path, stranger: Stranger
) -> None:
    """Frames and beats that are right in all but whose they are: a dead service's shard of the same id, and an unknown one."""
    service, consumer = busy
    before = _Undisturbed(service, consumer, tree)
    (row,) = service.client.status()["shards"]
    shard, root, epoch = row["id"], os.fsencode(os.path.realpath(tree)), row["epoch"]
    later = epoch + 1_000_000
    lies: list[Record] = [Listing(root, 1, [], b""), Baseline(1, 0, 0)]
    counts: Any = [0] * 12
    beat = Beat(  # type: ignore[call-arg]  # mypy takes what a star gives for any number of them
        WIRE_VERSION, shard, later, 1, 1, "watching", "inotify", *counts, [], service="another"
    )
    bodies = [encode(Frame(WIRE_VERSION, shard, later, 1, 1, lies, service="another")), encode(beat)]
    token = psutil.Process(before.pids["aggregator"]).environ()[SERVICE_VARIABLE]
    bodies += [encode(Frame(WIRE_VERSION, "unknown", later, 1, 1, lies, service=token))]
    stranger.push(service, bodies * 100)
    eventually(lambda: service.client.status()["foreign"] == 300, what="all are counted")
    (row,) = service.client.status()["shards"]
    assert row["epoch"] == epoch
    assert "is not one of this service's plan" in service.layout.log("aggregator").read_text()
    before.check()


REQUESTS: list[tuple[bytes, str]] = [
    (b"", "bad_request"),
    (b"\xdd\xff\xff\xff\xff", "bad_request"),
    (b'{"op":"pull"', "bad_request"),
    (b"[" * 50_000, "bad_request"),
    (b"[]", "bad_request"),
    (b"\xd9\xff", "bad_request"),
    (b'{"v":2,"op":"hello"}', "version"),
    (b'{"v":1,"op":"destroy"}', "unknown_op"),
    (b'{"v":1,"op":"pull","group":5}', "bad_field"),
    (b'{"v":1,"op":"look","paths_b64":["*"]}', "bad_field"),
    (b'{"op":"hello","x":"' + b"x" * (1 << 20) + b'"}', "too_large"),
]


def test_requests_that_are_none(
    busy: tuple[Running, Consumer], tree: Path, stranger: Stranger
) -> None:
    """Each gets its code; random ones get one too; a request beyond the largest frame loses its connection."""
    service, consumer = busy
    before = _Undisturbed(service, consumer, tree)
    sock = stranger.asking(service)

    def ask(body: bytes) -> dict[str, Any]:
        sock.send(body)
        reply = sock.recv()
        decoded: dict[str, Any] = msgspec.json.decode(reply) if reply[:1] == b"{" else msgspec.msgpack.decode(reply)
        return decoded

    for body, code in REQUESTS:
        assert ask(body)["error"] == code, body[:50]
    dice = random.Random(2)
    for _ in range(1000):
        assert ask(dice.randbytes(dice.randrange(300)))["ok"] is False
    assert service.client.status()["refused_requests"] == len(REQUESTS) + 1000
    assert "refused a request" in service.layout.log("aggregator").read_text()
    sock.send_multipart([b"a", b"", b"many", b"parts", b'{"op":"hello"}'])
    assert sock.recv_multipart()[:4] == [b"a", b"", b"many", b"parts"]
    sock.setsockopt(zmq.RCVTIMEO, 500)
    sock.send(b"x" * (FRAME_BYTES_MAX + 1))
    with pytest.raises(zmq.Again):
        sock.recv()
    before.check()


def test_a_consumer_that_reads_nothing(
    busy: tuple[Running, Consumer], tree: Path, stranger: Stranger
) -> None:
    """It asks for the status again and again, and pulls, and never reads: then it is not read from either."""
    service, consumer = busy
    for n in range(2000):
        (tree / "pkg" / f"{n:04}-{'x' * 150}.ast.json").write_text("{}")
    service.assert_mirrored(consumer, tree)
    before = _Undisturbed(service, consumer, tree)
    sock = stranger.asking(service, rcvhwm=1, sndtimeo=1000)
    pull = {"op": "pull", "group": "stuck", "from": "start", "wait_ms": 0}
    with contextlib.suppress(zmq.Again):  # it holds up itself
        for n in range(20_000):
            sock.send(json.dumps({"op": "status"} if n % 10 else pull).encode())
    service.client.sync(60)
    with consuming(service.layout.state_dir, "other") as other:
        service.assert_mirrored(other, tree)
    group = next(g for g in service.client.groups() if g["name"] == "stuck")
    assert len(group["leases"]) <= 64
    before.check()


def test_ten_thousand_pulls_that_wait(
    busy: tuple[Running, Consumer], tree: Path, stranger: Stranger
) -> None:
    """So many are parked; one more is refused as `busy`; those who ask for more are served all the while."""
    service, consumer = busy
    before = _Undisturbed(service, consumer, tree)
    sock = stranger.asking(service, rcvhwm=0, sndhwm=0)
    room = 10_000 - service.client.status()["waiting_requests"]
    for n in range(room + 200):
        sock.send(json.dumps({"id": n, "op": "pull", "group": f"g{n % 50}", "wait_ms": 600_000}).encode())
    refused = [json.loads(sock.recv()) for _ in range(100)]
    assert {reply["error"] for reply in refused} == {"busy"}
    (tree / "one.ast.json").write_text("{}")
    service.assert_mirrored(consumer, tree)
    served = 0
    while served < 50:  # each group has the file; a hundred more that were refused stand before that
        reply = json.loads(sock.recv())
        served += bool(reply["ok"] and reply["batch"])
    before.check()


def test_pulses_that_are_none(busy: tuple[Running, Consumer], tree: Path) -> None:
    """A flood of datagrams does not keep supervisord from its work."""
    service, consumer = busy
    before = _Undisturbed(service, consumer, tree)
    dice = random.Random(3)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.settimeout(30)
        for n in range(20_000):
            body = (b"", b"-1", b"1e5", str(n).encode(), dice.randbytes(200), b"9" * 4000)[n % 6]
            sock.sendto(body, os.fspath(service.layout.pulse_socket))
            if n % 4000 == 0:
                assert len(service.programs()) == 3
    log = service.layout.log("supervisord")
    eventually(lambda: "datagrams refused" in log.read_text(), what="it is logged")
    before.check()


def _http(service: Running) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.settimeout(30)
    sock.connect(os.fspath(service.layout.supervisor_socket))
    return sock


def _closed(sock: socket.socket) -> bool:
    """Reads to the end of what the server says; whether it then hangs up."""
    with contextlib.suppress(ConnectionError):
        while sock.recv(65536):
            pass
    return True


def test_supervisords_socket_is_bounded(busy: tuple[Running, Consumer], tree: Path) -> None:
    """No HTTP, a head without an end, a body that claims a gigabyte, and no body at all: answered or hung up on."""
    service, consumer = busy
    before = _Undisturbed(service, consumer, tree)
    dice = random.Random(4)
    heads = (b"", b"GET / HTTP/1.1", dice.randbytes(500), b"POST /RPC2\r\nContent-Length: x")
    for body in (head + b"\r\n\r\n" for head in heads):
        with _http(service) as sock:
            sock.sendall(body)
            sock.shutdown(socket.SHUT_WR)
            assert _closed(sock)
    with _http(service) as sock:
        with contextlib.suppress(ConnectionError):
            for _ in range(1000):
                sock.sendall(b"x" * 65536)
        assert _closed(sock)
    for length in (1 << 30, 0, -1):
        with _http(service) as sock:
            with contextlib.suppress(ConnectionError):
                sock.sendall(b"POST /RPC2 HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % length)
                for _ in range(1000):
                    sock.sendall(b"x" * 65536)
            assert _closed(sock)
    assert len(service.programs()) == 3
    before.check()


def test_idle_connections_to_supervisord(busy: tuple[Running, Consumer], tree: Path) -> None:
    """Of 300 that say nothing the oldest are hung up on: descriptors are left for programs and commands."""
    service, consumer = busy
    before = _Undisturbed(service, consumer, tree)
    with contextlib.ExitStack() as stack:
        for _ in range(300):
            stack.enter_context(_http(service))
        assert len(service.programs()) == 3
        assert psutil.Process(service.process.pid).num_fds() < 200
        before.check()


class _FakeAggregator:
    """The other side of a shard, in our hands."""

    def __init__(self, stranger: Stranger, state_dir: Path, tree: Path) -> None:
        self.layout = prepare(state_dir, settings_for(tree)).layout
        root = os.fsencode(os.path.realpath(tree))
        write_plan(self.layout.plan, Plan(1, (Anchor(root, "s0", root),)))
        write_settings(self.layout.settings, settings_for(tree))
        self.facts = stranger.socket(zmq.PULL)
        self.facts.bind(self.layout.endpoint(self.layout.facts_socket))
        self.acks = stranger.socket(zmq.XPUB, sndhwm=0)
        self.acks.bind(self.layout.endpoint(self.layout.acks_socket))
        self.log = self.layout.log("shard").open("wb")
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "shardwatch.shard.main", "--state-dir", self.layout.state_dir, "--shard", "s0"],
            stdin=subprocess.PIPE, stdout=self.log, stderr=self.log, env=environment(),
        )  # fmt: skip
        assert self.acks.recv().startswith(b"\x01s0")

    def say(self, body: bytes) -> None:
        self.acks.send_multipart([b"s0\0", body])

    def beat(self) -> Beat:
        """The next beat of the shard; frames on the way are passed over."""
        while True:
            message = decode_up(self.facts.recv())
            if isinstance(message, Beat):
                return message

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        try:
            self.process.wait(30)
        finally:
            self.process.kill()
            self.process.wait()
            self.log.close()


@pytest.fixture
def fake(stranger: Stranger, state_dir: Path, tree: Path) -> Iterator[_FakeAggregator]:
    """A shard that talks to us."""
    made = _FakeAggregator(stranger, state_dir, tree)
    yield made
    made.close()


def test_replies_that_are_none(fake: _FakeAggregator) -> None:
    """A shard refuses what is no reply, or another service's; an honest one still gets through."""
    first = fake.beat()
    before = _rss(fake.process.pid)
    began = time.monotonic()
    for body in _junk(5, 4000):
        fake.say(body)
    foreign = Reply(WIRE_VERSION, 1, 500, 500, True, [1], [(b"/nowhere", [b"a"])], service="another")
    for _ in range(100):
        fake.say(encode(foreign))
    fake.acks.send_multipart([b"s0\0"])
    fake.acks.send_multipart([b"s0\0", b"many", b"parts"])
    fake.say(encode(Reply(WIRE_VERSION, 2, first.epoch, 1, False, [77])))
    answered = eventually(lambda: any(77 in _tokens(body) for body in _received(fake)), what="the sync is answered")
    assert answered
    assert fake.beat().epoch == first.epoch
    assert _rss(fake.process.pid) / before < RSS_RATIO_MAX
    lines = [line for line in fake.layout.log("shard").read_text().splitlines() if "refused" in line]
    assert 1 <= len(lines) <= time.monotonic() - began + 2


def _received(fake: _FakeAggregator) -> list[bytes]:
    found = []
    with contextlib.suppress(zmq.Again):
        while True:
            found.append(fake.facts.recv(zmq.DONTWAIT))
    return found


def _tokens(body: bytes) -> list[int]:
    message = decode_up(body)
    return [r.token for r in message.records if hasattr(r, "token")] if isinstance(message, Frame) else []


def test_replies_with_absurd_numbers(fake: _FakeAggregator) -> None:
    """Numbers at the bounds, paths from nowhere: the shard begins a new epoch at most, and goes on."""
    first = fake.beat()
    fake.say(encode(Reply(WIRE_VERSION, 2, first.epoch, 1 << 53, True, [0, (1 << 64) - 1])))
    nowhere = [(b"", [b""]), (b"/", [b"a/b"]), (b"relative", [b".."])]
    fake.say(encode(Reply(WIRE_VERSION, 2, first.epoch, 0, True, [], nowhere)))
    fake.say(encode(Reply(WIRE_VERSION, 2, 1 << 40, 0, False)))
    assert eventually(lambda: fake.beat().epoch > 1 << 40, what="a higher epoch")
    assert fake.process.poll() is None


# -- who can reach any of it


def test_modes_of_everything(busy: tuple[Running, Consumer]) -> None:
    """Directories 0700, sockets and files 0600: nobody else can read, write or connect."""
    service, _ = busy
    found = stats_below(service.layout.state_dir)
    sockets = {path for path, st in found.items() if stat.S_ISSOCK(st.st_mode)}
    assert sockets == set(service.layout.sockets())
    for path, st in found.items():
        wanted = (0o700,) if stat.S_ISDIR(st.st_mode) or path.parent.name == "bin" else (0o600,)
        assert stat.S_IMODE(st.st_mode) in wanted, (path, oct(st.st_mode))
        assert st.st_uid == os.geteuid()


def _inodes_of_sockets(pid: int) -> set[str]:
    found = set()
    for fd in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            target = os.readlink(fd)
            if target.startswith("socket:["):
                found.add(target[8:-1])
    return found


def test_nothing_listens_on_the_network(busy: tuple[Running, Consumer]) -> None:
    """No process of the service has a TCP or UDP socket at all."""
    service, _ = busy
    ours = set().union(*(_inodes_of_sockets(pid) for pid in [service.process.pid, *_pids(service).values()]))
    assert ours
    for table in ("tcp", "tcp6", "udp", "udp6", "raw", "raw6"):
        path = Path(f"/proc/net/{table}")
        if path.exists():
            inodes = {line.split()[9] for line in path.read_text().splitlines()[1:]}
            assert not inodes & ours, table


def test_a_plan_that_others_can_write_is_refused(busy: tuple[Running, Consumer], tree: Path) -> None:
    """The aggregator says so, and goes on by itself once that is mended."""
    service, consumer = busy
    service.layout.plan.chmod(0o666)
    log = service.layout.log("aggregator")
    eventually(lambda: "plan.json can be written by others" in log.read_text(), what="it is refused")
    service.layout.plan.chmod(0o600)
    eventually(lambda: service.programs()["aggregator"]["state"] == "RUNNING", 60, what="it runs again")
    service.assert_mirrored(consumer, tree)


def test_times_that_no_database_holds(busy: tuple[Running, Consumer], tree: Path) -> None:
    """A file from the year 2400 is a file like any other: its time ends where 64 bits of nanoseconds do."""
    service, consumer = busy
    far = tree / "far.ast.json"
    far.write_text("{}")
    os.utime(far, (13_569_465_600, 13_569_465_600))
    pids = _pids(service)
    service.client.sync(60)
    path = os.fsencode(os.path.realpath(far))
    eventually(lambda: path in consumer.mirror, what="it is there")
    if far.stat().st_mtime_ns > (1 << 63) - 1:  # the filesystem knows that year
        assert consumer.mirror[path] == (2, (1 << 63) - 1)
    far.write_text("{ }")
    service.assert_mirrored(consumer, tree)
    assert _pids(service) == pids
