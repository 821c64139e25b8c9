"""The shards are weighed only while something changes, and whoever does not answer is asked again."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from shardwatch.shard.contract.errors import ShardwatchError
from shardwatch.shard.contract.state.layout import Layout
from shardwatch.shard.contract.state.planfile import Anchor, Plan
from shardwatch.shard.contract.state.settings import Settings, write_settings
from shardwatch.supervisor.reload.request import read_request
from shardwatch.supervisor.reload.scales import Scales, ask_to_rebalance
from shardwatch.supervisor.service.shares import Shares

PLAN = Plan(5, (Anchor(b"/r", "s0", b"/r"),), "k")
SETTINGS = Settings(roots=(b"/r",), include=("*",), exclude=())


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    layout = Layout(tmp_path / "state")
    layout.state_dir.mkdir(mode=0o700)
    layout.index_db.write_bytes(b"")
    return layout


def test_shards_are_weighed_while_something_changes(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    """And at once with another plan."""
    answers: list[Shares | None] = [None, Shares({"s0": 7.0, "s1": 3.0}, "uneven"), Shares({}, ""), Shares({"s0": 1.0}, "")]
    asked = []

    def shares(*_: object) -> Shares | None:
        asked.append(1)
        return answers[len(asked) - 1]

    monkeypatch.setattr("shardwatch.supervisor.service.shares.shares", shares)
    scales = Scales(layout, SETTINGS, lambda job: job())
    assert scales.weigh(PLAN) == ("", 0.0), "it is scanning"
    for _ in range(3):
        assert scales.weigh(PLAN) == ("uneven", 7.0)
    assert len(asked) == 2
    os.utime(layout.index_db, ns=(0, 1))
    assert scales.weigh(PLAN) == ("", 0.0)
    assert scales.weigh(Plan(6, PLAN.anchors, "k")) == ("", 1.0)
    assert len(asked) == 4


def test_a_child_that_fails_says_nothing(layout: Layout) -> None:
    """It is asked again the next time."""

    def fails(job: Callable[[], None]) -> None:
        raise ShardwatchError("killed")

    assert Scales(layout, SETTINGS, fails).weigh(PLAN) == ("", 0.0)


def test_the_coordinator_asks_itself(layout: Layout) -> None:
    """For the plan that is in force, with nothing else to be taken over."""
    write_settings(layout.settings, SETTINGS)
    ask_to_rebalance(layout, PLAN, "uneven")
    request = read_request(layout.reload)
    assert request is not None and request.before == request.after
    assert (request.rebalance, request.generation) == (True, PLAN.generation)
