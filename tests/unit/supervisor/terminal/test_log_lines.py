"""Lines of logs, as `shardwatch logs` shows them."""

from __future__ import annotations

import pytest

from shardwatch.shard.contract.process.log_entry import JSON, TEXT, entry
from shardwatch.supervisor.terminal.log_lines import LogLine, lines_of, text_of

AT = 1_763_841_234.5


@pytest.mark.parametrize("name", ["a\u2028b", "a\u0085b", "a\u2029b", "a\x1cb", "a\nb", "\u4e2d"])
def test_an_entry_is_one_line_whatever_a_name_holds(name: str) -> None:
    """As text and as JSON, in which a character may stand that ends a line for Python."""
    entries = [entry(form, AT, "WARNING", "shardwatch.shard", 7, f"{name} is a link") for form in (TEXT, JSON)]
    text, json = (text_of(lines_of("shards:s0", f"{one}\n"), ["shards:s0"]) for one in entries)
    assert text == json
    assert text.count("\n") == 1 and text.endswith("is a link\n")


def test_what_a_command_prints_has_the_lines_that_it_has() -> None:
    """Also those that a progress bar draws over each other, and empty ones; each has the time of the one before it."""
    first = entry(TEXT, AT, "INFO", "shardwatch.exec", 7, "begins")
    told = list(lines_of("exec:lint", f"{first}\n10 %\r100 %\r\n\nend\n"))
    assert [line.text for line in told] == [first, "10 %", "100 %", "", "end"]
    assert {line.time for line in told} == {first[:23]}
    assert list(lines_of("exec:lint", "", "then")) == []
    assert list(lines_of("exec:lint", '{"time": cut\n', "then")) == [LogLine("then", "exec:lint", '{"time": cut')]
