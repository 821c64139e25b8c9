"""Which processes are killed when an `exec` was killed. That the guard notices its end: test_cli_exec."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from shardwatch.supervisor.config.names import RUN_VARIABLES, WITHIN_VARIABLE
from shardwatch.supervisor.runs import guard
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


@pytest.mark.parametrize(
    ("exe", "env_end", "expected", "waits"),
    [("sleep", 0, b"A=1\0", 2), ("sleep", 7, b"", 0), (None, 0, None, 0)],
    ids=["is being executed", "has no environment", "of the kernel"],
)
def test_a_program_that_is_just_being_executed_has_no_environment_yet(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, exe: str | None, env_end: int, expected: bytes | None, waits: int
) -> None:
    """Though its descriptors are closed already, by which the guard knows that nobody is left. For others nobody waits."""
    (tmp_path / "environ").write_bytes(b"")
    (tmp_path / "stat").write_text(f"7 (a ) b) S {' '.join(['1'] * 47)} {env_end} 0\n")
    if exe is not None:
        (tmp_path / "exe").symlink_to(exe)
    waited: list[float] = []

    def sleep(seconds: float) -> None:
        waited.append(seconds)
        if len(waited) == 2:
            (tmp_path / "environ").write_bytes(b"A=1\0")

    monkeypatch.setattr("time.sleep", sleep)
    if expected is None:
        with pytest.raises(FileNotFoundError):
            guard._environ(tmp_path)
    else:
        assert guard._environ(tmp_path) == expected
    assert len(waited) == waits
