"""When a shard takes the hints that its backend has read."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from shardwatch.shard.main import ShardProcess
from shardwatch.shard.schedule.watcher import Watcher

_NEWS, _HINTS, _OTHER = 5, 7, 9


@pytest.mark.parametrize(
    ("ready", "debounced", "taken", "is_quiet"),
    [
        ({_HINTS}, False, True, True), ({_HINTS}, True, True, True), ({_HINTS, _OTHER}, True, True, False),
        (set(), True, True, False), ({_OTHER}, True, True, False), (set(), False, False, False), ({_OTHER}, False, False, False),
    ],
)  # fmt: skip
def test_hints_are_taken_before_a_name_counts_as_quiet(ready: set[int], debounced: bool, taken: bool, is_quiet: bool) -> None:
    """Those that could wait do not wake it; so while a name is debounced they are taken in each turn. A file that is written
    again and again would be looked at each time otherwise."""
    calls: list[str] = []

    def take_hints() -> bool:
        calls.append("taken")
        return True

    process = SimpleNamespace(
        _line=SimpleNamespace(tend=lambda: None, news=_NEWS), _backend=SimpleNamespace(fileno=lambda: _HINTS),
        _watcher=SimpleNamespace(debounce=["a name"] if debounced else [], take_hints=take_hints),
    )  # fmt: skip
    assert ShardProcess._take_in(cast(Any, process), ready) is is_quiet
    assert calls == ["taken"] * taken


@pytest.mark.parametrize(("left", "turns"), [([0], 1), ([2, 1, 0], 3), ([3, 0], 2), ([2, *[9] * 50], 3)])
def test_a_turn_takes_what_had_been_read_when_it_began(left: list[int], turns: int) -> None:
    """In a storm more is read while hints are taken: a shard that took that, too, might never look at anything."""
    taken: list[int] = []

    def take() -> SimpleNamespace:
        taken.append(left[len(taken)])
        return SimpleNamespace(more=taken[-1])

    watcher = SimpleNamespace(_backend=SimpleNamespace(take=take), absorb=lambda hints: True)
    assert Watcher.take_hints(cast(Any, watcher)) is True
    assert taken == left[:turns]
