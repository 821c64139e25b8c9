"""Commands that have something taken over: for how long they are in each other's way."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from shardwatch.shard.contract.state.layout import Layout
from shardwatch.shard.contract.state.planfile import Anchor, Plan
from shardwatch.supervisor.cli.commands import rebalance, reload, root
from shardwatch.supervisor.cli.link import place
from shardwatch.supervisor.planning.heat import NO_RATES
from shardwatch.supervisor.reload import asking
from shardwatch.supervisor.service import shares


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
    monkeypatch.setattr(rebalance, "_plan", lambda layout: next(plans))
    monkeypatch.setattr(rebalance, "_print", lambda *_: None)
    monkeypatch.setattr(shares, "rates_now", lambda *_: NO_RATES)
    monkeypatch.setattr(asking, "in_force", lambda layout: SimpleNamespace(settings=None))
    monkeypatch.setattr(asking, "ask", lambda *_, **__: None)
    options = argparse.Namespace(config_file=None, verb="add", paths=["x"], dry_run=False, no_wait=False)
    assert run(options) == 0 and waited == [layout]
