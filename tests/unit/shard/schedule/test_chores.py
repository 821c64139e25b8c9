"""Work that comes back again and again: of a backend that loses hints silently."""

from __future__ import annotations

import os
from pathlib import Path

from shardwatch.shard.backend.sweeping import SweepingBackend
from shardwatch.shard.contract.filter.filter import Filter
from shardwatch.shard.contract.state.planfile import Anchor
from shardwatch.shard.contract.wire.frames import Listing, Record
from shardwatch.shard.disk.look import Reader
from shardwatch.shard.schedule.debounce import Debounce
from shardwatch.shard.schedule.polling import Poller, PollPace
from shardwatch.shard.schedule.watcher import Watcher
from shardwatch.shard.stream.send import Stream
from shardwatch.shard.territory.doubts import Doubts
from shardwatch.shard.territory.territory import Territory
from shardwatch.shard.tree.nodes import Node


class Backend(SweepingBackend):
    """Registers nothing and loses hints without a word."""

    lossy = True

    def watch(self, fd: int, node: Node, *, names: bool = True) -> None:
        node.wd = 0

    def same(self, fd: int, node: Node) -> bool:
        return True


def test_a_lossy_backend_is_rescanned(tmp_path: Path) -> None:
    """At every sync, and once a minute."""
    (tmp_path / "f.json").write_text("x")
    said: list[Record] = []
    now = [0]
    backend = Backend("lossy")
    anchors = [Anchor(os.fsencode(tmp_path), "s0", os.fsencode(tmp_path))]
    own = Territory(
        anchors, frozenset([anchors[0].path]), reader=Reader(Filter(("*.json",), ()), state_dir=b"/n"), backend=backend,
        doubts=Doubts(lambda missing: ""), emit=said.append,
    )  # fmt: skip
    stream = Stream("s0", 1, 1, lambda body: True)
    poller = Poller(own, PollPace(10**9), clock=lambda: now[0])
    watching = Watcher(own, backend, stream, Debounce(0, 0), poller=poller, clock=lambda: now[0])
    watching.begin()
    assert not watching.idle
    while not watching.idle:
        watching.work()
    assert watching.baseline_done
    del said[:]
    watching.syncs.ask(1)
    while not watching.idle:
        watching.work()
    assert [type(r) for r in said] == [Listing]
    now[0] += 61 * 10**9
    assert watching.next_due() <= now[0]
    watching.work()
    assert watching.scans.rescans == 2
    assert watching.next_due() > now[0]
    backend.close()
