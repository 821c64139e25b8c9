"""Commands that have something taken over: for how long they are in each other's way."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from shardwatch.shard.contract.errors import NotRunningError, ServiceError, ShardwatchError
from shardwatch.shard.contract.state.layout import Layout
from shardwatch.shard.contract.state.planfile import Anchor, Plan
from shardwatch.supervisor.cli.commands import rebalance, reload, root
from shardwatch.supervisor.cli.link import place
from shardwatch.supervisor.planning.heat import NO_RATES
from shardwatch.supervisor.reload import asking
from shardwatch.supervisor.service import checkup, served, service, shares
from shardwatch.supervisor.service.finding import HealthFinding


@pytest.mark.parametrize("run", [reload.run, root.run, rebalance.run])
def test_nobody_is_held_up_while_the_scans_are_waited_for(
    run: Callable[[argparse.Namespace], int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They may take hours, and a hang-up waits for a minute at most until its turn comes."""
    layout = Layout(tmp_path / "state")
    layout.run.mkdir(parents=True, mode=0o700)
    layout.state_dir.chmod(0o700)
    plans = iter([Plan(1, (Anchor(b"/a", "s0", b"/a"),)), Plan(2, (Anchor(b"/a", "s0", b"/a"),))])
    waited: list[Layout] = []

    def wait_until_scanned(layout: Layout) -> None:
        with asking.alone(layout):
            waited.append(layout)

    monkeypatch.setattr(asking, "OTHER_S", 0.0)
    monkeypatch.setattr(place, "running_layout", lambda options: layout)
    monkeypatch.setattr(reload, "sources_in_force", lambda layout: None)
    monkeypatch.setattr(reload, "reload", lambda *_: True)
    monkeypatch.setattr(reload, "wait_until_scanned", wait_until_scanned)
    monkeypatch.setattr(root, "changed", lambda *_: None)
    monkeypatch.setattr(served, "served_plan", lambda layout: next(plans))
    monkeypatch.setattr(rebalance, "_print", lambda *_: None)
    monkeypatch.setattr(shares, "rates_now", lambda *_: NO_RATES)
    monkeypatch.setattr(asking, "in_force", lambda layout: SimpleNamespace(settings=None))
    monkeypatch.setattr(asking, "ask", lambda *_, **__: None)
    options = argparse.Namespace(config_file=None, verb="add", paths=["x"], dry_run=False, no_wait=False)
    assert run(options) == 0 and waited == [layout]


class Connection:
    """To a service whose shards have looked at everything after some requests that were answered too late, or not at all."""

    def __init__(self, late: int, error: ShardwatchError) -> None:
        self.late = late
        self.error = error
        self.waits: list[float] = []

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def request(self, ends: object, op: str, *, wait_s: float, timeout_ms: int) -> None:
        self.waits.append(wait_s)
        if len(self.waits) <= self.late:
            raise self.error


def test_what_keeps_a_shard_from_looking_is_said_while_it_is_waited_for(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Once, and more and more seldom it is looked for that. A failure that comes at once is no reason to wait."""
    stuck = HealthFinding(("program", "s0"), "program_stuck", "s0 is stuck", "look for a disk that hangs")
    slow = HealthFinding(("restraint", "s1"), "verified", "something of no concern", "")
    monkeypatch.setattr(checkup, "examine", lambda layout: SimpleNamespace(health=SimpleNamespace(findings=[slow, stuck])))
    connection = Connection(3, ServiceError("no answer from s0"))
    monkeypatch.setattr("shardwatch.supervisor.cli.link.connection.ServiceConnection", lambda *_, **__: connection)
    monkeypatch.setattr(reload, "_EARLY_S", 3600.0)  # each answer counts as late
    reload.wait_until_scanned(Layout(tmp_path))
    assert connection.waits == [15.0, 30.0, 60.0, 120.0]
    said = "shardwatch: still waiting for what was to be looked at: s0 is stuck (look for a disk that hangs)\n"
    assert capfd.readouterr().err == said
    monkeypatch.setattr(reload, "_EARLY_S", 0.0)
    connection.waits.clear()
    reload.wait_until_scanned(Layout(tmp_path))
    assert connection.waits == [15.0] and capfd.readouterr().err == ""


def test_an_aggregator_that_answers_nobody_for_a_while_is_waited_for(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """It has a tree of millions to bury, say, or died and is tried again later. Where no service runs any more, it is told."""
    silent = HealthFinding(("aggregator",), "aggregator_silent", "the aggregator does not answer", "")
    monkeypatch.setattr(checkup, "examine", lambda layout: SimpleNamespace(health=SimpleNamespace(findings=[silent])))
    connection = Connection(2, NotRunningError("the service does not answer"))
    monkeypatch.setattr("shardwatch.supervisor.cli.link.connection.ServiceConnection", lambda *_, **__: connection)
    monkeypatch.setattr(service, "running", lambda layout: True)
    reload.wait_until_scanned(Layout(tmp_path))
    assert connection.waits == [15.0, 30.0, 60.0]
    assert capfd.readouterr().err.count("the aggregator does not answer") == 1
    monkeypatch.setattr(service, "running", lambda layout: False)
    connection.waits.clear()
    with pytest.raises(NotRunningError):
        reload.wait_until_scanned(Layout(tmp_path))
    assert connection.waits == [15.0]
