"""Troubles of the service are told once: when they appear, when they change, when they end."""

from __future__ import annotations

from typing import Any

from shardwatch.supervisor.cli.follow.trouble import Trouble
from shardwatch.supervisor.service.engine_findings import combined_remedy


def polled(directories: int, path: str = "/r", remedy: str = "sudo sysctl -w fs.inotify.max_user_watches=1024") -> dict[str, Any]:
    """A subtree that is polled for want of watches."""
    reason = "no watches left"
    return {"path": path, "state": "polled", "reason": reason, "remedy": remedy, "directories": directories}


def test_nothing_wrong_nothing_said() -> None:
    """A healthy status gives no line."""
    assert Trouble().lines({"degraded": [], "shards": [{"id": "00", "state": "watching"}], "notes": []}) == []


def test_a_degraded_subtree_is_told_once_with_count_and_remedy() -> None:
    """The line has the number of directories and the exact sysctl; the same status again gives none."""
    trouble = Trouble()
    (line,) = trouble.lines({"degraded": [polled(4500)]})
    assert line["type"] == "status" and line["level"] == "warning"
    assert "4,500 directories" in line["message"] and "/r" in line["message"]
    assert line["remedy"] == "sudo sysctl -w fs.inotify.max_user_watches=1024"
    assert trouble.lines({"degraded": [polled(4500)]}) == []


def test_small_changes_are_not_told_until_they_add_up() -> None:
    """Each directory more is not worth a line, a tenth more is."""
    trouble = Trouble()
    trouble.lines({"degraded": [polled(1000)]})
    assert trouble.lines({"degraded": [polled(1060)]}) == []
    assert len(trouble.lines({"degraded": [polled(1120)]})) == 1


def test_the_end_of_a_trouble_is_told() -> None:
    """When the subtree is watched again, that is said."""
    trouble = Trouble()
    trouble.lines({"degraded": [polled(5)]})
    (line,) = trouble.lines({"degraded": []})
    assert line["message"].startswith("over: 5 directories polled")
    assert trouble.lines({"degraded": []}) == []


def test_the_same_limit_in_several_shards_is_one_trouble() -> None:
    """Eight shards that meet one limit do not print eight lines; the remedy is the one that is enough for all."""
    lines = Trouble().lines({"degraded": [polled(10, "/r/a"), polled(20, "/r/b", "sysctl fs.inotify.max_user_watches=4096")]})
    (line,) = lines
    assert "30 directories polled (/r/a and 1 other subtree)" in line["message"]
    assert line["remedy"].endswith("=4096")


def test_unreadable_is_an_error_and_comes_first() -> None:
    """What is not seen at all is worse than what is seen late."""
    unreadable = {"path": "/r/x", "state": "unreadable", "reason": "denied", "remedy": "chmod", "directories": 0}
    lines = Trouble().lines({"degraded": [polled(3), unreadable]})
    assert [line["level"] for line in lines] == ["error", "warning"]
    assert "1 directory unreadable" in lines[0]["message"]


def test_a_stand_in_is_a_warning_and_not_news_at_every_try() -> None:
    """Its remedy counts the deaths, and that is not worth a line each time."""
    trouble = Trouble()
    stand_in = {"path": "/r/x", "state": "stand-in", "reason": "crashes", "remedy": "5 times", "directories": 2}
    (line,) = trouble.lines({"degraded": [stand_in]})
    assert line["level"] == "warning"
    assert "2 directories swept by a stand-in (/r/x): crashes" in line["message"]
    assert trouble.lines({"degraded": [{**stand_in, "remedy": "6 times"}]}) == []


def test_a_silent_shard_and_a_note_are_told() -> None:
    """A shard that hangs, and what the aggregator has to say of its start."""
    lines = Trouble().lines({"shards": [{"id": "03", "state": "silent"}], "notes": ["the index was damaged"]})
    assert "shard 03" in lines[0]["message"]
    assert lines[1]["message"] == "the index was damaged"


def test_combined_remedy_without_numbers_is_the_first() -> None:
    """Not every remedy is a sysctl."""
    assert combined_remedy(["mount it", "other"]) == "mount it"


def test_a_service_that_does_not_answer_keeps_its_other_troubles() -> None:
    """Silence is told once, ends nothing else, and its own end is told."""
    trouble = Trouble()
    trouble.lines({"degraded": [polled(5)]})
    (line,) = trouble.lines({"silent": True})
    assert line["level"] == "error" and "does not answer" in line["message"]
    assert trouble.lines({"silent": True}) == []
    (line,) = trouble.lines({"degraded": [polled(5)]})
    assert line["message"].startswith("over: the aggregator does not answer")


def test_a_lock_file_that_is_left_behind_is_told_once() -> None:
    """When batches flow in spite of it, and when it is gone."""
    trouble = Trouble()
    hold = {"name": "/r/.git/index.lock", "kind": "lock", "held_s": 9.0, "ends_in_s": None, "spent": False}
    assert trouble.lines({"holds": [hold]}) == []
    (line,) = trouble.lines({"holds": [{**hold, "spent": True}]})
    assert line["level"] == "warning" and "/r/.git/index.lock" in line["message"] and "remove it" in line["remedy"]
    assert trouble.lines({"holds": [{**hold, "spent": True, "held_s": 99.0}]}) == []
    assert [line["message"][:5] for line in trouble.lines({"holds": []})] == ["over:"]
