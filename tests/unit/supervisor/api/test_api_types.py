"""The specification's data types: its fields, order and defaults first; what a wrong value is answered with."""

from __future__ import annotations

import dataclasses
import os
import re
from pathlib import Path
from typing import Any

import pytest

from shardwatch import FileEvent, ProcessingResult, WatcherConfig, WatcherStats
from shardwatch.aggregator.queue.file_event import combine, split_move
from shardwatch.shard.contract.errors import UsageError
from shardwatch.shard.contract.state.options import OPTIONS

DOCUMENT = Path(__file__).parents[4] / "docs/api.md"


def _defaults(kind: Any) -> list[tuple[str, object]]:
    return [(field.name, field.default) for field in dataclasses.fields(kind)]


def test_file_event_begins_with_the_specified_fields() -> None:
    """A caller may give them by place."""
    assert _defaults(FileEvent)[:5] == [
        ("path", dataclasses.MISSING),
        ("event_type", dataclasses.MISSING),
        ("timestamp", dataclasses.MISSING),
        ("file_size", None),
        ("is_directory", False),
    ]
    event = FileEvent(Path("/a"), "created", 1.0, 2, True)
    assert (event.path, event.event_type, event.timestamp, event.file_size, event.is_directory) == (
        Path("/a"),
        "created",
        1.0,
        2,
        True,
    )


def test_watcher_config_begins_with_the_specified_fields() -> None:
    """Order and defaults are binding."""
    assert _defaults(WatcherConfig)[:7] == [
        ("ast_file_patterns", None),
        ("exclude_patterns", None),
        ("recursive_monitoring", True),
        ("debounce_period", 0.5),
        ("batch_size", 100),
        ("batch_timeout", 2.0),
        ("queue_size", 10000),
    ]


def test_watcher_config_shares_the_defaults_of_the_options() -> None:
    """Where the specification says nothing, a watcher and a service are the same unless told otherwise."""
    config = WatcherConfig()
    for name in ("shards", "backend", "follow_symlinks", "content_only", "durability"):
        assert getattr(config, name) == OPTIONS[name].default
    assert config.settings([b"/r"]).lease_ms == OPTIONS["lease_ms"].default


def test_the_api_document_has_the_fields_with_their_defaults() -> None:
    """docs/api.md lists all of them, in their order, with the values of a `WatcherConfig()`."""
    section = DOCUMENT.read_text().partition("\n## WatcherConfig\n")[2].partition("\n## ")[0]
    told = re.findall(r"^\| `(\w+)` \| (.*?) \| ", section, re.MULTILINE)
    config = WatcherConfig()
    assert told == [(field.name, _written(getattr(config, field.name))) for field in dataclasses.fields(WatcherConfig)]


def _written(value: object) -> str:
    """A default as the document has it."""
    if isinstance(value, list):
        return ", ".join(f"`{item}`" for item in value)
    return f'`"{value}"`' if isinstance(value, str) else f"`{value!r}`"


def test_watcher_config_fills_in_the_specified_patterns() -> None:
    """None means the specification's lists, a list of its own for every object."""
    config = WatcherConfig()
    assert config.ast_file_patterns == ["*.json", "**/*.ast.json", "**/ast/*.json"]
    assert config.exclude_patterns == [
        "**/.git/**",
        "**/node_modules/**",
        "**/build/**",
        "**/dist/**",
        "**/__pycache__/**",
        "**/*.tmp",
        "**/*.swp",
    ]
    config.exclude_patterns.append("x")
    assert "x" not in WatcherConfig().exclude_patterns


def test_watcher_stats_begin_with_the_specified_fields() -> None:
    """All counters begin at 0."""
    assert _defaults(WatcherStats)[:3] == [("events_processed", 0), ("batches_processed", 0), ("processing_errors", 0)]
    assert set(dataclasses.asdict(WatcherStats()).values()) == {0}


def test_processing_result_begins_empty() -> None:
    """Every result has lists of its own."""
    result = ProcessingResult()
    assert result.success
    assert result.queued_paths == []
    result.queued.append(FileEvent(Path("/a"), "created", 1.0))
    result.errors[Path("/b")] = "vanished"
    assert result.queued_paths == [Path("/a")]
    assert not result.success
    assert ProcessingResult().queued == []


def test_file_event_takes_any_kind_of_path() -> None:
    """Names that are not UTF-8 keep their bytes."""
    assert FileEvent("/a/b", "created", 1.0).path == Path("/a/b")  # type: ignore[arg-type]
    event = FileEvent(b"/a/\xff", "moved", 1.0, moved_from=b"/b/\xfe")  # type: ignore[arg-type]
    assert os.fsencode(event.path) == b"/a/\xff"
    assert event.moved_from is not None
    assert os.fsencode(event.moved_from) == b"/b/\xfe"


@pytest.mark.parametrize(
    "wrong",
    [
        {"ast_file_patterns": "*.json"},
        {"ast_file_patterns": []},
        {"ast_file_patterns": [""]},
        {"exclude_patterns": [1]},
        {"exclude_patterns": 7},
        {"recursive_monitoring": 1},
        {"debounce_period": -0.1},
        {"debounce_period": float("nan")},
        {"debounce_period": "0.5"},
        {"batch_size": 0},
        {"batch_size": True},
        {"batch_size": 1.5},
        {"batch_timeout": float("inf")},
        {"queue_size": 0},
        {"shards": -1},
        {"backend": "kqueue"},
        {"durability": "none"},
        {"priorities": ["*.json"]},
        {"priorities": {"*.json": "high"}},
        {"priorities": {"": 1}},
        {"max_file_size": -1},
        {"group": ""},
        {"state_dir": 3},
        {"lease_s": 0},
        {"ready_timeout_s": 0},
        {"follow_symlinks": "yes"},
    ],
    ids=lambda wrong: ",".join(f"{k}={v!r}" for k, v in wrong.items()),
)
def test_a_wrong_value_is_named_with_the_remedy(wrong: dict[str, Any]) -> None:
    """One line that says which option, what it was, and what it must be."""
    with pytest.raises(UsageError) as caught:
        WatcherConfig(**wrong)
    assert f"WatcherConfig.{next(iter(wrong))} is" in caught.value.message
    assert caught.value.hint
    assert "\n" not in str(caught.value)


def test_config_becomes_the_engines_settings() -> None:
    """Seconds become milliseconds; the cap of the quiet period is four times it, and at least a second."""
    settings = WatcherConfig(priorities={"*.ast.json": 3}, durability="power", shards=2).settings([b"/r"])
    assert settings.roots == (b"/r",)
    assert settings.include == ("*.json", "**/*.ast.json", "**/ast/*.json")
    assert (settings.settle_ms, settings.settle_ms_max) == (500, 2000)
    assert (settings.batch_size_max, settings.batch_wait_ms, settings.queue_size_max) == (100, 2000, 10000)
    assert (settings.priorities, settings.durability, settings.shards) == ({"*.ast.json": 3}, "power", 2)
    assert WatcherConfig(debounce_period=0.05).settings([b"/r"]).settle_ms_max == 1000


@pytest.mark.parametrize(
    ("first", "last", "both"),
    [
        ("created", "created", "created"),
        ("created", "modified", "created"),
        ("created", "deleted", "deleted"),
        ("modified", "created", "modified"),
        ("modified", "modified", "modified"),
        ("modified", "deleted", "deleted"),
        ("deleted", "created", "modified"),
        ("deleted", "modified", "modified"),
        ("deleted", "deleted", "deleted"),
    ],
)
def test_two_kinds_become_one(first: str, last: str, both: str) -> None:
    """A deletion is never suppressed, and what was not there before is created."""
    assert combine(first, last) == both


def test_a_move_is_a_deletion_and_a_creation() -> None:
    """In this order, with the same time; the deleted half has no size."""
    event = FileEvent(Path("/b"), "moved", 5.0, 7, moved_from=Path("/a"), tick=9, priority=2, mtime_ns=3)
    gone, there = split_move(event)
    assert gone == FileEvent(Path("/a"), "deleted", 5.0, tick=9, priority=2)
    assert there == FileEvent(Path("/b"), "created", 5.0, 7, tick=9, priority=2, mtime_ns=3)
    assert [e.event_type for e in split_move(FileEvent(Path("/b"), "moved", 5.0))] == ["created"]
    other = FileEvent(Path("/b"), "modified", 5.0)
    assert split_move(other) == [other]
