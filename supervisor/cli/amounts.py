"""Amounts as people write them on the command line: `90s`, `1h`, `10M`. Pure."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Final

from shardwatch.shard.contract.errors import UsageError
from shardwatch.shard.contract.input.shown import shown

_SECONDS: Final = {"": 1, "s": 1, "min": 60, "m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}
_BYTES: Final = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
#: Digits of a number at most: more would be an amount that nobody means.
_AMOUNT: Final = re.compile(r"(\d{1,15}(?:\.\d{1,9})?)([a-zA-Z]*)", re.ASCII)


def seconds(option: str, text: str) -> float:
    """The seconds of a duration: a number with s, m (or min), h, d or w behind it. Raises UsageError, which names the option."""
    return _amount(option, text, _SECONDS, "a duration", "90s, 10m, 1h, 2d or 1w")


def time_before(option: str, text: str, now: float) -> float:
    """A time in seconds since 1970, 0 for an earlier one: a duration before `now`, or a date as ISO 8601 has it, which is in the
    user's time zone if it names none. Raises UsageError, which names the option."""
    found = _AMOUNT.fullmatch(text)
    if found is not None and found[2] in _SECONDS:
        return max(0.0, now - seconds(option, text))
    try:
        return max(0.0, datetime.fromisoformat(text).timestamp())
    except (ValueError, OverflowError):
        hint = "give how long ago it is, such as 90s, 10m, 2h or 3d, or a date such as 2026-11-26 or 2026-11-26T09:30"
        raise UsageError(f"{option} {shown(text)} is no time", hint=hint) from None


def byte_count(option: str, text: str) -> int:
    """The bytes of a size: a number with k, M, G or T behind it (powers of 1000), or none. Raises UsageError likewise."""
    return int(_amount(option, text, _BYTES, "a size", "4096, 10k, 1.5M or 2G"))


def _amount(option: str, text: str, units: dict[str, int], noun: str, examples: str) -> float:
    found = _AMOUNT.fullmatch(text)
    if found is None or found[2] not in units:
        raise UsageError(f"{option} {shown(text)} is no {noun.removeprefix('a ')}", hint=f"give {noun} such as {examples}")
    return float(found[1]) * units[found[2]]
