"""Which runs wait since their command seems to make the changes itself, and until when. The files are real."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from shardwatch.supervisor.cli.follow.put_off import PutOff
from shardwatch.supervisor.runs.change import Taken, taken
from shardwatch.supervisor.runs.echoes import ROUNDS_QUICK, Echoes


def batch(name: str, *paths: Path) -> Taken:
    """A batch in which these files were modified; their ticks count from 1."""
    events = [
        {"type": "event", "event_type": "modified", "path": os.fspath(path), "tick": tick} for tick, path in enumerate(paths, 1)
    ]
    return taken({"id": name, "attempt": 1, "lease_ms": 1000, "events": events})


def run_that_writes(echoes: Echoes, path: Path) -> None:
    """A run for a file that changes this file."""
    echoes.begin(1, [os.fsencode(path)], time.time_ns())
    path.write_text(str(time.monotonic_ns()))
    echoes.end(1, time.time_ns())


@pytest.fixture
def echoing(tmp_path: Path) -> tuple[Echoes, Path]:
    """A file that the last runs for it have changed, so often that the next echo has to wait."""
    echoes, path = Echoes(), tmp_path / "echo.json"
    for _ in range(ROUNDS_QUICK - 1):
        run_that_writes(echoes, path)
        assert PutOff(echoes, lambda kind: True).choose(batch("earlier", path)) == []
    run_that_writes(echoes, path)
    return echoes, path


def test_only_what_echoes_waits_and_only_for_a_while(
    echoing: tuple[Echoes, Path], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The file is named, once."""
    echoes, path = echoing
    other = tmp_path / "other.json"
    other.write_text("x")
    put_off = PutOff(echoes, lambda kind: True)
    assert put_off.due() == float("inf")
    begun = time.monotonic()
    assert put_off.choose(batch("b", other, path)) == [2]
    assert put_off.choose(batch("c", path)) == [1]
    assert capfd.readouterr().err.count("echo.json") == 1
    assert begun < put_off.due() <= time.monotonic() + 1.0
    assert put_off.take_due(begun) == []
    assert put_off.take_due(time.monotonic() + 3600) == ["b", "c"]
    assert put_off.due() == float("inf")


def test_what_somebody_else_changes_does_not_wait(echoing: tuple[Echoes, Path]) -> None:
    """It is noticed at the next look, a second later at most. A file that is gone is looked for in the directory above it."""
    echoes, path = echoing
    put_off = PutOff(echoes, lambda kind: True)
    assert put_off.choose(batch("b", path)) == [1]
    path.unlink()
    assert put_off.take_due(time.monotonic()) == []
    assert put_off.take_due(time.monotonic() + 1.0) == ["b"]


def test_what_the_command_is_not_run_for_does_not_wait(echoing: tuple[Echoes, Path]) -> None:
    echoes, path = echoing
    assert PutOff(echoes, lambda kind: False).choose(batch("b", path)) == []


def test_more_batches_than_may_be_on_lease_do_not_wait(echoing: tuple[Echoes, Path]) -> None:
    """The oldest ones are run for at once."""
    echoes, path = echoing
    put_off = PutOff(echoes, lambda kind: True)
    for number in range(18):
        assert put_off.choose(batch(str(number), path)) == [1]
    assert put_off.take_due(time.monotonic()) == ["0", "1"]
