"""The shards that supervisord starts before the coordinator has looked at the plan."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from shardwatch.shard.contract.state.layout import Layout
from shardwatch.supervisor.plugin import triggers
from shardwatch.supervisor.plugin.rpc import ShardsRPC, planned_shards

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


@pytest.mark.parametrize(
    "damaged",
    [b"{", b"[]", b'{"anchors": [7]}', b'{"anchors": [{"shard": "s0", "path": "Lw==", "root": "Lw==", "files": Infinity}]}',
     b"[" * 100_000],
)  # fmt: skip
def test_no_titles_of_a_damaged_plan(layout: Layout, damaged: bytes) -> None:
    """The same: shards are called by their ids, and `status` answers."""
    layout.plan.write_bytes(damaged)
    said: list[str] = []
    process = SimpleNamespace(config=SimpleNamespace(name="s0-old"))
    rpc: Any = SimpleNamespace(
        _options=SimpleNamespace(here=str(layout.state_dir), logger=SimpleNamespace(warn=said.append)),
        _titled=None, _titles={}, _ensure_group=lambda: SimpleNamespace(processes={"s0": process}),
    )  # fmt: skip
    ShardsRPC._give_titles(rpc)
    assert len(said) == 1 and process.config.name == "s0"


@pytest.mark.parametrize("damaged", [b"{", b"7", b"[7]", b"[" * 100_000])
def test_no_commands_of_a_damaged_file(layout: Layout, damaged: bytes) -> None:
    """The rest of the service runs all the same."""
    layout.triggers.write_bytes(damaged)
    said: list[str] = []
    supervisord: Any = SimpleNamespace(options=SimpleNamespace(logger=SimpleNamespace(warn=said.append)))
    assert triggers._commands(supervisord, {}, layout) == []
    assert len(said) == 1
