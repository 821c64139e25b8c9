"""The command lines of the programs that supervisord starts."""

from __future__ import annotations

import pytest

from shardwatch.shard.contract.errors import UsageError
from shardwatch.shard.contract.input.command_line import value_of, values_of


def test_values_are_given_by_name() -> None:
    """In any order; those that are not given are not there. A value may look like an option."""
    assert values_of(["--shard", "s0", "--state-dir", "."], "state-dir", "shard") == {"shard": "s0", "state-dir": "."}
    assert values_of([], "state-dir") == {}
    assert values_of(["--state-dir", "--shard"], "state-dir", "shard") == {"state-dir": "--shard"}
    assert value_of(["--state-dir", "/s"], "state-dir") == "/s"


@pytest.mark.parametrize(
    "arguments",
    [["--state-dir"], ["/s"], ["--other", "1"], ["--state-dir", "/s", "more"], ["--state-dir", "/s", "--state-dir", "/t"]],
)
def test_anything_else_is_refused(arguments: list[str]) -> None:
    """With the options that there are, in one line."""
    with pytest.raises(UsageError, match="usage: --state-dir VALUE"):
        values_of(arguments, "state-dir")


def test_a_value_that_has_to_be_given_is() -> None:
    """Its absence is told like any other mistake."""
    with pytest.raises(UsageError, match="--state-dir is missing"):
        value_of([], "state-dir")
