"""Looks that no hint asks for: they wait for those that a hint asks for, and the verification for the end of the baseline."""

from __future__ import annotations

from collections import deque

import pytest
from shard_scene import ShardScene

from shardwatch.shard.backend.base import Hints
from shardwatch.shard.contract.files.identity import RACY_NS_MAX
from shardwatch.shard.contract.files.packed import FILE, Seen, pack
from shardwatch.shard.contract.wire.frames import Verifying
from shardwatch.shard.schedule.debounce import Debounce
from shardwatch.shard.schedule.rechecks import Rechecks
from shardwatch.shard.territory.verify import Verifier
from shardwatch.shard.tree.nodes import Node

S = 10**9
RACY = Seen([b"f.json"], pack(0, 0, 0, 0, 0, 0, FILE, 1))


class Bench:
    """`Rechecks` over the tree of a scene, with a clock and surroundings of the test's own."""

    def __init__(self, scene: ShardScene, *, verifies: bool = False) -> None:
        scene.settle_clock()
        self.now = 1000 * S
        self.is_resting = True
        self.is_busy = False
        self.owes = False
        self.debounce: Debounce[Node] = Debounce(0, 0)
        self.territory, self._shard = scene.shard.territory, scene.shard
        verifier = Verifier(self.territory, period_ns=3600 * S, cpu=lambda: 0) if verifies else None
        self.rechecks = Rechecks(
            self.territory, self.debounce, deque(), verifier, rests=lambda: self.is_resting,
            busy=lambda now: self.is_busy, owes=lambda: self.owes, clock=lambda: self.now,
        )  # fmt: skip

    def work_when_due(self) -> int:
        """Goes on to the time at which it is due. Returns how many frames are sent for it."""
        due = self.rechecks.next_due()
        assert due is not None
        self.now = max(self.now, due)
        self.rechecks.work(self.now)
        self._shard.stream.flush(self.now)
        sent = len(self._shard.line)
        self._shard.line.clear()
        return sent


@pytest.mark.parametrize(
    ("rests", "owes", "hinted", "sent"),
    [(True, False, False, 1), (False, False, False, 0), (True, True, False, 0), (True, False, True, 0)],
)
def test_a_racy_look_is_followed_by_another(scene: ShardScene, rests: bool, owes: bool, hinted: bool, sent: int) -> None:
    """Once it is certain; unless a look that follows a hint waits by then, which is as good if it is at the same name. Or hints
    were lost, of which one may have told of a change with an equal stat."""
    bench = Bench(scene)
    bench.rechecks.note_racy(bench.now)
    assert bench.rechecks.next_due() is None, "nothing was racy"
    bench.territory.racy.note(scene.node(), RACY)
    bench.rechecks.note_racy(bench.now)
    assert bench.rechecks.next_due() == bench.now + RACY_NS_MAX + S
    bench.is_resting, bench.owes = rests, owes
    if hinted:
        bench.debounce.add(bench.now, {scene.node(): {b"f.json"}})
    assert bench.work_when_due() == sent
    assert bench.rechecks.next_due() is None


def test_a_new_epoch_forgets_racy_looks(scene: ShardScene) -> None:
    """Its baseline looks at everything."""
    bench = Bench(scene)
    bench.territory.racy.note(scene.node(), RACY)
    bench.rechecks.note_racy(bench.now)
    bench.rechecks.clear()
    assert bench.rechecks.next_due() is None


def test_the_verification_goes_on_from_the_baseline_to_the_next_epoch(scene: ShardScene) -> None:
    """And is postponed while there is other work."""
    bench = Bench(scene, verifies=True)
    assert bench.rechecks.next_due() is None
    bench.rechecks.begin()
    bench.is_busy = True
    assert bench.work_when_due() == 0
    assert bench.rechecks.verifying.passes == 0
    bench.is_busy = False
    assert bench.work_when_due() == 1
    assert bench.rechecks.verifying.passes == 1
    bench.rechecks.clear()
    assert bench.rechecks.next_due() is None
    bench.rechecks.work(bench.now + 10_000 * S)
    assert bench.rechecks.verifying.passes == 1


def test_without_a_verification_nothing_is_verified(scene: ShardScene) -> None:
    """What the aggregator asks for, and hints, are of no matter then."""
    bench = Bench(scene)
    bench.rechecks.begin()
    bench.rechecks.hinted(Hints())
    bench.rechecks.check_again((scene.engine.root, None, None))
    assert bench.rechecks.next_due() is None
    assert bench.rechecks.verifying == Verifying()


def test_what_differs_is_not_looked_at_while_lost_hints_are_owed_a_rescan(scene: ShardScene) -> None:
    """Two equal looks would prove what they can't; the aggregator asks again."""
    bench = Bench(scene, verifies=True)
    bench.owes = True
    bench.rechecks.begin()
    scene.shard.line.clear()
    for sent in (0, 1):
        bench.rechecks.check_again((scene.engine.root, None, None))
        bench.now += 4 * S
        bench.rechecks.work(bench.now)
        scene.shard.stream.flush(bench.now)
        assert len(scene.shard.line) == sent
        bench.owes = False
