"""The aggregator itself, and a shard that hears its replies only after a sync has been asked for, as after a restart."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
import zmq
from running import settings_for
from waiting import eventually

from shardwatch.aggregator import main as aggregator_main
from shardwatch.aggregator.client.blocking import ExtractClient
from shardwatch.aggregator.process.sockets import Sockets
from shardwatch.shard.contract.limits import WIRE_VERSION
from shardwatch.shard.contract.process.life import SERVICE_VARIABLE, new_epoch, service_id
from shardwatch.shard.contract.wire.frames import Baseline, Frame, Listing, Record, Synced, decode_down, encode
from shardwatch.supervisor.planning.planning import ensure_plan
from shardwatch.supervisor.service.state_dir import prepare

READY_S = 30.0


def test_a_sync_waits_for_no_beat_where_a_shard_listens_late(
    tmp_path: Path, state_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The question goes out while nobody hears it, and there is no beat after the first one: the shard is told as soon as it
    listens."""
    monkeypatch.setenv(SERVICE_VARIABLE, os.urandom(16).hex())
    monkeypatch.setattr(aggregator_main, "next_beat", lambda now, period: now + 100 * READY_S)
    settings = settings_for(tmp_path, include=("*",), exclude=())
    layout = prepare(state_dir, settings).layout
    plan = ensure_plan(layout, settings)
    (shard,) = plan.shards()
    sockets = Sockets(layout)
    unheard: list[int] = []
    publish = sockets.publish

    def noting(to: str, body: bytes) -> None:
        unheard.extend(decode_down(body).syncs)
        publish(to, body)

    monkeypatch.setattr(sockets, "publish", noting)
    epoch, root = new_epoch(), os.fsencode(os.path.realpath(tmp_path))
    answers: list[dict[str, object]] = []

    def frame(number: int, *records: Record) -> bytes:
        return encode(Frame(WIRE_VERSION, shard, epoch, plan.generation, number, [*records], service_id()))

    def ask() -> None:
        with ExtractClient(layout.state_dir) as client:
            answers.append(client.sync(2 * READY_S))

    def drive() -> None:
        asking = threading.Thread(target=ask)
        try:
            with zmq.Context() as context, context.socket(zmq.PUSH) as push, context.socket(zmq.SUB) as heard:
                push.connect(layout.endpoint(layout.facts_socket))
                push.send(frame(1, Listing(root, 1, [], b""), Baseline(plan.generation, 1, 0)))
                with ExtractClient(layout.state_dir) as client:
                    assert client.ready(READY_S) is not None
                asking.start()
                eventually(lambda: unheard)
                heard.subscribe(shard.encode() + b"\0")
                heard.connect(layout.endpoint(layout.acks_socket))
                assert heard.poll(int(READY_S * 1000))
                tokens = decode_down(heard.recv_multipart()[-1]).syncs
                assert tokens == unheard[:1]
                push.send(frame(2, *map(Synced, tokens)))
                asking.join()
        finally:
            sockets.stop()
            os.write(sockets.wakeup_fd, b"x")
            if asking.ident is not None:
                asking.join()

    thread = threading.Thread(target=drive)
    thread.start()
    try:
        assert aggregator_main.Service(layout, settings, sockets).run() == 0
    finally:
        thread.join()
        sockets.close()
    assert len(answers) == 1
