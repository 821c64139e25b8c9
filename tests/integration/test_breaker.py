"""A shard that is made to crash again and again: its subtree is swept meanwhile, nobody else is touched, and it comes back."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from crashing import crashing, living
from running import Consumer, Running, consuming, running, settings_for
from waiting import eventually

from shardwatch.shard.contract.state.layout import Layout
from shardwatch.shard.contract.state.planfile import Owners, read_plan
from shardwatch.supervisor.cli.commands.status import text_of
from shardwatch.supervisor.plugin.breaker import SHORT_LIVES_MAX
from shardwatch.supervisor.service import checkup, service
from shardwatch.supervisor.service.child import ChildService
from shardwatch.supervisor.service.state_dir import prepare
from shardwatch.supervisor.service.status_object import status_object

#: The shard that crashes, and the one beside it.
VICTIM, OTHER = "s0", "s1"
#: Guard against hangs, seconds: a breaker that opens for the sixth time is open for 30 s.
GUARD_S = 90.0


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    for d in range(12):
        (root / f"d{d}").mkdir(parents=True)
        (root / f"d{d}" / "f.ast.json").write_text("{}")
    return root


def of_shard(service: Running, root: Path, shard: str) -> Path:
    """A directory of the tree that this shard owns."""
    plan = read_plan(service.layout.plan)
    assert plan is not None
    owners = Owners(plan.anchors)
    found = {owner.shard: d for d in root.iterdir() if (owner := owners.of(os.fsencode(os.path.realpath(d)))) is not None}
    return Path(os.path.realpath(found[shard]))


def shard_row(service: Running, shard: str) -> dict[str, Any]:
    return next(row for row in service.client.status()["shards"] if row["id"] == shard)


def stand_in(service: Running, shard: str) -> dict[str, Any] | None:
    """What `status` says is degraded of a shard, while a stand-in sweeps it."""
    found = [d for d in service.client.status()["degraded"] if d["shard"] == shard and d["state"] == "stand-in"]
    return found[0] if found else None


def arrives(consumer: Consumer, path: Path, text: str) -> None:
    """Writes a file, and waits until the consumer has it, without a sync."""
    path.write_text(text)
    eventually(lambda: consumer.mirror.get(os.fsencode(path), (-1, 0))[0] == len(text), GUARD_S, what=f"{path.name}: {text}")


def test_a_shard_that_crashes_again_and_again(state_dir: Path, root: Path, no_leaks: None) -> None:
    """Its stand-in sweeps and is said so; the other shard goes on; when the crashes end, it watches again by itself."""
    with running(state_dir, settings_for(root, shards=2)) as service, consuming(state_dir) as consumer:
        service.assert_mirrored(consumer, root)
        hit, spared = of_shard(service, root, VICTIM), of_shard(service, root, OTHER)
        other = service.programs()[OTHER]["pid"]
        with crashing(service, VICTIM) as crashes:
            arrives(consumer, spared / "while.ast.json", "it dies for the first times")
            told = eventually(lambda: stand_in(service, VICTIM), GUARD_S, what="a stand-in")
            assert told is not None
            assert "crashes again and again" in told["reason"]
            assert f"logs/shard-{VICTIM}.log" in told["remedy"] and "times in a row" in told["remedy"]
            for n in range(3):
                opened = crashes.kills
                arrives(consumer, hit / f"new{n}.ast.json", "x" * n)
                arrives(consumer, spared / f"new{n}.ast.json", "y" * n)
                service.assert_mirrored(consumer, root)
                eventually(lambda before=opened: crashes.kills > before, GUARD_S, what="it is tried again")
            eventually(lambda: (row := shard_row(service, VICTIM)).get("backend") == "polling" and row["watches"] == 0, GUARD_S)
            (hit / "f.ast.json").unlink()
            row = service.programs()[VICTIM]
            assert row["short_lives"] >= SHORT_LIVES_MAX
            assert "times in a row" in text_of(found_by_status(service))
            crashes.stop()
            assert crashes.kills >= SHORT_LIVES_MAX + 2
        eventually(lambda: shard_row(service, VICTIM).get("state") == "watching", GUARD_S, what="it watches again")
        assert shard_row(service, VICTIM)["backend"] == "inotify"
        assert service.client.status()["degraded"] == []
        assert service.programs()[VICTIM]["breaker"] in ("trying", "closed")
        arrives(consumer, hit / "after.ast.json", "after it came back")
        service.assert_mirrored(consumer, root)
        assert service.programs()[OTHER]["pid"] == other
        assert service.programs()[OTHER]["deaths"] == 0
        assert len(living(service, VICTIM)) == 1
        assert consumer.fresh == 0


def test_a_stand_in_that_crashes_too(state_dir: Path, root: Path, no_leaks: None) -> None:
    """Then nobody runs for a while, which `status` says; the other shard goes on. An operator's restart begins anew."""
    with running(state_dir, settings_for(root, shards=2)) as service, consuming(state_dir) as consumer:
        service.assert_mirrored(consumer, root)
        hit, spared = of_shard(service, root, VICTIM), of_shard(service, root, OTHER)
        with crashing(service, VICTIM, stand_ins_too=True) as crashes:
            for n in range(3):
                eventually(lambda: service.programs()[VICTIM]["breaker"] == "waiting", GUARD_S, every_s=0.01)
                arrives(consumer, spared / "new.ast.json", "y" * n)
                opened = crashes.kills
                eventually(lambda before=opened: crashes.kills > before, GUARD_S, what="it is tried again")
            eventually(lambda: "nothing runs" in text_of(found_by_status(service)), GUARD_S, what="the status says so")
            (hit / "f.ast.json").write_text("while nobody watched")
            crashes.stop()
        eventually(lambda: service.programs()[VICTIM]["breaker"] != "closed", GUARD_S)
        restart = [sys.executable, "-P", "-m", "supervisor.supervisorctl", "-c", str(service.layout.supervisord_conf)]
        subprocess.run([*restart, "restart", f"shards:{VICTIM}"], check=True, capture_output=True, timeout=GUARD_S)
        row = service.programs()[VICTIM]
        assert (row["breaker"], row["deaths"], row["short_lives"]) == ("closed", 0, 0)
        eventually(lambda: shard_row(service, VICTIM).get("backend") == "inotify", GUARD_S)
        service.assert_mirrored(consumer, root)


def test_a_service_whose_shard_crashes_from_the_start_is_ready_all_the_same(state_dir: Path, root: Path, no_leaks: None) -> None:
    """Its stand-in makes the baseline: `up` and `watch` do not give up the whole service for one subtree."""
    settings = settings_for(root, shards=2)
    with running(state_dir, settings):
        pass  # the plan is kept: the shards start with supervisord
    layout = prepare(state_dir, settings).layout
    child = ChildService(layout, follow=True)
    try:
        with crashing(Starting(layout, child.process), VICTIM) as crashes:
            ready = child.wait_ready(GUARD_S)
            assert ready["files"] == 12
            assert crashes.kills >= SHORT_LIVES_MAX
    finally:
        child.stop()


class Starting:
    """A service that need not be ready."""

    def __init__(self, layout: Layout, process: subprocess.Popen[bytes]) -> None:
        self.layout = layout
        self.process = process

    def programs(self) -> dict[str, dict[str, Any]]:
        return {str(p["name"]): p for p in service.programs(self.layout, GUARD_S)}


def found_by_status(service: Running) -> dict[str, Any]:
    """What `shardwatch status` puts together."""
    return status_object(str(service.layout.state_dir), checkup.examine(service.layout))
