"""One verdict for every state of a service: what is seen, what it is called, what is said, and the exit code."""

from __future__ import annotations

from typing import Any

import pytest
from health_cases import CASES, STOPPED, degraded, memory, polling, verdict

from shardwatch.supervisor.service.program_findings import program_name

EXIT_CODES = {"healthy": 0, "starting": 0, "degraded": 1, "down": 3}


@pytest.mark.parametrize(("seen", "state", "words"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_the_verdict(seen: dict[str, Any], state: str, words: tuple[str, ...]) -> None:
    """Each thing that can be seen, alone."""
    health = verdict(seen)
    assert (health.state, health.exit_code) == (state, EXIT_CODES[state])
    assert bool(health.findings) is bool(words)
    if words:
        (first, *more) = health.findings
        level, *parts = words
        assert first.level == level and not more, health.findings
        assert all(part in str(first) for part in parts), first


def test_the_gravest_comes_first() -> None:
    """And all are there."""
    doubts = degraded("polled")["degraded"] + degraded("unreadable")["degraded"]
    seen = {"s0": STOPPED, "engine": {"notes": ["n"], "degraded": doubts}}
    assert [finding.level for finding in verdict(seen).findings] == ["error", "error", "warning", "note"]
    assert len(verdict(seen).troubles) == 3


def test_one_trouble_is_one_finding() -> None:
    """A shard that is stopped is silent too: only the former is said. Another shard's silence is."""
    silent = [{"id": "s0", "state": "silent"}, {"id": "s1", "state": "silent"}]
    messages = [finding.message for finding in verdict({"s0": STOPPED, "engine": {"shards": silent}}).findings]
    assert len(messages) == 2 and "s0 is stopped" in messages[0] and "s1 has sent no sign" in messages[1]


def test_remedies_can_be_pasted() -> None:
    """The path of the configuration is quoted for a shell, whatever it holds."""
    (finding,) = verdict({"s0": STOPPED}).findings
    assert finding.remedy == "supervisorctl -c '/s t/supervisord.conf' start shards:s0"


def test_names_are_those_of_supervisorctl() -> None:
    """By the plugin's rows, and by those that were named so already."""
    rows = [{"group": "shards", "name": "s0"}, {"group": "shards", "name": "shards:s0"}, {"group": "a", "name": "a"}]
    assert [program_name(row) for row in rows] == ["shards:s0", "shards:s0", "a"]


@pytest.mark.parametrize(
    ("name", "mib", "cap", "remedy"),
    [
        ("shards:s0", 130, 100, "set memory_mib_max to 208, use 2 shards, or exclude what need not be watched"),
        ("shards:s0", 130, 21, "set memory_mib_max to 208, or exclude what need not be watched"),
        ("shards:s0", 18, 17, "set memory_mib_max to 32"),
        ("aggregator", 130, 100, "set memory_mib_max to 208, or exclude what need not be watched"),
        ("aggregator", 30, 1, "set memory_mib_max to 48"),
    ],
)
def test_what_needs_more_memory_is_told_what_suffices(name: str, mib: int, cap: int, remedy: str) -> None:
    """Not that more shards suffice where 64 would not, nor that less does where what watches nothing has too much."""
    (finding,) = verdict({"engine": memory("needs more", mib, name=name, cap=cap)}).findings
    assert finding.remedy == remedy


@pytest.mark.parametrize(
    ("needed", "poll_ms_max", "unwatched", "remedy"),
    [
        (12.5, 60_000, 0, "set poll_cpu_percent to 13, set poll_ms_max higher, or exclude what need not be watched"),
        (100.5, 60_000, 5, "set poll_ms_max higher, or allow more watches"),
        (100.0, 3_600_000, 5, "set poll_cpu_percent to 100, or allow more watches"),
        (101.0, 3_600_000, 5, "allow more watches"),
    ],
)
def test_no_more_is_advised_than_can_be_set(needed: float, poll_ms_max: int, unwatched: int, remedy: str) -> None:
    """Where more is polled than can be in time."""
    (finding,) = verdict({"engine": {"polling": polling(needed, poll_ms_max, unwatched)}}).findings
    assert finding.remedy == remedy
