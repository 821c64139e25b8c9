"""What `status` says of shipping, from what is in the state directory and what the aggregator knows of the group."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from shardwatch.bridge.protocol.generations import Target
from shardwatch.bridge.ship.notebook import Notebook
from shardwatch.bridge.ship.report import Reporter
from shardwatch.shard.contract.state.layout import Layout
from shardwatch.supervisor.service.shipping import shipping
from shardwatch.supervisor.terminal.tables import shipping_table

TARGET = Target("stream", "prefix", "one", "g")
GROUPS: list[dict[str, Any]] = [
    {"name": "h", "backlog": 9, "leased": 9, "retrying": 9},
    {"name": "g", "backlog": 100, "leased": 20, "retrying": 3},
]


@pytest.fixture
def layout(state_dir: Path) -> Layout:
    layout = Layout(state_dir)
    for folder in (layout.run, layout.locks):
        folder.mkdir(mode=0o700)
    return layout


def test_how_far_it_is(layout: Layout) -> None:
    """Behind are all paths that are pending, unconfirmed those that are on their way; the generation is that of this target."""
    assert shipping(layout, [], GROUPS) is None
    with Notebook(layout, TARGET) as notebook:
        reporter = Reporter(layout, TARGET)
        reporter.connected("nats://h:1")
        found = shipping(layout, [], GROUPS)
        assert found == {
            "running": True, "connected": True, "server": "nats://h:1", "stream": "stream", "source": "one", "group": "g",
            "behind": 123, "unconfirmed": 20, "generation": 0, "complete": False, "error": "", "remedy": "",
        }  # fmt: skip
        notebook.write(replace(notebook.progress, generation=7, complete=True))
        found = shipping(layout, [], [])
        assert found is not None and (found["generation"], found["complete"], found["behind"]) == (7, True, None)
        assert shipping_table(found).splitlines()[-1].split() == [
            "stream", "at", "nats://h:1", "one", "yes", "-", "-", "7"
        ]  # fmt: skip
        notebook.write(replace(notebook.progress, target=Target("other", "prefix", "one", "g")))
        found = shipping(layout, [], [])
        assert found is not None and found["generation"] == 0
    assert shipping(layout, [], GROUPS) is None, "it was started by hand, and has ended"


def test_a_program_that_does_not_run(layout: Layout) -> None:
    """What the last one knew is not shown."""
    with Notebook(layout, TARGET):
        Reporter(layout, TARGET).connected("nats://h:1")
    found = shipping(layout, [{"name": "ship"}], GROUPS)
    assert found is not None and not found["running"] and not found["connected"] and found["server"] == ""
    assert shipping_table(found).splitlines()[-1].split() == ["-", "-", "no", "-", "-", "-"]
    assert shipping_table(None) == ""
