"""What `status` shows of a shard whose hints are lost again and again."""

from __future__ import annotations

from shardwatch.supervisor.commands.tables import shards_table


def test_the_pause_between_rescans_is_shown() -> None:
    """Only while there is one; a shard that was not heard of has none."""
    calm = {"id": "s0", "state": "watching", "overflows": 1, "rescans": 1, "rescan_pause_ms": 0, "rescan_owed": False}
    stormy = {"id": "s1", "state": "watching", "overflows": 90, "rescans": 6, "rescan_pause_ms": 500, "rescan_owed": True}
    lines = shards_table([calm, stormy, {"id": "s2", "state": "absent"}]).splitlines()
    assert lines[-3].endswith(" 1")
    assert lines[-2].endswith(" 6 (paused 0.5 s)")
    assert lines[-1].endswith(" -")
