"""With fewer watches than directories, those in which something changes are watched; a watch that is free again is used."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from shard_scene import ShardScene

from shardwatch.shard.backend.share import WatchShare
from shardwatch.shard.territory.room import RETRY_NS, Room
from shardwatch.shard.territory.tiers import Tier

S = 10**9


def watched(scene: ShardScene) -> set[str]:
    return {node.path()[len(scene.engine.root) + 1 :].decode() for node in scene.node().subtree() if node.wd >= 0}


@pytest.fixture
def short(make: Callable[..., ShardScene]) -> ShardScene:
    """Four watches for nine directories."""
    scene = make(watches_max=4)
    scene.put(*(f"d{n}/f.json" for n in range(8)))
    scene.rests()
    assert len(watched(scene)) == 4
    return scene


def pass_time(scene: ShardScene, seconds: float) -> None:
    for _ in range(int(seconds * 2)):
        scene.engine.turn(500)


def change(scene: ShardScene, name: str, times: int = 2) -> None:
    """Seconds apart, so that each is seen by itself."""
    for n in range(times):
        scene.put(f"{name}/f.json", text="x" * (n + 2))
        scene.put(f"{name}/new{n}.json")
        pass_time(scene, 3)


def test_an_active_directory_gets_the_watch_of_a_quiet_one(short: ShardScene) -> None:
    """And nothing is missed in either, before, meanwhile and after."""
    pass_time(short, 70)
    quiet = sorted(watched(short) - {""})
    change(short, quiet[0], 1)
    polled = next(f"d{n}" for n in range(8) if f"d{n}" not in quiet)
    change(short, polled)
    assert short.shard.watcher.poller.exchanged == 1
    now = watched(short)
    assert {"", polled, quiet[0]} <= now and len(now) == 4
    (lost,) = set(quiet) - now
    assert short.shard.territory.directories.swept.wanting == 5
    short.put(f"{lost}/g.json", f"{polled}/g.json", f"{lost}/new/h.json")
    short.rests()
    assert {f"{lost}/g.json", f"{polled}/g.json", f"{lost}/new/h.json"} <= set(short.paths())
    short.equal()


def test_changes_on_their_way_are_not_lost_with_the_watch(short: ShardScene) -> None:
    """The kernel has queued hints of the directory that gives up its watch: it is listed after that."""
    pass_time(short, 70)
    directories = short.shard.territory.directories
    polled = next(node for node in directories.swept if node.name.startswith(b"d"))
    name = polled.name.decode()
    change(short, name, 1)
    victims: list[str] = []
    quietest = directories.activity.quietest

    def with_hints(now: int) -> object:
        node = quietest(now)
        if node is not None and not victims:
            victims.append(node.name.decode())
            short.put(f"{victims[0]}/late.json", f"{victims[0]}/deep/later.json")
            (short.tree / victims[0] / "f.json").unlink()
        return node

    directories.activity.quietest = with_hints  # type: ignore[assignment]
    change(short, name, 1)
    assert len(victims) == 1
    short.rests()
    assert f"{victims[0]}/deep/later.json" in short.paths() and f"{victims[0]}/f.json" not in short.paths()


def test_watches_are_not_passed_around(short: ShardScene) -> None:
    """One change is no reason; nor is anything while every watch is in use."""
    pass_time(short, 70)
    polled = [node.name.decode() for node in short.shard.territory.directories.swept]
    change(short, polled[0], 1)
    assert short.shard.watcher.poller.exchanged == 0
    for name in watched(short) - {""}:
        short.put(f"{name}/f.json", text="yy")
    short.engine.turn()
    change(short, polled[0], 2)
    assert short.shard.watcher.poller.exchanged == 0 and polled[0] not in watched(short)
    short.equal()


def test_more_watches_are_taken_while_it_runs(short: ShardScene) -> None:
    """Within seconds, the active directories first; when the limit is lowered again, nothing is lost."""
    poller, backend = short.shard.watcher.poller, short.shard.backend
    allowed = [5]
    poller._share = WatchShare(lambda: backend, 1, allowed=lambda: allowed[0], others=lambda: 0)
    pass_time(short, 70)
    polled = [node.name.decode() for node in short.shard.territory.directories.swept]
    change(short, polled[-1], 1)
    assert short.shard.territory.directories.swept.count(Tier.ACTIVE) == 1
    allowed[0] = 6
    pass_time(short, 4)
    assert polled[-1] in watched(short) and len(watched(short)) == 5
    allowed[0] = 20
    pass_time(short, 4)
    assert len(watched(short)) == 9 and not short.shard.territory.directories.swept
    assert short.shard.territory.report() == []
    short.equal()
    backend.watches_max = 9
    allowed[0] = 2
    short.put("more/f.json", "d0/x.json")
    short.rests()
    assert short.shard.territory.directories.swept.wanting == 1
    (doubt,) = short.shard.territory.report()
    assert (doubt.state, doubt.directories) == ("polled", 1)


def test_a_refusal_is_not_repeated_for_each_directory(short: ShardScene, monkeypatch: pytest.MonkeyPatch) -> None:
    """One attempt in two seconds tells whether there is room for any of them."""
    attempts: list[bytes] = []
    watch = short.shard.backend.watch

    def counted(fd: int, node: object, **options: bool) -> object:
        attempts.append(b"")
        return watch(fd, node, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(short.shard.backend, "watch", counted)
    pass_time(short, 20)
    assert 8 <= len(attempts) <= 12


def test_one_refusal_is_enough_where_others_may_be_taken(short: ShardScene, monkeypatch: pytest.MonkeyPatch) -> None:
    """A backend that refuses some filesystems only is asked again at the next look, and not for all directories at once. One that
    can't be opened keeps nobody from a watch."""
    directories, poller = short.shard.territory.directories, short.shard.watcher.poller
    monkeypatch.setattr(directories, "_refuses_all", lambda: False)
    attempts: list[object] = []
    watch = short.shard.backend.watch
    monkeypatch.setattr(short.shard.backend, "watch", lambda fd, node: attempts.append(node) or watch(fd, node))
    pass_time(short, 4)
    attempts.clear()
    assert list(poller.watch_more()) == [] and len(attempts) == 1
    first = next(directories.swept.those_wanting())
    (short.tree / first.name.decode() / "f.json").unlink()
    (short.tree / first.name.decode()).rmdir()
    short.shard.backend.watches_max = 100
    assert len(list(poller.watch_more())) == 5
    assert directories.swept.wanting == 1 and first in directories.swept
    short.rests()
    assert not directories.swept


def test_room_is_asked_for_again_after_a_while() -> None:
    """Or at once, when a watch was given back."""
    now = [5 * S]
    room = Room(lambda: now[0])
    assert room.open
    room.refused()
    assert not room.open
    now[0] += RETRY_NS - 1
    assert not room.open
    now[0] += 1
    assert room.open
    room.refused()
    room.freed()
    assert room.open
