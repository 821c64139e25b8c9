"""A watch, and a service that answers its requests in an order of its own (docs/protocol.md: they are answered in any)."""

from __future__ import annotations

import argparse
import json
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
import zmq
from running import settings_for

from shardwatch.shard.contract.state.layout import Layout
from shardwatch.supervisor.cli.follow import rounds
from shardwatch.supervisor.cli.follow.session import Session
from shardwatch.supervisor.service.state_dir import Prepared
from shardwatch.supervisor.terminal.ends import Ended, Ends

READY = {"files": 1, "directories": 1, "shards": 1, "backend": "polling", "generation": 1, "tick": 1}
POLLED = {"shard": "s0", "path": "/t", "state": "polled", "reason": "polling was asked for", "remedy": "", "directories": 1}
EVENT = {"type": "event", "event_type": "created", "path": "/t/a.json"}
ANSWERS: dict[str, dict[str, Any]] = {
    "ready": {"ready": READY},
    "status": {"status": {"degraded": [POLLED], "shards": []}},
    "pull": {"created": True, "batch": {"id": "b-1", "events": [EVENT], "settled": False}},
    "ack": {},
    "release": {},
}


class Service(threading.Thread):
    """Answers the extract socket of a layout: the first status after the first pull. Ends when the batch is acknowledged."""

    def __init__(self, layout: Layout, acknowledged: Callable[[], None]) -> None:
        super().__init__(daemon=True)
        self._acknowledged = acknowledged
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.ROUTER)
        self._socket.bind(layout.endpoint(layout.extract_socket))

    def run(self) -> None:
        owed: list[tuple[bytes, dict[str, Any]]] = []
        while True:
            sender, body = self._socket.recv_multipart()
            request = msgspec.msgpack.decode(body)
            if request["op"] == "status":
                owed.append((sender, request))
                continue
            self._answer(sender, request)
            if request["op"] == "pull":
                self._socket.poll(200)  # a watch that goes on without the status asks for more in the meantime
                for asked in owed:
                    self._answer(*asked)
                owed.clear()
            if request["op"] == "ack":
                self._acknowledged()
                self._context.destroy(linger=0)
                return

    def _answer(self, sender: bytes, request: dict[str, Any]) -> None:
        self._socket.send_multipart([sender, msgspec.msgpack.encode({"id": request["id"], "ok": True, **ANSWERS[request["op"]]})])


class Child:
    """A service that runs as long as this test."""

    process = argparse.Namespace(pid=os.getpid())

    def check(self) -> None:
        """It runs."""


def test_what_is_polled_is_told_before_ready_whatever_is_answered_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first batch may come before the status that tells of it; it is printed after both lines."""
    monkeypatch.setattr(rounds, "EVERY_S", 3600.0)  # a service that is slow is no silent one
    layout = Layout(os.fspath(tmp_path))
    Path(layout.extract_socket).parent.mkdir()
    options = argparse.Namespace(json=True, start="now", state_dir=None)
    settings = settings_for(Path("/t"))
    prepared = Prepared(layout, (), resumed=False, settings=settings)
    reader, writer = os.pipe()
    printed = b""

    def acknowledged() -> None:
        """A batch is acknowledged when it is printed: there is nothing more to read, and a closed output ends a watch."""
        nonlocal printed
        printed = os.read(reader, 65536)
        os.close(reader)

    service = Service(layout, acknowledged)
    service.start()
    child: Any = Child()
    with Ends(writer) as ends, pytest.raises(Ended), Session(options, ends, prepared, settings, child) as session:
        session.run()
    service.join(30)
    os.close(writer)
    lines = [json.loads(line) for line in printed.splitlines()]
    assert [line["type"] for line in lines] == ["status", "ready", "event"]
    assert "polling was asked for" in lines[0]["message"]
