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
from shardwatch.supervisor.planning.heat import NO_RATES, ChangeRates
from shardwatch.supervisor.planning.rebalances import RATE, WEIGHT, Uneven
from shardwatch.supervisor.reload.request import read_request
from shardwatch.supervisor.reload.scales import Scales, ask_to_rebalance
from shardwatch.supervisor.service.shares import Counted, Shares, rates_between

PLAN = Plan(5, (Anchor(b"/r", "s0", b"/r"),), "k")
SETTINGS = Settings(roots=(b"/r",), include=("*",), exclude=())


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    layout = Layout(tmp_path / "state")
    layout.state_dir.mkdir(mode=0o700)
    layout.index_db.write_bytes(b"")
    return layout


def test_shards_are_weighed_while_something_changes(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    """And at once with another plan. Each time what was counted the last time is there again. Nothing has a rate while nothing
    changes."""
    uneven = Uneven("uneven", WEIGHT, 7.0)
    counted = [Counted(float(n), n, {"s0": (1, n, n)}) for n in range(3)]
    answers = [
        None, Shares({}, uneven, counted[0], ChangeRates({"s0": 7.0}, 3)), Shares({}, Uneven(), counted[1], NO_RATES),
        Shares({}, Uneven("", "", 1.0), counted[2], NO_RATES),
    ]  # fmt: skip
    asked: list[Counted | None] = []

    def shares(layout: Layout, settings: Settings, plan: Plan, before: Counted | None) -> Shares | None:
        asked.append(before)
        return answers[len(asked) - 1]

    monkeypatch.setattr("shardwatch.supervisor.service.shares.shares", shares)
    scales = Scales(layout, SETTINGS, lambda job: job())
    assert scales.weigh(PLAN) == Uneven(), "it is scanning"
    assert scales.weigh(PLAN) == uneven and scales.rates == ChangeRates({"s0": 7.0}, 3)
    for _ in range(2):
        assert scales.weigh(PLAN) == uneven and scales.rates == NO_RATES
    assert len(asked) == 2
    os.utime(layout.index_db, ns=(0, 1))
    assert scales.weigh(PLAN) == Uneven()
    assert scales.weigh(Plan(6, PLAN.anchors, "k")) == Uneven("", "", 1.0)
    assert asked == [None, None, counted[0], counted[1]]


def test_a_shard_is_hot_only_as_long_as_something_changes(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is asked again, although the index has not changed since: just that has cooled it."""
    hot, counted = Uneven("hot", RATE, 900.0), Counted(1.0, 1, {"s0": (1, 1, 1)})
    answers = [Shares({}, hot, counted, ChangeRates({"s0": 900.0}, 3)), Shares({}, Uneven(), counted, NO_RATES)]
    monkeypatch.setattr("shardwatch.supervisor.service.shares.shares", lambda *_: answers.pop(0))
    scales = Scales(layout, SETTINGS, lambda job: job())
    assert scales.weigh(PLAN) == hot
    for _ in range(2):
        assert scales.weigh(PLAN) == Uneven() and scales.rates == NO_RATES
    assert not answers


def test_what_was_counted_between_two_times() -> None:
    """Of hints and looks the fewer; nothing if a shard began anew in between, or came, or no time has passed."""
    before = Counted(10.0, 7, {"s0": (1, 100, 50), "s1": (2, 0, 0)})
    after = {"s0": (1, 300, 70), "s1": (2, 30, 500)}
    assert rates_between(before, Counted(20.0, 99, after)) == ChangeRates({"s0": 2.0, "s1": 3.0}, 7)
    assert rates_between(None, before) == rates_between(before, before) == NO_RATES
    assert rates_between(before, Counted(20.0, 99, {**after, "s1": (3, 30, 500)})) == NO_RATES
    assert rates_between(before, Counted(20.0, 99, {"s0": (1, 300, 70)})) == NO_RATES


def test_a_child_that_fails_says_nothing(layout: Layout) -> None:
    """It is asked again the next time."""

    def fails(job: Callable[[], None]) -> None:
        raise ShardwatchError("killed")

    assert Scales(layout, SETTINGS, fails).weigh(PLAN) == Uneven()


def test_the_coordinator_asks_itself(layout: Layout) -> None:
    """For the plan that is in force, with nothing else to be taken over."""
    write_settings(layout.settings, SETTINGS)
    ask_to_rebalance(layout, PLAN, "uneven", ChangeRates({"s0": 7.0}, 3))
    request = read_request(layout.reload)
    assert request is not None and request.before == request.after
    assert (request.rebalance, request.generation) == (True, PLAN.generation)
    assert request.rates == ChangeRates({"s0": 7.0}, 3)


@pytest.mark.parametrize("trouble", ["damaged", "for others", "full"])
def test_a_coordinator_that_can_not_ask_goes_on(
    layout: Layout, trouble: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It says why, and asks the next time."""
    write_settings(layout.settings, SETTINGS)
    layout.triggers.write_bytes(b"{" if trouble == "damaged" else b"[]")
    layout.triggers.chmod(0o666 if trouble == "for others" else 0o600)
    if trouble == "full":

        def full(*_: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("shardwatch.supervisor.reload.request.write", full)
    ask_to_rebalance(layout, PLAN, "uneven", NO_RATES)
    assert not layout.reload.exists()
    assert "that can't be asked for: " in capsys.readouterr().out
