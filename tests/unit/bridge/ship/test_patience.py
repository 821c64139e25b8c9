"""Shipping goes on whatever is wrong: it is reported each time, said once, and tried again after pauses."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import pairwise

import pytest

from shardwatch.bridge.ship.patience import PAUSE_S, PAUSE_S_MAX, ship_patiently
from shardwatch.shard.contract.errors import NotRunningError, ShardwatchError, UsageError

AWAY = NotRunningError("no server", hint="start one", retryable=True)
WRONG = UsageError("wrong credentials", hint="mend them")


def shipped(errors: Sequence[ShardwatchError]) -> tuple[list[ShardwatchError], list[str], list[float]]:
    """What is reported, said and waited for, while one try after the other ends so."""
    left = list(errors)
    reported: list[ShardwatchError] = []
    said: list[str] = []
    waited: list[float] = []

    async def ship() -> None:
        if not left:
            raise asyncio.CancelledError
        raise left.pop(0)

    async def sleep(seconds: float) -> None:
        waited.append(seconds)

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(ship_patiently(ship, reported.append, said.append, sleep))
    return reported, said, waited


def test_what_passes_by_itself_is_tried_again_soon() -> None:
    """A server that is away; it is said once."""
    reported, said, waited = shipped([AWAY] * 20)
    assert reported == [AWAY] * 20
    assert said == ["not shipping: no server (start one)"]
    assert len(waited) == 20 and max(waited) <= PAUSE_S_MAX


def test_what_somebody_has_to_mend_is_tried_less_often() -> None:
    """The pauses grow up to a bound, and begin again once something else is wrong."""
    _, said, waited = shipped([WRONG] * 6 + [AWAY] + [WRONG])
    assert waited[0] == PAUSE_S and all(b == min(2 * a, PAUSE_S_MAX) for a, b in pairwise(waited[:6]))
    assert waited[7] == PAUSE_S
    assert [line.split(" (")[0] for line in said] == [
        "not shipping: wrong credentials", "not shipping: no server", "not shipping: wrong credentials"
    ]  # fmt: skip


def test_a_defect_is_none_of_it() -> None:
    """It ends the program, which is started again."""

    async def ship() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        asyncio.run(ship_patiently(ship, lambda error: None, lambda line: None))
