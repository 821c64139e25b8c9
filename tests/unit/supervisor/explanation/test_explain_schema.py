"""The JSON Schema of `explain --json` beside what it describes: the code and docs/formats.md. Real output is held against it in
tests/integration/test_explain.py."""

from __future__ import annotations

import re
from typing import Any, get_type_hints

import pytest
from cli_process import EXPLAIN_SCHEMA, ROOT, checked_explanation
from jsonschema import Draft202012Validator, ValidationError

from shardwatch.aggregator.groups.standing import Standing
from shardwatch.supervisor.explanation.explain import Explanation
from shardwatch.supervisor.explanation.reach import Why

PARTS = EXPLAIN_SCHEMA["$defs"]
#: An answer about a path that is not watched, while no service runs.
FOUND: dict[str, Any] = {
    "format": 1, "path": "/a", "watched": False, "why": "outside", "is_directory": False, "state_dir": "/s", "running": False,
    "answering": False, "ready": None, "root": None, "rule": None, "ignored": None, "owner": None, "verify_period_s": 86400.0,
    "directories": False, "content_only": False, "rows": [], "index_trouble": "", "holds": [],
    "disk": {"what": "nothing", "size": None, "mtime_ns": None, "obstacle": "", "at": None, "error": ""},
}  # fmt: skip
ROW: dict[str, Any] = {
    "is_directory": False, "exists": True, "size": 1, "mtime_ns": 1, "tick": 1, "observed_at": 1.0, "is_event": True,
    "agrees": True,
}  # fmt: skip


def test_it_is_a_schema() -> None:
    """By the rules of its draft, and for what the public API calls `fields`."""
    Draft202012Validator.check_schema(EXPLAIN_SCHEMA)
    assert "fields" in get_type_hints(Explanation)


def test_it_has_every_reason_and_every_standing() -> None:
    """And no others."""
    assert set(EXPLAIN_SCHEMA["properties"]["why"]["enum"]) == set(Why)
    kinds = [PARTS[one["$ref"].rpartition("/")[2]]["properties"]["standing"] for one in PARTS["told"]["oneOf"]]
    standings = [name for kind in kinds for name in kind.get("enum", [kind.get("const")])]
    assert sorted(standings) == sorted(Standing)


def test_the_document_has_every_field() -> None:
    """The table of docs/formats.md names the fields of the object, in its first column."""
    text = (ROOT / "docs/formats.md").read_text()
    section = text[text.index("## `explain --json`") :].split("\n## ")[0]
    names = {name for row in re.findall(r"^\| (`.*?) \|", section, re.MULTILINE) for name in re.findall(r"`(\w+)", row)}
    assert names == set(EXPLAIN_SCHEMA["properties"]) - {"path_b64", "given"}
    assert {"path_b64", "given"} <= set(re.findall(r"`(\w+)`", section))


@pytest.mark.parametrize(
    "told",
    [
        {"standing": "acknowledged"},
        {"standing": "leased", "worker": "w", "attempt": 1, "ends_in_s": 59.9},
        {"standing": "retrying", "failures": 2, "reason": "", "due_in_s": 0.0},
        {"standing": "set aside", "attempts": 10, "reason": "exit code 1"},
        {"standing": "before", "position": 7},
        {"standing": "fresh", "reason": "the group is new"},
    ],
    ids=lambda told: str(told["standing"]),
)
def test_what_a_group_was_told(told: dict[str, Any]) -> None:
    """Each standing with its own fields, all of them, and those of no other."""

    def found(of_group: dict[str, Any]) -> dict[str, Any]:
        return {**FOUND, "rows": [{**ROW, "groups": [{"name": "g", **of_group}]}]}

    checked_explanation(found(told))
    with pytest.raises(ValidationError):
        checked_explanation(found({**told, "colour": "red"}))
    for name in told:
        with pytest.raises(ValidationError):
            checked_explanation(found({key: value for key, value in told.items() if key != name}))
