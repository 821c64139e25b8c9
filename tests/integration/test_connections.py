"""More workers than the aggregator has descriptors, and workers that read nothing: a real aggregator process with few of them."""

from __future__ import annotations

import contextlib
import json
import math
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from cli_process import environment
from running import GUARD_S, running, settings_for
from waiting import eventually

from shardwatch.aggregator.client.blocking import ExtractClient
from shardwatch.aggregator.client.replies import RequestError
from shardwatch.shard.contract.limits import FRAME_BYTES_MAX
from shardwatch.shard.contract.state.layout import Layout
from shardwatch.shard.contract.state.settings import write_settings
from shardwatch.shard.contract.wire import zmtp
from shardwatch.supervisor.service.state_dir import prepare

#: Descriptors of the aggregator, soft and hard, as `ulimit -n` sets them; and workers.
DESCRIPTORS = 200
WORKERS = 320


class Worker:
    """A connection to the extract socket, of one descriptor."""

    def __init__(self, layout: Layout) -> None:
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._sock.settimeout(GUARD_S)
        self._sock.connect(str(layout.extract_socket))
        self._decoder = zmtp.Decoder(FRAME_BYTES_MAX)
        self._sock.sendall(zmtp.GREETING + zmtp.ready(b"DEALER"))

    def ask(self, **fields: Any) -> None:
        self.ask_many(fields)

    def ask_many(self, *requests: dict[str, Any]) -> None:
        """All at a time."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._sock.sendall(b"".join(zmtp.message([json.dumps({"v": 1, **fields}).encode()]) for fields in requests))

    def replies(self) -> list[dict[str, Any]]:
        """What is there by now."""
        found = []
        self._sock.setblocking(False)
        with contextlib.suppress(BlockingIOError, ConnectionResetError):
            while data := self._sock.recv(1 << 16):
                found += [json.loads(parts[-1]) for parts in self._decoder.feed(data, 10**6)]
        return found

    def close(self) -> None:
        self._sock.close()


def test_what_is_asked_at_a_time_is_all_answered(state_dir: Path, tmp_path: Path, no_leaks: None) -> None:
    """Also behind a batch that is longer than all that is kept for a connection that reads nothing."""
    deep = tmp_path / "root" / Path(*["d" * 240] * 6)
    deep.mkdir(parents=True)
    for number in range(1000):
        (deep / f"{number}.ast.json").touch()
    with running(state_dir, settings_for(tmp_path / "root")) as service:
        worker = Worker(service.layout)
        service.client.create("g", from_="start")
        for _ in range(3):
            worker.ask_many({"op": "pull", "group": "g", "id": 1, "wait_ms": 60_000}, {"op": "hello", "id": 2})
            heard: dict[int, dict[str, Any]] = {}

            def all_answered(heard: dict[int, dict[str, Any]] = heard) -> bool:
                heard |= {reply["id"]: reply for reply in worker.replies()}
                return len(heard) == 2

            eventually(all_answered, GUARD_S)
            assert len(heard[1]["batch"]["events"]) == 1000 and heard[2]["ok"]
            assert service.client.release("g", batch=heard[1]["batch"]["id"]) == 1
        worker.close()


@pytest.fixture
def aggregator(tree: Path, state_dir: Path) -> Iterator[tuple[Layout, psutil.Process]]:
    """One that runs by itself, with few descriptors."""
    layout = prepare(state_dir, settings_for(tree)).layout
    write_settings(layout.settings, settings_for(tree))
    with layout.log("aggregator").open("wb") as log:
        process = subprocess.Popen(
            ["sh", "-c", f'ulimit -n {DESCRIPTORS}; exec "$@"', "sh", sys.executable, "-P", "-m", "shardwatch.aggregator.main",
             "--state-dir", layout.state_dir],
            stdin=subprocess.PIPE, stdout=log, stderr=log, env=environment(),
        )  # fmt: skip
    try:
        eventually(layout.extract_socket.exists, GUARD_S, what="it listens")
        yield layout, psutil.Process(process.pid)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        process.wait(GUARD_S)


def waiting(client: ExtractClient) -> float:
    """How many requests wait; infinitely many while there is no room to ask."""
    try:
        return float(client.status()["waiting_requests"])
    except RequestError as error:
        assert error.code == "busy"
        return math.inf


def test_more_workers_than_descriptors(aggregator: tuple[Layout, psutil.Process]) -> None:
    """As many as there is room for wait in `pull`, the others are told `busy` or wait themselves; nobody dies. Whoever
    asks again is served when others have gone, and everything is given back."""
    layout, process = aggregator
    with ExtractClient(layout.state_dir, timeout_s=GUARD_S) as client:
        client.request("hello", patience_s=GUARD_S)
    idle = process.num_fds()
    workers = [Worker(layout) for _ in range(WORKERS)]
    for worker in workers:
        worker.ask(op="pull", group="g", wait_ms=600_000, **{"from": "start"})
    said: list[dict[str, Any]] = []

    def told() -> bool:
        for worker in workers:
            said.extend(worker.replies())
        return len(said) >= 16

    eventually(told, GUARD_S, what="some are told that there is no room")
    assert {reply["error"] for reply in said} == {"busy"}
    assert "descriptors" in said[0]["message"] and "ulimit -n" in said[0]["remedy"]
    assert process.is_running() and process.num_fds() < DESCRIPTORS
    assert "descriptors" in layout.log("aggregator").read_text()
    for worker in workers[:-1]:
        worker.close()
    with ExtractClient(layout.state_dir, timeout_s=GUARD_S) as client:
        eventually(lambda: waiting(client) <= 1, GUARD_S, what="who went away waits no more")
        assert client.pull("g", wait_s=0.0) is None
    workers[-1].close()
    eventually(lambda: process.num_fds() <= idle + 2, GUARD_S, what="descriptors are given back")


def test_a_burst_of_connections_at_every_socket(aggregator: tuple[Layout, psutil.Process]) -> None:
    """Opened and closed again, without a word, many times as many as there are descriptors."""
    layout, process = aggregator
    with ExtractClient(layout.state_dir, timeout_s=GUARD_S) as client:
        for path in (layout.facts_socket, layout.acks_socket, layout.extract_socket):
            with contextlib.ExitStack() as stack:
                for _ in range(WORKERS):
                    sock = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
                    sock.settimeout(0.2)
                    with contextlib.suppress(TimeoutError, BlockingIOError):
                        sock.connect(str(path))
            assert client.status()["groups"] == []
    assert process.is_running()


def test_peeks_that_are_never_read(aggregator: tuple[Layout, psutil.Process]) -> None:
    """What one connection has not read, and asks for besides, takes no memory; others are served."""
    layout, process = aggregator
    with ExtractClient(layout.state_dir, timeout_s=GUARD_S) as client:
        for n in range(300):
            client.pull(f"{n:03}-{'x' * 190}", from_="start", wait_s=0.0)
        before = process.memory_info().rss
        stuck = [Worker(layout) for _ in range(20)]
        for worker in stuck:
            worker._sock.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                for _ in range(5_000):
                    worker.ask(op="groups")
        for _ in range(20):
            assert len(client.groups()) == 300
        assert process.memory_info().rss < before + (96 << 20)
        for worker in stuck:
            worker.close()
        assert len(client.groups()) == 300
