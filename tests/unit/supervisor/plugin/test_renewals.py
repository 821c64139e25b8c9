"""How often a program was started again for its memory."""

from __future__ import annotations

from shardwatch.shard.contract.process.renewal import PAUSE_S_MAX
from shardwatch.supervisor.plugin.renewals import Renewals


def test_short_lives_are_a_row_and_a_long_one_ends_it() -> None:
    """The count goes on."""
    renewals = Renewals()
    rows = []
    for lived_s in (5.0, 60.0, 3_599.0, PAUSE_S_MAX, 10.0):
        renewals.ended(lived_s)
        rows.append(renewals.in_a_row)
    assert rows == [1, 2, 3, 1, 2] and renewals.count == 5
