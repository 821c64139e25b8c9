"""Subtrees pass from one shard to another while all of them run."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator

import pytest
import session
from engine import Shard
from faulty_disk import FaultyDisk
from index_rows import query
from msgspec.structs import replace
from shard_scene import ShardScene

from shardwatch.shard.schedule.watcher import Bounds
from shardwatch.shard.territory.passing_on import pass_on

FIRST = {"": "s0", "a": "s1", "b": "s2"}


@pytest.fixture
def disk() -> FaultyDisk:
    return FaultyDisk()


@pytest.fixture
def scene(disk: FaultyDisk) -> Iterator[ShardScene]:
    scene = ShardScene(session.place(where=session.memory()), anchors=FIRST, disk=disk)
    for directory in ("a", "b", "c", "c/d", "e"):
        scene.put(*(f"{directory}/{n}.json" for n in range(4)))
    scene.equal()
    try:
        yield scene
    finally:
        scene.engine.close()


def looks(scene: ShardScene) -> dict[str, int]:
    return {name: shard.territory.reader.looks for name, shard in scene.engine.shards.items()}


def watches(scene: ShardScene) -> dict[str, int]:
    return {name: shard.backend.watches() for name, shard in scene.engine.shards.items()}


def lives(scene: ShardScene) -> dict[str, int]:
    return {name: shard.epoch for name, shard in scene.engine.shards.items()}


def last_tick(scene: ShardScene) -> int:
    ((tick,),) = query(scene.engine.index, "SELECT max(tick) FROM every")
    return int(tick)


def test_only_what_passes_is_looked_at(scene: ShardScene) -> None:
    """By the shard that is given it. Nobody is started again, no row changes, and each watches what is its own."""
    scene.settle_clock()
    before, epochs, tick = looks(scene), lives(scene), last_tick(scene)
    scene.engine.replan_running({**FIRST, "c": "s1", "e": "s3"})
    scene.rests()
    assert lives(scene) == epochs | {"s3": 1}
    assert {name: count - before.get(name, 0) for name, count in looks(scene).items()} == {"s0": 0, "s1": 8, "s2": 0, "s3": 4}
    assert watches(scene) == {"s0": 1, "s1": 3, "s2": 1, "s3": 1}
    assert last_tick(scene) == tick
    assert scene.engine.receiver.dropped == 0
    scene.put("c/d/new.json", "e/new.json", "b/new.json", "top.json")
    scene.equal()


def test_the_counts_of_files_go_with_them(scene: ShardScene) -> None:
    """By them the shares of the shards are found out; those of the giver by what the plan estimates."""
    scene.engine.replan_running({**FIRST, "c": "s1"})
    scene.rests()
    assert scene.engine.shards["s1"].territory.files == 12


def test_what_was_seen_before_counts_wherever_the_aggregator_was(scene: ShardScene) -> None:
    """Frames under the plan before, of what both had all the time, that come after an aggregator began with the next plan: nobody
    looks at that again."""
    scene.put("a/late.json", "late.json")
    scene.engine.shards["s0"].step()
    scene.engine.shards["s1"].step()
    scene.engine.replan_running({**FIRST, "c": "s1"})
    scene.engine.restart_aggregator(commit=False)
    while scene.engine.lines["s0"] or scene.engine.lines["s1"]:
        scene.engine.deliver("s0")
        scene.engine.deliver("s1")
    assert scene.engine.receiver.dropped == 0
    scene.engine.commit(answer=False)
    assert "late.json" in scene.paths() and "a/late.json" in scene.paths()
    scene.rests()


def test_a_subtree_comes_back(scene: ShardScene) -> None:
    """To and fro, with changes on the way that only its owner of the moment sees."""
    for n, plan in enumerate(({**FIRST, "c": "s1"}, {**FIRST, "c": "s2"}, {**FIRST, "c": "s1", "e": "s1"}, {**FIRST, "c": "s2"})):
        scene.engine.replan_running(plan)
        scene.put(f"c/d/{n}.json", f"c/new{n}/f.json", text=str(n))
        scene.engine.turn()
        scene.put(f"c/d/{n}.json", text=f"{n}{n}")
        scene.equal()


def test_a_sync_under_way_is_answered_under_the_next_plan(scene: ShardScene) -> None:
    """Who has answered is asked again, and what has passed is in the answer."""
    token = scene.engine.receiver.begin_sync(1e9)
    scene.engine.commit()
    for name in ("s0", "s1"):
        scene.engine.shards[name].step()
        scene.engine.deliver(name)
    scene.engine.replan_running({**FIRST, "c": "s2"})
    scene.put("c/new.json")
    scene.engine.receiver.reload_plan()
    for _ in range(400):
        if (result := scene.engine.receiver.sync_result(token)) is not None:
            break
        scene.engine.turn(5)
    assert result == {"ok": True} and scene.engine.difference() == ({}, {})


def test_a_sync_is_not_answered_before_what_was_inherited_is_scanned() -> None:
    """Not either where the heir was not ready, and the sync had begun before the plan was exchanged."""
    place = session.place(where=session.memory())
    scene = ShardScene(place, anchors={"": "s0", "a": "s1"}, settle_ms=10_000, bounds=Bounds(slice_ns=0))
    files = [f"c/d{n:02}/f.json" for n in range(12)]
    scene.put("a/f.json", *files)
    scene.equal()
    heir = scene.engine.shards["s1"]
    heir.territory.siblings_max = 1
    scene.engine.announce({"": "s0", "a": "s1", "c": "s1"})
    heir.follow_plan()
    heir.step()
    assert heir.watcher.handover.taking_on.state == "looking"
    scene.put(*files, text="changed")
    token = scene.engine.receiver.begin_sync(1e9)
    scene.engine.commit()
    scene.engine.exchange_plan()
    for _ in range(400):
        if (result := scene.engine.receiver.sync_result(token)) is not None:
            break
        scene.engine.turn(1)
    assert result == {"ok": True} and scene.engine.difference() == ({}, {})
    scene.engine.close()


def test_hints_that_are_lost_while_a_subtree_is_let_go_cost_a_rescan() -> None:
    """A scan that waits for what was let go stands for no other."""
    place = session.place(where=session.memory())
    scene = ShardScene(place, anchors={"": "s1", "keep": "s0", "give": "s0"}, bounds=Bounds(slice_ns=0))
    kept = [f"keep/d{n}/f.json" for n in range(6)]
    scene.put(*kept, "give/f.json")
    scene.equal()
    giver = scene.shard
    giver.territory.siblings_max = 1
    scene.engine.replan_running({"": "s1", "keep": "s0", "give": "s1"})
    giver.follow_plan()
    _overflow(giver)
    while len(giver.territory.places) > 1:
        giver.step()
    rescans = giver.watcher.scans.rescans
    for _ in range(4):
        giver.step()
    scene.put(*kept, text="other")
    _overflow(giver)
    scene.equal()
    assert giver.watcher.scans.rescans == rescans + 1
    scene.engine.close()


def _overflow(shard: Shard) -> None:
    """The shard takes in that the kernel has lost hints."""
    shard.lose_hints()
    shard.backend.drain()
    shard.watcher.absorb(shard.backend.take())


def test_what_can_not_be_read_is_its_next_owners_to_tell(scene: ShardScene, disk: FaultyDisk) -> None:
    """And no more that of the one before, which goes on telling of its own."""
    doubts = scene.engine.shards["s0"].territory.doubts
    disk.deny(scene.tree / "c/d")
    disk.deny(scene.tree / "e")
    scene.shard.lose_hints()
    scene.engine.turn(700)
    root = scene.engine.root
    assert sorted(path for path, _ in doubts.items()) == [root + b"/c/d", root + b"/e"]
    scene.engine.replan_running({**FIRST, "c": "s1"})
    for _ in range(3):
        scene.engine.turn(5)
    assert [path for path, _ in doubts.items()] == [root + b"/e"]
    assert [path for path, _ in scene.engine.shards["s1"].territory.doubts.items()] == [root + b"/c/d"]
    disk.denied.clear()
    scene.put("c/d/0.json", "e/0.json", text="other")
    scene.engine.turn(3000)
    scene.equal()


def test_a_rescan_under_way_ends_first(scene: ShardScene) -> None:
    """It may be in the midst of what is let go. What is taken on waits as well."""
    giver, taker = scene.engine.shards["s0"], scene.engine.shards["s1"]
    giver.lose_hints()
    giver.watcher.absorb(giver.backend.take())
    assert giver.watcher.scans.rescans == 1
    scene.engine.replan_running({**FIRST, "c": "s1"})
    for shard in (giver, taker):
        shard.follow_plan()
        assert shard.watcher.handover.passes_on
        shard.follow_plan()
    scene.put("c/d/0.json", text="other")
    scene.equal()
    assert not giver.watcher.handover.passes_on and watches(scene) == {"s0": 2, "s1": 3, "s2": 1}


def test_what_is_let_go_is_entered_by_no_scan_that_has_seen_it(scene: ShardScene, disk: FaultyDisk) -> None:
    """One that was begun for a hint has listed the directory above, and what it found there is another's before it is entered."""
    giver = scene.shard
    scene.put("big/m/sub/0.json", *(f"big/d{n}/0.json" for n in range(3)), *(f"big/z{n}/0.json" for n in range(3)))
    giver.territory.siblings_max = 1
    giver.backend.drain()
    giver.watcher.absorb(giver.backend.take())
    giver.watcher.arrivals.step()
    scene.engine.replan_running({**FIRST, "big/m": "s1"})
    plan, change = giver.succession.look(giver.stream.generation) or (None, None)
    assert plan is not None and change is not None
    pass_on(giver.territory, change, frozenset(anchor.path for anchor in plan.anchors))
    while giver.watcher.arrivals.step():
        pass
    assert watches(scene)["s0"] == 4 + 1 + 6, "all but what is the other's"
    scene.rests()
    assert watches(scene)["s1"] == 3
    scene.put("big/m/sub/0.json", text="other")
    scene.equal()


def test_a_new_epoch_goes_on_with_the_next_plan_too(scene: ShardScene) -> None:
    """It begins while the plan waits for its turn, or while what was given is being scanned."""
    for n, plan in enumerate(({**FIRST, "c": "s1"}, {**FIRST, "c": "s2"})):
        scene.engine.replan_running(plan)
        for shard in scene.engine.shards.values():
            shard.follow_plan()
            if n:
                shard.step()
            shard.new_epoch(shard.epoch)
        scene.put("c/d/0.json", text=f"other{n}")
        scene.equal()


def state(scene: ShardScene, shard: str = "s1") -> str:
    return scene.engine.shards[shard].watcher.handover.taking_on.state


def get_ready(scene: ShardScene, plan: dict[str, str], shard: str = "s1") -> None:
    """Announces a plan, and turns until the shard is ready for it."""
    scene.engine.announce(plan)
    for _ in range(100):
        scene.engine.turn(5)
        if state(scene, shard) == "ready":
            return
    raise AssertionError(state(scene, shard))


def test_what_is_to_be_given_is_watched_and_not_told(scene: ShardScene) -> None:
    """Its owner goes on, also with what is made there meanwhile. The heir sends nothing that would have to be dropped."""
    heir, tick = scene.engine.shards["s1"], last_tick(scene)
    get_ready(scene, {**FIRST, "c": "s1"})
    assert watches(scene) == {"s0": 4, "s1": 3, "s2": 1} and last_tick(scene) == tick
    scene.put("c/d/0.json", "c/new/deep/f.json", text="other")
    scene.equal()
    assert watches(scene)["s1"] == 5 and scene.engine.receiver.dropped == 0
    scene.engine.exchange_plan()
    scene.equal()
    assert watches(scene) == {"s0": 2, "s1": 5, "s2": 1} and lives(scene) == {"s0": 1, "s1": 1, "s2": 1}
    assert not heir.territory.heirs.places and state(scene) == ""


@pytest.mark.parametrize("told_by_owner", [False, True])
def test_what_changed_last_is_told_before_anything_is_scanned(scene: ShardScene, told_by_owner: bool) -> None:
    """The heir has seen it in silence, and its owner has not come to tell it, or has: then it is told once."""
    get_ready(scene, {**FIRST, "c": "s1"})
    heir = scene.engine.shards["s1"]
    scene.put("c/d/0.json", "c/made/here.json", text="other")
    (scene.tree / "c/d/1.json").unlink()
    heir.step()
    if told_by_owner:
        scene.engine.turn()
    tick = last_tick(scene)
    heir.watcher.scans._rate.limit(1)
    scene.engine.exchange_plan()
    heir.follow_plan()
    for _ in range(3):
        heir.step()
        while scene.engine.lines["s1"]:
            scene.engine.deliver("s1")
        scene.engine.commit()
    assert heir.watcher.scans, "the scan is held back"
    assert scene.engine.difference() == ({}, {})
    assert (last_tick(scene) > tick) is not told_by_owner
    heir.watcher.scans._rate.limit(0)
    scene.rests()


def test_what_is_watched_in_advance_is_scanned_once(scene: ShardScene, disk: FaultyDisk) -> None:
    """Although it takes longer than the time after which anchors are compared; the exchange would have to wait for a second
    scan."""
    heir = scene.engine.shards["s1"]
    heir.watcher.scans._rate.limit(2)
    disk.listed.clear()
    scene.engine.announce({**FIRST, "c": "s1", "e": "s1"})
    for _ in range(200):
        scene.engine.turn(100)
    assert state(scene) == "ready"
    assert sorted(disk.listed) == [os.fsencode(scene.tree / name) for name in ("c", "c/d", "e")]
    heir.watcher.scans._rate.limit(0)
    scene.engine.exchange_plan()
    scene.equal()


def test_nothing_comes_of_it(scene: ShardScene, disk: FaultyDisk) -> None:
    """Another plan is announced, or none: what was watched in advance is let go, as if it had never been."""
    get_ready(scene, {**FIRST, "c": "s1"})
    get_ready(scene, {**FIRST, "e": "s1"})
    assert watches(scene)["s1"] == 2
    stops = frozenset(anchor.path for anchor in scene.engine.plan.anchors)
    disk.deny(scene.tree / "e")
    scene.put("e/new.json")
    scene.engine.turn(700)
    scene.engine.announce(FIRST)
    scene.engine.turn(5)
    scene.engine.turn(5)
    heir = scene.engine.shards["s1"]
    assert watches(scene)["s1"] == 1 and heir.territory.stops == stops and not heir.territory.doubts
    disk.denied.clear()
    scene.engine.turn(3000)
    scene.equal()


def test_what_was_not_announced_so_is_scanned(scene: ShardScene) -> None:
    """The plan that comes gives the heir something else: that is looked at, and what it was ready for is let go."""
    get_ready(scene, {**FIRST, "c": "s1"})
    scene.engine.replan_running({**FIRST, "e": "s1"})
    scene.put("c/d/0.json", "e/0.json", text="other")
    scene.equal()
    assert watches(scene) == {"s0": 3, "s1": 2, "s2": 1}


def test_the_exchange_does_not_wait_for_who_is_not_ready(scene: ShardScene) -> None:
    """Its scan in advance is broken off, and begins anew as that of an owner."""
    heir = scene.engine.shards["s1"]
    heir.watcher.scans._rate.limit(1)
    scene.engine.announce({**FIRST, "c": "s1"})
    heir.follow_plan()
    heir.step()
    assert state(scene) == "looking" and heir.territory.heirs.places
    scene.engine.exchange_plan()
    heir.watcher.scans._rate.limit(0)
    scene.put("c/d/0.json", text="other")
    scene.equal()
    assert watches(scene) == {"s0": 2, "s1": 3, "s2": 1}


def test_without_watches_nothing_is_watched_in_advance(scene: ShardScene) -> None:
    """The heir lets go of all of it, and is not asked again; it watches when the plan is exchanged."""
    heir = scene.engine.shards["s1"]
    heir.backend.watches_max = 2
    scene.engine.announce({**FIRST, "c": "s1"})
    for _ in range(3):
        scene.engine.turn(5)
    assert state(scene) == "no watches left" and watches(scene)["s1"] == 1
    assert not heir.territory.heirs.places and not heir.territory.directories.swept
    heir.backend.watches_max = 0
    scene.put("c/d/0.json", text="other")
    scene.engine.exchange_plan()
    scene.equal()
    assert watches(scene)["s1"] == 3


def told(scene: ShardScene) -> list[tuple[str, str, str, int]]:
    """What the status says is in doubt: (shard, path, state, directories)."""
    root = scene.engine.root
    found = [(name, doubt) for name, shard in scene.engine.shards.items() for doubt in shard.territory.report()]
    return sorted((name, os.path.relpath(doubt.path, root).decode(), doubt.state, doubt.directories) for name, doubt in found)


def test_what_two_shards_watch_is_in_doubt_once(scene: ShardScene, disk: FaultyDisk) -> None:
    """In the status and in the answers of syncs its owner tells it, and the heir as soon as it is the owner."""
    disk.deny(scene.tree / "c/d")
    disk.deny(scene.tree / "a")
    for name in ("s0", "s1"):
        scene.engine.shards[name].lose_hints()
    get_ready(scene, {**FIRST, "c": "s1"})
    scene.engine.until_quiet()
    both = [("s0", "c/d", "unreadable", 0), ("s1", "a", "unreadable", 0)]
    assert len(scene.engine.shards["s1"].territory.doubts) == 2 and told(scene) == both
    missing = [os.fsencode(scene.tree / path) for path in ("c/d", "a")]
    assert scene.engine.sync() in [
        {"ok": False, "error": "some subtrees can't be read", "subtrees": paths} for paths in (missing, missing[::-1])
    ]
    scene.engine.exchange_plan()
    scene.engine.until_quiet()
    assert told(scene) == [("s1", "a", "unreadable", 0), ("s1", "c/d", "unreadable", 0)]


def test_an_heir_without_watches_is_in_want_of_none_for_what_it_is_to_be_given(scene: ShardScene) -> None:
    """While it looks, its status counts what it wants for its own directories."""
    heir = scene.engine.shards["s1"]
    scene.put("a/sub/0.json", "a/other/0.json")
    scene.equal()
    heir.territory.siblings_max = 1
    heir.watcher._bounds = Bounds(slice_ns=0)
    scene.engine.announce({**FIRST, "c": "s1"})
    heir.follow_plan()
    heir.backend.watches_max = 3
    while not heir.territory.directories.swept.wanting:
        heir.step()
    assert state(scene) == "looking" and told(scene) == []
    scene.put("a/third/0.json")
    while len(heir.territory.directories.swept) < 2:
        heir.step()
    assert [(path, kind, count) for _, path, kind, count in told(scene)] == [("a/third", "polled", 1)]


def test_an_heir_that_dies_or_begins_anew_gets_ready_again(scene: ShardScene) -> None:
    """After its own baseline."""
    get_ready(scene, {**FIRST, "c": "s1"})
    heir = scene.engine.shards["s1"]
    heir.new_epoch(heir.epoch)
    assert not heir.territory.heirs.places and watches(scene)["s1"] == 1
    for _ in range(5):
        scene.engine.turn(5)
    assert state(scene) == "ready" and watches(scene)["s1"] == 3
    scene.engine.kill("s1")
    scene.engine.start("s1")
    for _ in range(5):
        scene.engine.turn(5)
    assert state(scene) == "ready" and watches(scene)["s1"] == 3
    scene.engine.exchange_plan()
    scene.equal()


def test_the_scan_in_advance_stops_where_the_next_plan_does(scene: ShardScene) -> None:
    """Below what it is to be given, some stays with its owner, some goes to a third one, and some is the heir's already."""
    scene.put("big/stays/0.json", "big/third/0.json", "big/own/0.json", "big/goes/0.json")
    scene.engine.replan_running({**FIRST, "big/own": "s1"})
    scene.equal()
    assert watches(scene) == {"s0": 8, "s1": 2, "s2": 1}
    get_ready(scene, {**FIRST, "big/own": "s1", "big": "s1", "big/stays": "s0", "big/third": "s2"})
    assert watches(scene)["s1"] == 4
    scene.put("big/stays/1.json", "big/third/1.json", "big/own/1.json", "big/goes/1.json", "big/1.json")
    scene.equal()
    scene.engine.exchange_plan()
    scene.put("big/stays/1.json", "big/third/1.json", "big/own/1.json", "big/goes/1.json", "big/1.json", text="other")
    scene.equal()
    assert watches(scene)["s1"] == 4


def test_a_polled_subtree_is_reported_when_it_is_owned(disk: FaultyDisk) -> None:
    """What the heir has listed in silence counts as reported by nobody."""
    scene = ShardScene(session.place(where=session.memory()), anchors=FIRST, disk=disk)
    try:
        scene.put("a/0.json", "b/0.json", "c/0.json")
        scene.equal()
        scene.engine.plan = replace(
            scene.engine.plan,
            anchors=tuple(replace(a, backend="polling") if a.path == scene.engine.root else a for a in scene.engine.plan.anchors),
        )
        scene.engine.announce({**FIRST, "c": "s1"})
        next_ = scene.engine.plan.next
        assert next_ is not None
        polled = tuple(replace(a, backend="polling") if a.path.endswith(b"/c") else a for a in next_.anchors)
        scene.engine.plan = replace(scene.engine.plan, next=replace(next_, anchors=polled))
        for _ in range(5):
            scene.engine.turn(5)
        heir = scene.engine.shards["s1"]
        assert state(scene) == "ready" and len(heir.territory.directories.swept) == 1
        scene.put("c/0.json", text="other")
        for _ in heir.watcher.poller.run():
            pass
        scene.engine.kill("s0")  # it has not told
        scene.engine.lines["s0"].clear()
        scene.engine.exchange_plan()
        scene.equal()
    finally:
        scene.engine.close()


def test_what_stays_under_an_anchor_of_its_own_is_watched_all_the_time(scene: ShardScene) -> None:
    """What is above it passes to another shard. It is scanned once more, but changes do not wait for that."""
    owner = scene.shard
    scene.put("c/d/e/0.json", "c/d/f/0.json")
    scene.equal()
    node = scene.node("c/d/e")
    owner.watcher.scans._rate.limit(1)
    owner.watcher.scans._rate.spent(100, scene.engine.now)
    scene.engine.replan_running({**FIRST, "c": "s1", "c/d": "s0"})
    owner.follow_plan()
    owner.step()
    assert owner.watcher.scans.pauses and scene.node("c/d/e") is node and node.alive
    assert [place.node is not None and place.node.wd >= 0 for place in owner.territory.places] == [True, True]
    assert watches(scene) == {"s0": 5, "s1": 1, "s2": 1}, "but for c"
    scene.put("c/d/e/0.json", "c/d/0.json", "c/d/new/0.json", text="other")
    for _ in range(3):
        owner.step()
    while owner.line:
        scene.engine.deliver("s0")
    scene.engine.commit(answer=False)
    assert scene.engine.difference() == ({}, {})
    owner.watcher.scans._rate.limit(0)
    scene.equal()
    assert watches(scene) == {"s0": 6, "s1": 2, "s2": 1}


def hold_scans(shard: Shard) -> None:
    shard.watcher.scans._rate.limit(1)
    shard.watcher.scans._rate.spent(1_000, shard.engine.now)


def test_a_shard_gives_the_top_away_and_keeps_parts_below(disk: FaultyDisk) -> None:
    """One of them lies in what passes from within another. All that stays is watched all the time, with the same nodes; what was
    hinted just before, and what was on its way, is told before anything is scanned."""
    place = session.place(where=session.memory())
    scene = ShardScene(place, anchors={"": "s0", "a": "s1", "k": "s0"}, settle_ms=1_000, disk=disk)
    try:
        scene.put("a/0.json", "k/0.json", "c/0.json", "c/d/0.json", "c/d/e/0.json", "c/d/e/f/0.json", "c/g/0.json", "h/0.json")
        scene.equal()
        owner = scene.shard
        kept = {path: scene.node(path) for path in ("c/g", "c/d/e/f")}
        held = watches(scene)
        for shard in scene.engine.shards.values():
            hold_scans(shard)
        scene.put("c/g/0.json", text="on its way")
        owner.step()
        scene.engine.now += 2_000_000_000
        owner.step()
        assert owner.line and not owner.watcher.debounce
        scene.put("c/0.json", "c/d/e/0.json", text="hinted")  # in the directories that become anchors
        owner.step()
        assert owner.watcher.debounce
        before, listed = looks(scene), len(disk.listed)
        scene.engine.replan_running({"": "s1", "a": "s1", "k": "s0", "c": "s0", "c/d": "s1", "c/d/e": "s0"})
        assert scene.engine.receiver.reload_plan()
        owner.follow_plan()
        for _ in range(6):
            owner.step()
        assert owner.watcher.scans.pauses
        assert {path: scene.node(path) for path in kept} == kept and all(node.alive for node in kept.values())
        assert watches(scene) == {"s0": 5, "s1": held["s1"]}, "k, c, c/g, c/d/e and c/d/e/f"
        assert [os.path.relpath(path, scene.engine.root) for path in sorted(disk.listed[listed:])] == [b"c", b"c/d/e"]
        assert looks(scene)["s0"] - before["s0"] == 2, "the files in them"
        while owner.line:
            scene.engine.deliver("s0")
        scene.engine.commit(answer=False)
        assert scene.engine.difference() == ({}, {}) and scene.engine.receiver.dropped == 0
        for shard in scene.engine.shards.values():
            shard.watcher.scans._rate.limit(0)
        scene.equal()
        assert watches(scene) == {"s0": 5, "s1": 4}
        assert owner.known() == len(owner.territory.directories) == 5
    finally:
        scene.engine.close()


def test_what_is_replaced_or_swept_meanwhile_is_not_taken_along(scene: ShardScene) -> None:
    """It is cut, and scanned as if it were new."""
    for n, spoil in enumerate(("replaced", "gone", "swept")):
        owner = scene.shard  # it is started again where it keeps nothing, as when c comes back
        scene.put("c/d/0.json", "c/e/0.json", text=str(n))
        scene.equal()
        scene.engine.replan_running({**FIRST, "c": "s1", "c/d": "s0"})
        if spoil == "replaced":
            (scene.tree / "c/d").rename(scene.tree / "c/was")
            scene.put("c/d/0.json", text="other")
        elif spoil == "gone":
            shutil.rmtree(scene.tree / "c/d")
        else:
            owner.backend.watches_max = 1
            scene.put("z/0.json")
            owner.step()
            assert owner.territory.directories.swept
        scene.equal()
        owner.backend.watches_max = 0
        scene.engine.replan_running(FIRST)
        scene.equal()


def test_how_an_anchor_is_observed_is_known_by_its_number(scene: ShardScene) -> None:
    """After others before it were let go, its place among the shard's anchors is not its number any more."""
    territory = scene.engine.shards["s1"].territory
    (first,) = territory.places
    root = scene.engine.root
    watched, polled = replace(first.anchor, path=root + b"/c"), replace(first.anchor, path=root + b"/none", backend="polling")
    territory.exchange((), [watched, polled], territory.stops)
    kept = territory.places[1]
    territory.exchange([first], [], territory.stops)
    assert territory.directories.instance_below(kept.plant(), 1)[0] >= 0
    territory.directories.uproot(first)
    territory.directories.uproot(kept)
