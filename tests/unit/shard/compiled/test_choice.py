"""Which function stands in for one that is defined in Python, and who decides."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

_ASK = (
    "from shardwatch.shard.backend.decoding import decode\n"
    "from shardwatch.shard.compiled.choice import STATE, native\n"
    "print(STATE, native(decode) is decode, native(decode).__name__, sep=', ')"
)


def _asked(value: str | None) -> str:
    """What a process says with that value of the variable."""
    env = {name: text for name, text in os.environ.items() if name != "SHARDWATCH_NATIVE"}
    if value is not None:
        env["SHARDWATCH_NATIVE"] = value
    done = subprocess.run([sys.executable, "-P", "-c", _ASK], capture_output=True, text=True, check=True, env=env)
    return done.stdout.strip()


def test_the_variable_turns_native_code_off() -> None:
    """The definition is used then, whether native code is built or not."""
    assert _asked("0") == "turned off, True, decode"


@pytest.mark.parametrize("value", [None, "", "1"])
def test_native_code_is_in_use_where_it_is_built(value: str | None) -> None:
    """Nobody has to ask for it."""
    assert _asked(value) in ("in use, False, decode", "not built, True, decode")
