"""FleetClient where no server is: how it ends."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from cli_process import GUARD_S

from shardwatch.fleet import FleetClient
from shardwatch.shard.contract.errors import NotRunningError

#: Nobody listens on this port, which only root could.
NOWHERE = "nats://127.0.0.1:1"


@pytest.mark.parametrize("turn", range(10))
def test_a_loop_ends_when_another_thread_closes_the_client(tmp_path: Path, turn: int) -> None:
    """At whatever moment that is: while it begins (turns of odd number), or while it waits for a server."""
    client = FleetClient(tmp_path / "store.sqlite", NOWHERE)
    begins = threading.Event()
    ended: list[str] = []

    def work() -> None:
        batches = client.batches("g")
        begins.set()
        try:
            next(batches)
        except NotRunningError as error:
            ended.append(error.message)

    worker = threading.Thread(target=work)
    worker.start()
    assert begins.wait(GUARD_S)
    if turn % 2 == 0:
        worker.join(0.05)
    client.close()
    worker.join(GUARD_S)
    assert (worker.is_alive(), ended) == (False, ["the client is closed"])
    client.close()
