"""Who gets a subtree is waited for, for a limited time."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from shardwatch.shard.contract.state.layout import Layout
from shardwatch.supervisor.reload import heirs
from shardwatch.supervisor.reload.heirs import await_heirs, undecided


def row(shard: str, generation: int = 7, state: str = "ready") -> dict[str, Any]:
    return {"id": shard, "taking_on": {"generation": generation, "anchors": 1, "state": state}}


def test_who_has_decided() -> None:
    """For this very plan: whoever is ready, or has found that it can't be. Of the others nothing is known, or something else."""
    rows = [row("s0"), row("s1", state="no watches left"), row("s2", state="looking"), row("s3", 6), {"id": "s4"}]
    rows.append({"id": "s5", "taking_on": None})
    assert undecided(rows, [f"s{n}" for n in range(7)], 7) == ["s2", "s3", "s4", "s5", "s6"]
    assert undecided(rows, ["s0", "s1"], 7) == []


class Asker:
    """Answers in turn; the last answer again and again."""

    answers: Sequence[dict[str, Any] | None] = ()
    asked = 0

    def __init__(self, layout: Layout) -> None:
        type(self).asked = 0

    def __enter__(self) -> Asker:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is open."""

    def ask(self, op: str, timeout_s: float) -> dict[str, Any] | None:
        assert op == "status"
        type(self).asked += 1
        return self.answers[min(self.asked, len(self.answers)) - 1]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What was slept for, which is also the time that has passed."""
    slept: list[float] = []
    monkeypatch.setattr(heirs, "Asker", Asker)
    monkeypatch.setattr(time, "sleep", slept.append)
    monkeypatch.setattr(time, "monotonic", lambda: sum(slept))
    return slept


def test_it_ends_when_all_are_ready_and_their_owners_have_told_what_changed(clock: list[float], tmp_path: Path) -> None:
    """Through answers that do not come; a debounce time of minutes is not waited for."""
    Asker.answers = (None, {"error": "busy"}, {"status": {"shards": [row("s0"), row("s1", state="looking")]}},
                     {"status": {"shards": [row("s0"), row("s1")]}})  # fmt: skip
    await_heirs(Layout(tmp_path), ["s0", "s1"], 7, 0.05)
    assert Asker.asked == 4 and clock[-1] == 0.05
    await_heirs(Layout(tmp_path), ["s0", "s1"], 7, 600.0)
    assert clock[-1] == 5.0


def test_who_does_not_get_ready_is_waited_for_for_a_limited_time(
    clock: list[float], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And named in the log."""
    Asker.answers = ({"status": {"shards": [row("s0"), row("s1", state="looking")]}},)
    await_heirs(Layout(tmp_path), ["s0", "s1"], 7, 0.05)
    assert sum(clock) == pytest.approx(heirs.READY_S, abs=0.2)
    assert "plan 7: s1 not ready after 45 s" in capsys.readouterr().out
