"""Which processes are killed when an `exec` was killed. That the guard notices its end: test_cli_exec."""

from __future__ import annotations

import os
import signal
import subprocess

import pytest

from shardwatch.supervisor.config.names import RUN_VARIABLES, WITHIN_VARIABLE
from shardwatch.supervisor.runs.guard import end_runs

RUN = RUN_VARIABLES[0]


@pytest.mark.parametrize(
    ("variables", "is_killed"),
    [
        ({RUN: "{0}.7"}, True),
        ({RUN: "other.1", WITHIN_VARIABLE: "{0}.7"}, True),
        ({RUN: "other.1", WITHIN_VARIABLE: "outer.2 {0}.7 middle.3"}, True),
        ({RUN: "other.1", WITHIN_VARIABLE: "outer.2"}, False),
        ({RUN: "x{0}.7", WITHIN_VARIABLE: "x{0}.7 {0}"}, False),
        ({"OTHER": "{0}.7"}, False),
    ],
)
def test_a_run_of_an_exec_that_is_in_a_run_ends_with_the_outer_one(variables: dict[str, str], is_killed: bool) -> None:
    """The inner guard is killed with the outer run, and can't do it."""
    token = os.urandom(8).hex()
    environ = {**os.environ, **{name: value.format(token) for name, value in variables.items()}}
    with subprocess.Popen(["sleep", "1000"], env=environ) as process:
        end_runs(token)
        ended = process.poll() if not is_killed else process.wait(60)
        assert ended == (-signal.SIGKILL if is_killed else None)
        process.kill()
