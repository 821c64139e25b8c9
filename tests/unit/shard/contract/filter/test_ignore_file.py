"""One ignore file: what git says of it is checked in tests/property/test_ignore_git.py, and here what git cannot be asked."""

from __future__ import annotations

import time

import pytest

from shardwatch.shard.contract.filter.ignore_file import (
    IGNORE_FILE_BYTES_MAX,
    IGNORE_FILE_LINES_MAX,
    IGNORE_FILE_WILDCARDS_MAX,
    ignore_file,
)


def ignores(content: bytes, path: bytes, *, directory: bool = False) -> bool:
    """Whether a file at the top says that a path is ignored, if nothing above the path is."""
    prefix, slash, name = path.rpartition(b"/")
    table = ignore_file(content).table(path.count(b"/"), directories=directory)
    rule = None if table is None else table.find(prefix + slash, name)
    return rule is not None and not rule.negated


def test_a_rule_has_its_line_and_its_text() -> None:
    """Comments and blank lines count as lines; blanks at the end are no part of the text."""
    rules = ignore_file(b"# comment\n\n!a/  \r\nb\\ \nc\x00d\n/\n").rules
    assert [(r.line, r.text, r.negated) for r in rules] == [(3, b"!a/", True), (4, b"b\\ ", False), (5, b"c", False)]


@pytest.mark.parametrize(
    ("line", "count"),
    [
        (b"a" * 99, IGNORE_FILE_BYTES_MAX // 100),
        (b"a", IGNORE_FILE_LINES_MAX),
        (b"a*", IGNORE_FILE_WILDCARDS_MAX),
        (b"[a]*a", IGNORE_FILE_WILDCARDS_MAX // 2),
        (b"a?**", IGNORE_FILE_WILDCARDS_MAX // 3),
    ],
)
def test_a_file_that_is_too_large_counts_as_empty(line: bytes, count: int) -> None:
    """In bytes, in lines, and in wildcards, of which all count. At the bound it is read."""
    content = b"\n".join([line] * count)
    assert ignores(content, line.replace(b"[a]", b"a"))
    assert not ignores(content + b"\n" + line * 2, line.replace(b"[a]", b"a"))


#: Patterns that a matcher with backtracking would take a time for that doubles with each of their stars.
HOSTILE = [
    b"*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*ab",
    b"/" + b"*a" * 40 + b"b",
    b"**/" + b"*a/**/" * 12 + b"b",
    b"a/" + b"**/a/" * 20 + b"*a*a*a*ab",
    b"*" + b"[a]*" * 40 + b"b",
]


@pytest.mark.parametrize("pattern", HOSTILE)
def test_a_hostile_pattern_costs_no_more_than_an_honest_one(pattern: bytes) -> None:
    """The time grows with the square of the length at most: against a path four times as long, not beyond all bounds."""

    def cost(length: int) -> int:
        path = b"/".join([b"a" * 20] * length) + b"/" + b"a" * 200
        begun = time.process_time_ns()
        for _ in range(3):
            assert not ignores(pattern, path)
        return time.process_time_ns() - begun

    cost(2)
    assert cost(32) < 1_000 * max(cost(8), 100_000)
