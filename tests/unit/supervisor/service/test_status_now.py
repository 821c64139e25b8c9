"""The status for those who show it again and again."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from shardwatch.shard.contract.errors import UsageError
from shardwatch.shard.contract.state.layout import Layout
from shardwatch.supervisor.service import status_now
from shardwatch.supervisor.service.checkup import Checkup


@pytest.mark.parametrize("error", [FileNotFoundError(2, "gone"), UsageError("another user's")])
def test_a_state_directory_that_is_gone_is_a_service_that_is_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """With the reason and the remedy; nothing is raised."""

    def examine(layout: Layout) -> Checkup:
        raise error

    monkeypatch.setattr(status_now, "running", lambda layout: True)
    monkeypatch.setattr(status_now, "examine", examine)
    found = status_now.status_now(Layout(tmp_path / "gone"))
    assert found["health"] == "down"
    assert "there is no service in" in found["findings"][0]["message"]
    assert (found["findings"][0]["reason"], found["findings"][0]["level"]) == ("no_service", "error")
    assert found["findings"][0]["remedy"]
    assert found["engine"] is None
    assert found["time"] <= time.time()


def test_a_state_directory_in_which_nobody_runs(tmp_path: Path) -> None:
    """There is no service, rather than one that does not answer."""
    (finding,) = status_now.status_now(Layout(tmp_path))["findings"]
    assert finding["reason"] == "no_service" and "nobody holds its lock" in finding["message"]
