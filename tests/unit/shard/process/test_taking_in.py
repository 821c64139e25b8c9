"""When a shard takes the hints that its backend has read."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from shardwatch.shard.main import ShardProcess

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
