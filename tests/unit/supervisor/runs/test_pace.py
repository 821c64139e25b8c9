"""How much is pulled at once."""

from __future__ import annotations

from shardwatch.supervisor.runs.command import PATHS_MAX
from shardwatch.supervisor.runs.pace import AHEAD_S, Pace


def test_as_much_as_the_jobs_need_until_runs_are_known() -> None:
    """One run for each job, and nothing is fetched ahead."""
    pace = Pace(4, 10)
    assert pace.paths() == 40
    assert not pace.is_quick


def test_short_runs_are_fetched_in_numbers() -> None:
    """As many as are done in a moment, within the bound."""
    pace = Pace(2, 1)
    pace.note(AHEAD_S / 10)
    assert pace.paths() == 20
    assert pace.is_quick
    pace = Pace(2, 1)
    pace.note(0.0)
    assert pace.paths() == PATHS_MAX


def test_long_runs_are_fetched_one_by_one() -> None:
    """Others of the group are to have the rest. A short one in between changes little."""
    pace = Pace(1, 1)
    for _ in range(5):
        pace.note(60.0)
    pace.note(0.0)
    assert pace.paths() == 1
    assert not pace.is_quick
