"""The loop of `pull` and `watch`: where it lets a group begin."""

from __future__ import annotations

from typing import Any

import pytest

from shardwatch.supervisor.cli.follow.puller import Puller
from shardwatch.supervisor.terminal.ends import Ends
from shardwatch.supervisor.terminal.lines import Printer


class NoService:
    """Takes requests, and never answers."""

    def __init__(self) -> None:
        #: The requests, in this order.
        self.asked: list[dict[str, Any]] = []

    def ask(self, op: str, **fields: Any) -> int:
        self.asked.append({"op": op, **fields})
        return len(self.asked)


def test_a_group_that_a_later_pull_makes_begins_afresh(capfd: pytest.CaptureFixture[str]) -> None:
    """It was lost. The notice to forget everything is printed like any batch, and acknowledged after that, so that it comes again
    to whoever pulls next if this command is killed before."""
    recorded = NoService()
    service: Any = recorded
    fresh = {"id": "t-1", "events": [{"type": "fresh", "tick": 7, "reason": "the group is new"}]}
    with Ends() as ends:
        puller = Puller(service, Printer(ends, as_json=True), ends, group="g", start=None)
        puller.print({"ok": True, "batch": None, "created": True})
        puller.ask(100, 0.0)
        assert recorded.asked[-1]["from"] == "fresh"
        puller.print({"ok": True, "batch": fresh, "created": True})
    assert capfd.readouterr().out == '{"type":"fresh","tick":7,"reason":"the group is new"}\n'
    assert recorded.asked[-1] == {"op": "ack", "group": "g", "batch": "t-1"}
