"""The aggregator itself, and a shard that sends a hundred small frames a second: they are applied a few together, unless somebody
asks meanwhile."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest
import zmq
from entries import Entry, seen
from running import settings_for

from shardwatch.aggregator.client.blocking import ExtractClient
from shardwatch.aggregator.main import Service
from shardwatch.aggregator.process import sockets as aggregator_sockets
from shardwatch.aggregator.process.gathering import GATHER_S, Gathering
from shardwatch.aggregator.process.sharing import Sharing
from shardwatch.shard.contract.files.packed import FILE
from shardwatch.shard.contract.limits import WIRE_VERSION
from shardwatch.shard.contract.process.life import SERVICE_VARIABLE, new_epoch, service_id
from shardwatch.shard.contract.wire.frames import Baseline, Frame, Listing, Looks, Record, encode
from shardwatch.supervisor.planning.planning import ensure_plan
from shardwatch.supervisor.service.state_dir import prepare

#: Of the stream of small frames: how many there are, the names of each, and the pause between two.
FRAMES, NAMES, PAUSE_S = 60, 40, 0.005
#: Messages that the aggregator reads ahead: with so many it does not wait for more.
AHEAD = 16
READY_S = 30.0


def test_frames_of_a_busy_time_are_applied_together(tmp_path: Path, state_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of sixty frames that take 0.3 s to arrive, those of each 50 ms are one transaction; every name is handed over. How long the
    machine takes does not matter: each transaction needs 50 ms, or as many frames as are read ahead."""
    monkeypatch.setattr(Sharing, "yields", lambda sharing, now: False)  # when the worker asks is a matter of chance
    took = transactions_of(tmp_path, state_dir, monkeypatch)
    times = [begun for begun, _ in took]
    assert len(times) <= (times[-1] - times[0]) / GATHER_S + FRAMES / AHEAD + 4


def test_a_request_ends_the_transaction(tmp_path: Path, state_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if somebody asked all the time: frames are applied one by one, and every name is handed over."""
    monkeypatch.setattr(Sharing, "yields", lambda sharing, now: True)
    asked = aggregator_sockets.Sockets.asked
    monkeypatch.setattr(aggregator_sockets.Sockets, "asked", lambda sockets: asked(sockets) or True)
    took = transactions_of(tmp_path, state_dir, monkeypatch)
    assert [entries for _, entries in took] == [NAMES] * FRAMES


def transactions_of(tmp_path: Path, state_dir: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[float, int]]:
    """When each transaction began, and how many entries it applied, of sixty frames of which every name is handed over."""
    monkeypatch.setenv(SERVICE_VARIABLE, os.urandom(16).hex())
    took: list[tuple[float, int]] = []
    take = Gathering.took

    def noting(gathering: Gathering, entries: int, begun: float) -> None:
        took.append((begun, entries))
        take(gathering, entries, begun)

    monkeypatch.setattr(Gathering, "took", noting)
    settings = settings_for(tmp_path, include=("*",), exclude=())
    layout = prepare(state_dir, settings).layout
    plan = ensure_plan(layout, settings)
    (shard,) = plan.shards()
    sockets = aggregator_sockets.Sockets(layout)
    epoch, root = new_epoch(), os.fsencode(os.path.realpath(tmp_path))
    handed: set[str] = set()
    numbers: list[int] = []

    def frame(*records: Record) -> bytes:
        numbers.append(len(numbers) + 1)
        return encode(Frame(WIRE_VERSION, shard, epoch, plan.generation, numbers[-1], [*records], service_id()))

    def files(frame_number: int, version: int) -> list[Entry]:
        inos = range(frame_number * NAMES + 1, (frame_number + 1) * NAMES + 1)
        return [(b"%05d" % ino, FILE, 1, ino, 1, version, version, version, False) for ino in inos]

    def drive() -> None:
        try:
            with zmq.Context() as context, context.socket(zmq.PUSH) as push, ExtractClient(layout.state_dir) as client:
                push.connect(layout.endpoint(layout.facts_socket))
                everything = [file for number in range(FRAMES) for file in files(number, 1)]
                push.send(frame(Listing(root, 1, *seen(everything)), Baseline(plan.generation, 1, len(everything))))
                assert client.ready(READY_S) is not None
                took.clear()
                client.create("g", from_="now")
                for number in range(FRAMES):
                    push.send(frame(Looks(root, 2, *seen(files(number, 2)), [])))
                    time.sleep(PAUSE_S)  # the rate at which they come is what this is about
                while len(handed) < FRAMES * NAMES and (batch := client.pull("g", wait_s=READY_S)) is not None:
                    handed.update(event.path for event in batch.events)
                    batch.ack()
        finally:
            sockets.stop()
            os.write(sockets.wakeup_fd, b"x")

    thread = threading.Thread(target=drive)
    thread.start()
    try:
        assert Service(layout, settings, sockets).run() == 0
    finally:
        thread.join()
        sockets.close()
    assert len(handed) == FRAMES * NAMES
    assert sum(entries for _, entries in took) == FRAMES * NAMES
    return [(begun, entries) for begun, entries in took if entries]
