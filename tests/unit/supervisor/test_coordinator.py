"""The coordinator's decisions: when a plan is kept, and what is added to and removed from supervisord."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cli_process import GUARD_S, environment

from shardwatch.shard.contract.errors import ShardwatchError
from shardwatch.shard.contract.process.life import Pulse
from shardwatch.shard.contract.state.layout import Layout
from shardwatch.shard.contract.state.planfile import Anchor, Plan, read_plan, write_plan
from shardwatch.shard.contract.state.settings import Settings
from shardwatch.supervisor.coordinator import in_child, reconcile, without_next
from shardwatch.supervisor.planning.apart import Apart
from shardwatch.supervisor.planning.planning import backend_of, ensure_plan, kept_plan, same_owners, still_fits

R = b"/r"
SETTINGS = Settings(roots=(R,), include=("*",), exclude=())
PLAN = Plan(4, (Anchor(R, "s0", R), Anchor(R + b"/x", "s1", R, directories=7)), "k")


LOCAL = Apart((R,), [(b"/", "ext4")], lambda path: False)


class FakeShards:
    """supervisord's list of shards, and what was asked of it."""

    def __init__(self, *ids: str) -> None:
        self.ids = list(ids)
        #: Those that were told to leave, and that an operator has stopped.
        self.leaving: set[str] = set()
        self.stopped: set[str] = set()

    def status(self) -> list[dict[str, Any]]:
        ended = self.leaving | self.stopped
        states = {shard: "STOPPED" if shard in ended else "RUNNING" for shard in self.ids}
        rows = [{"group": "shards", "name": name, "state": state} for name, state in states.items()]
        return [{"group": "aggregator", "name": "aggregator", "state": "RUNNING"}, *rows]

    def add(self, shard: str) -> bool:
        if shard in self.leaving:
            self.leaving.remove(shard)
            return True
        if shard in self.ids:
            return False
        self.ids.append(shard)
        return True

    def remove(self, shard: str) -> bool:
        self.ids.remove(shard)
        return True


def test_reconcile() -> None:
    """Missing shards are added, others removed, other programs left alone; a second pass does nothing."""
    shards = FakeShards("s1", "old")
    assert reconcile(PLAN, shards, lambda: None) == (["s0"], ["old"])
    assert sorted(shards.ids) == ["s0", "s1"]
    assert reconcile(PLAN, shards, lambda: None) == ([], [])


def test_a_shard_that_was_to_be_removed_is_started_again() -> None:
    """The predecessor was killed when it had asked for that. One that an operator has stopped stays so."""
    shards = FakeShards("s0", "s1")
    shards.leaving.add("s1")
    assert reconcile(PLAN, shards, lambda: None) == (["s1"], [])
    shards.stopped.add("s1")
    assert reconcile(PLAN, shards, lambda: None) == ([], []) and shards.ids == ["s0", "s1"]


@pytest.mark.parametrize(
    ("plan", "settings", "fits"),
    [
        (PLAN, SETTINGS, True),
        (None, SETTINGS, False),
        (msgspec.structs.replace(PLAN, key="other"), SETTINGS, False),
        (msgspec.structs.replace(PLAN, anchors=()), SETTINGS, False),
        (PLAN, msgspec.structs.replace(SETTINGS, shards=2), True),
        (PLAN, msgspec.structs.replace(SETTINGS, shards=3), False),
        (PLAN, msgspec.structs.replace(SETTINGS, backend="polling"), False),
    ],
)
def test_still_fits(plan: Plan | None, settings: Settings, fits: bool) -> None:
    """A plan is kept for the same key, number of shards and backend only."""
    assert still_fits(plan, settings, "k", LOCAL) is fits


def test_a_plan_that_polls_for_want_of_watches_is_tried_again() -> None:
    """When watches were short, the next start plans anew: there may be room now."""
    polled = msgspec.structs.replace(PLAN, anchors=(PLAN.anchors[0], Anchor(R + b"/y", "s1", R, backend="polling")))
    assert not still_fits(polled, SETTINGS, "k", LOCAL)


@pytest.mark.parametrize(
    ("asked", "remote", "backend"),
    [
        ("auto", False, "inotify"),
        ("auto", True, "polling"),
        ("inotify", True, "polling"),
        ("fanotify", False, "fanotify"),
        ("fanotify", True, "polling"),
        ("native", False, "native"),
        ("native", True, "polling"),
        ("polling", False, "polling"),
    ],
)
def test_backend_of(asked: str, remote: bool, backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no event is raised, everything polls; else what was asked for."""
    monkeypatch.setattr("sys.platform", "linux")
    settings = msgspec.structs.replace(SETTINGS, backend=asked)
    assert backend_of(settings, lambda path: remote)(R) == backend


def test_same_owners_leaves_weights_aside() -> None:
    """Only path, shard, root and backend make a plan another."""
    heavier = msgspec.structs.replace(PLAN, generation=9, anchors=(Anchor(R, "s0", R, files=10), PLAN.anchors[1]))
    assert same_owners(PLAN, heavier)
    assert not same_owners(PLAN, msgspec.structs.replace(PLAN, key="other"))
    assert not same_owners(None, PLAN)
    assert not same_owners(PLAN, msgspec.structs.replace(PLAN, anchors=PLAN.anchors[:1]))


def test_ensure_plan_keeps_and_replaces(tmp_path: Path) -> None:
    """A plan is kept as it is; other settings make another, of a generation that no plan had, also where the file was lost."""
    root = tmp_path / "root"
    (root / "a").mkdir(parents=True)
    layout = Layout(tmp_path)
    settings = msgspec.structs.replace(SETTINGS, roots=(os.fsencode(root),))
    asked: list[int] = []

    def own() -> list[int]:
        asked.append(os.getpid())
        return [os.getpid()]

    first = ensure_plan(layout, settings, own)
    assert first.generation > 0
    assert asked
    asked.clear()
    written = layout.plan.stat().st_mtime_ns
    assert ensure_plan(layout, settings, own) == first
    assert not asked, "nothing is measured where the plan is kept"
    many = msgspec.structs.replace(settings, shards=64)
    kept = ensure_plan(layout, many)
    assert (kept.generation == first.generation) == (kept.shards() == first.shards())
    if kept.generation == first.generation:
        assert layout.plan.stat().st_mtime_ns == written
    other = ensure_plan(layout, msgspec.structs.replace(settings, include=("*.x",)))
    assert other.generation > kept.generation
    assert read_plan(layout.plan) == other
    layout.plan.write_text("{")
    assert kept_plan(layout)[0] is None
    damaged = ensure_plan(layout, settings)
    layout.plan.unlink()
    assert ensure_plan(layout, settings).generation > damaged.generation > other.generation


def test_kept_plan_without_a_file(tmp_path: Path) -> None:
    """The next generation is one that no plan had, also after one of a boot that was longer."""
    layout = Layout(tmp_path)
    plan, first = kept_plan(layout)
    assert plan is None
    assert first > 0
    write_plan(layout.plan, PLAN)
    assert kept_plan(layout)[0] == PLAN
    assert kept_plan(layout)[1] > first
    write_plan(layout.plan, msgspec.structs.replace(PLAN, generation=1 << 50))
    followers = {kept_plan(layout)[1] for _ in range(10)}
    assert len(followers) > 5
    assert min(followers) > 1 << 50


def test_a_plan_of_which_nothing_has_come_is_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Shards that watch in advance what it would give them let it go when they see that."""

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    layout = Layout(tmp_path)
    tmp_path.chmod(0o700)
    announcing = msgspec.structs.replace(PLAN, next=msgspec.structs.replace(PLAN, generation=99))
    write_plan(layout.plan, announcing)
    assert read_plan(layout.plan) == announcing
    assert without_next(layout, announcing) == PLAN == read_plan(layout.plan)
    write_plan(layout.plan, announcing)
    with monkeypatch.context() as patched:
        patched.setattr("shardwatch.supervisor.coordinator.write_plan", full)
        assert without_next(layout, announcing) == announcing == read_plan(layout.plan), "it is called again"
    layout.plan.unlink()
    assert without_next(layout, PLAN) == PLAN and not layout.plan.exists(), "nothing is written where there is none"


#: A coordinator that has the lock, and is told to leave while its child plans without end.
_LEAVES = """
import select, sys
from pathlib import Path
from shardwatch.shard.contract.process.life import Lock
from shardwatch.supervisor import coordinator
from shardwatch.supervisor.planning import planning

class Pulse:
    def beat(self):
        raise SystemExit(0)

planning.ensure_plan = lambda *_: select.select([], [], [])
coordinator.PULSE_S = 0.0
lock = Lock(Path(sys.argv[1], "lock"))
try:
    coordinator.planned(None, None, lambda: [], Pulse())
finally:
    lock.close()
    Lock(Path(sys.argv[1], "lock")).close()
    print("free")
"""


def test_who_is_told_to_leave_while_a_child_plans_leaves_no_lock(tmp_path: Path) -> None:
    """The child has the lock, too."""
    command = [sys.executable, "-P", "-c", _LEAVES, str(tmp_path)]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=GUARD_S, check=False)
    assert (done.returncode, done.stdout) == (0, "free\n"), done.stderr


def test_why_a_child_has_failed_is_in_the_log(capfd: pytest.CaptureFixture[str]) -> None:
    """Whatever it was."""
    empty: dict[str, None] = {}
    pulse = Pulse(Path("/nonexistent"))
    with closing(pulse._socket), pytest.raises(ShardwatchError, match="the plan could not be made"):
        in_child(lambda: empty["no such key"], pulse)
    assert "KeyError: 'no such key'" in capfd.readouterr().err
