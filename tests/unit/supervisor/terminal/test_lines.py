"""Objects of JSON on standard output."""

from __future__ import annotations

import contextlib
import io
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from shardwatch.supervisor.terminal.lines import print_json, print_json_lines

NAME = "/t/\u00e4\u4e2d"


def test_they_are_utf8_whatever_the_locale_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """One document, or one for each line, behind what was printed before."""
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="latin-1", errors="backslashreplace"))
    print("before")
    print_json_lines([{"path": NAME}, {"path": "b"}])
    print_json([NAME])
    before, *lines = written.getvalue().decode().splitlines()
    assert before == "before"
    assert [json.loads(line) for line in lines[:2]] == [{"path": NAME}, {"path": "b"}]
    assert json.loads("".join(lines[2:])) == [NAME]


@pytest.mark.parametrize("write", [print_json, print_json_lines])
def test_a_full_disk_is_that_of_standard_output(write: Callable[[object], None], monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names it, for the line that people see."""
    full = Path("/dev/full").open("w")  # noqa: SIM115 - what it holds can't be written when it is closed either
    monkeypatch.setattr(sys, "stdout", full)
    with pytest.raises(OSError, match="No space left") as refused:
        write([1])
    assert refused.value.filename == "standard output"
    with contextlib.suppress(OSError):
        full.close()
