"""What `status` and `groups` show to people."""

from __future__ import annotations

from shardwatch.supervisor.terminal.tables import group_text, polling_text, programs_phrase, shards_table, verification_text


def test_the_pause_between_rescans_is_shown() -> None:
    """Only while there is one; a shard that was not heard of has none."""
    calm = {"id": "s0", "state": "watching", "overflows": 1, "rescans": 1, "rescan_pause_ms": 0, "rescan_owed": False}
    stormy = {"id": "s1", "state": "watching", "overflows": 90, "rescans": 6, "rescan_pause_ms": 500, "rescan_owed": True}
    lines = shards_table([calm, stormy, {"id": "s2", "state": "absent"}]).splitlines()
    assert lines[-3].endswith(" 1")
    assert lines[-2].endswith(" 6 (paused 0.5 s)")
    assert lines[-1].endswith(" -")


def test_ignore_files_are_counted_where_they_are_asked() -> None:
    """The column is there only if a shard has told a number."""
    asking: dict[str, object] = {"id": "s0", "state": "watching", "ignore_files": 12}
    absent: dict[str, object] = {"id": "s1", "state": "absent"}
    header, *lines = shards_table([asking, absent]).splitlines()
    assert header.endswith("  ignore files")
    assert [line.split()[-1] for line in lines] == ["12", "-"]
    assert "ignore files" not in shards_table([asking | {"ignore_files": None}, absent])


def test_the_verification_in_words() -> None:
    """What a pass takes, and each finding in a line."""
    assert verification_text(None) == ""
    assert verification_text({"period_s": 0.0}) == "verification: off (verify_period_s)\n"
    found = {"period_s": 86_400.0, "takes_s": 259_200, "verified": 1, "findings": 0, "recent": []}
    assert verification_text(found) == "verification: 1 name in this pass, one takes 3.0 days; 0 findings\n"
    found |= {"takes_s": 90, "findings": 1, "recent": [{"path": "/r/a\n.json", "what": "missing"}]}
    assert verification_text(found) == (
        "verification: 1 name in this pass, one takes 90 s; 1 finding\n"
        "! /r/a\\n.json: missing in the index, without a hint; repaired\n"
    )


def test_a_program_that_the_kernel_keeps_does_not_run() -> None:
    """It has a process still, in which no code runs."""
    runs = {"name": "s0", "state": "RUNNING", "pid": 7, "stuck_s": 0.0}
    stuck = {**runs, "name": "s1", "state": "STOPPING", "stuck_s": 3.0}
    waits = {**runs, "name": "s2", "state": "BACKOFF", "pid": 0}
    assert programs_phrase([]) == "" and programs_phrase([runs]) == "all 1 programs run"
    said = "1 of 3 programs run (s1 is stuck in the kernel, s2 is waiting to be tried again)"
    assert programs_phrase([runs, stuck, waits]) == said


def test_a_group_in_words() -> None:
    """Its state and the reason, what is pending, and each lease in a line."""
    lease = {"batch": "a-1", "worker": "w\n1", "paths": 2, "attempt": 1, "ends_in_s": 59.6}
    other = {**lease, "worker": "", "ends_in_s": -1.0, "ahead": True}
    group = {
        "name": "facts", "state": "fresh", "reason": "somebody asked for it", "cursor": 81, "backlog": 3, "leased": 2,
        "retrying": 1, "parked_paths": 0, "waiting_pulls": 1, "leases": [lease, other],
    }  # fmt: skip
    assert group_text(group) == (
        "group facts: fresh: somebody asked for it\n"
        "acknowledged up to tick 81\n"
        "3 paths pending, 2 paths on lease, 1 path to be tried again, 0 paths set aside\n"
        "1 worker waiting\n"
        "lease a-1 at w\\n1: 2 paths, attempt 1, ends in 60 s\n"
        "lease a-1: 2 paths, pulled ahead, attempt 1, ends in 0 s\n"
    )
    old = {**group, "oldest_pending_s": 3700.0, "leases": []}
    assert "the oldest change that no worker was handed is of 61 min ago\n" in group_text(old)


def test_polled_directories_are_told_by_tier() -> None:
    """With the time in which changes in them are seen, and the cost. Empty tiers are left out."""
    tiers = [
        {"tier": "active", "directories": 0, "bound_s": 0.0}, {"tier": "recent", "directories": 1, "bound_s": 1.0},
        {"tier": "quiet", "directories": 9_499, "bound_s": 7.25},
    ]  # fmt: skip
    told = polling_text({"tiers": tiers, "cpu_percent": 4.51, "poll_cpu_percent": 5.0})
    assert told == (
        "polling: 9,500 directories: 1 recent (each within 1 s), 9,499 quiet (each within 7.25 s); "
        "4.51 % of a core, 5 % allowed\n"
    )
    assert polling_text(None) == ""


def test_unreadable_directories_have_a_column() -> None:
    """Where there are any."""
    shard = {"id": "s0", "state": "watching", "unreadable": 2}
    header, line = shards_table([shard]).splitlines()
    assert header.split()[-1] == "unreadable" and line.split()[-1] == "2"
    assert "unreadable" not in shards_table([shard | {"unreadable": 0}])


def test_what_shards_get_ready_for_is_shown() -> None:
    """The column is there only if a shard is to be given something."""
    heir: dict[str, object] = {"id": "s0", "state": "watching", "taking_on": {"generation": 7, "anchors": 2, "state": "looking"}}
    other: dict[str, object] = {"id": "s1", "state": "watching", "taking_on": None}
    header, *lines = shards_table([heir, other, {"id": "s2", "state": "absent"}]).splitlines()
    assert header.endswith("  takes on")
    assert lines[0].endswith("  2 subtrees (looking)") and [line.split()[-1] for line in lines[1:]] == ["-", "-"]
    assert "takes on" not in shards_table([other])
