"""The shards that supervisord starts before the coordinator has looked at the plan."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from shardwatch.shard.contract.state.layout import Layout
from shardwatch.supervisor.plugin.rpc import planned_shards

_ANCHORS = [{"shard": "s1"}, {"shard": "s0"}, {"shard": "s1"}, {"shard": "../s2"}]


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    found = Layout(tmp_path)
    for file in (found.plan_key, found.plan):
        file.parent.mkdir(exist_ok=True)
    found.plan_key.write_text("k\n")
    return found


@pytest.mark.parametrize(("key", "expected"), [("k", ["s0", "s1"]), ("of other settings", [])])
def test_those_of_a_plan_that_fits_the_settings(layout: Layout, key: str, expected: list[str]) -> None:
    """What is no id of a shard is none."""
    layout.plan.write_text(json.dumps({"key": key, "anchors": _ANCHORS}))
    said: list[str] = []
    assert planned_shards(layout, said.append) == expected
    assert not said


def test_none_without_a_plan(layout: Layout) -> None:
    said: list[str] = []
    assert planned_shards(layout, said.append) == []
    assert not said


@pytest.mark.parametrize(
    "damaged",
    [b"", b"{", b"\xff", b"[]", b"7", b'{"anchors": []}', b'{"key": "k"}', b'{"key": "k", "anchors": 7}',
     b'{"key": "k", "anchors": "ab"}', b'{"key": "k", "anchors": [{}]}', b"[" * 100_000],
)  # fmt: skip
def test_none_of_a_damaged_plan(layout: Layout, damaged: bytes) -> None:
    """It is told, and supervisord goes on."""
    layout.plan.write_bytes(damaged)
    said: list[str] = []
    assert planned_shards(layout, said.append) == []
    assert len(said) == 1
