"""Durations and sizes as people write them on the command line."""

from __future__ import annotations

import time

import pytest

from shardwatch.shard.contract.errors import UsageError
from shardwatch.supervisor.cli.amounts import byte_count, seconds, time_before


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", 0), ("90", 90), ("90s", 90), ("10m", 600), ("10min", 600), ("1h", 3600), ("1.5h", 5400), ("2d", 172_800),
        ("1w", 604_800),
    ],
)  # fmt: skip
def test_a_duration_is_a_number_and_a_unit(text: str, value: float) -> None:
    """Seconds where there is no unit."""
    assert seconds("--changed-within", text) == value


@pytest.mark.parametrize(("text", "value"), [("0", 0), ("4096", 4096), ("10k", 10_000), ("1.5M", 1_500_000), ("2G", 2 * 10**9)])
def test_a_size_is_a_number_and_a_unit(text: str, value: int) -> None:
    """Powers of 1000, as sizes are shown; bytes where there is no unit."""
    assert byte_count("--larger", text) == value


@pytest.mark.parametrize("text", ["", "h", "-1h", "1 h", "1y", "1H", "1e3", "nan", "inf", "1h30m", "١h", "9" * 5000, "1k"])
def test_what_is_no_duration_is_refused_with_examples(text: str) -> None:
    """The message names the option."""
    with pytest.raises(UsageError, match=r"--changed-within .* is no duration \(give a duration such as 90s"):
        seconds("--changed-within", text)


@pytest.mark.parametrize("text", ["", "k", "-1", "1K", "1kB", "0x10", "1h", "inf"])
def test_what_is_no_size_is_refused_with_examples(text: str) -> None:
    """The message names the option."""
    with pytest.raises(UsageError, match=r"--larger .* is no size \(give a size such as 4096"):
        byte_count("--larger", text)


def test_a_time_is_how_long_ago_or_a_date(monkeypatch: pytest.MonkeyPatch) -> None:
    """A date without a zone is the user's; what lies before 1970 is 1970."""
    now = 1_700_000_000.0
    assert time_before("TIME", "2h", now) == now - 7200
    assert time_before("TIME", "90s", now) == now - 90
    assert time_before("TIME", "100000w", now) == 0
    assert time_before("TIME", "2023-11-14T22:13:20+00:00", 0.0) == now
    assert time_before("TIME", "2023-11-14T22:13:20Z", 0.0) == now
    assert time_before("TIME", "1960-01-01T00:00Z", now) == 0
    monkeypatch.setenv("TZ", "Etc/GMT-3")
    time.tzset()
    try:
        assert time_before("TIME", "2023-11-15", 0.0) == 1_700_006_400 - 3 * 3600
    finally:
        monkeypatch.undo()
        time.tzset()
    for wrong in ("", "noon", "2h ago", "2023-13-01", "-1h"):
        with pytest.raises(UsageError, match="is no time"):
            time_before("TIME", wrong, now)
