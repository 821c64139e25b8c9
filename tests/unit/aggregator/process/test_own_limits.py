"""The aggregator's own limits: what it may take of the machine, and when it is to be started again for that."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace

from shardwatch.aggregator.process import own_limits
from shardwatch.aggregator.process.own_limits import OwnLimits
from shardwatch.shard.contract.process.priority import PriorityRefusal
from shardwatch.shard.contract.process.renewal import AGAIN_CODE, MEMORY_CODE
from shardwatch.shard.contract.state.settings import Settings, write_settings

SETTINGS = Settings(roots=(b"/",), include=("*",), exclude=(), memory_mib_max=100)
MIB = 1 << 20


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The settings on disk, in a directory of ours alone."""
    tmp_path.chmod(0o700)
    write_settings(tmp_path / "settings.json", SETTINGS)
    return tmp_path / "settings.json"


def test_it_is_started_again_for_memory_that_it_does_not_need(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is asked before everything was scanned, and memory is given back first."""
    sizes = iter([500, 50, 50, 50, 140, 140])
    monkeypatch.setattr(own_limits, "resident_bytes", lambda: next(sizes) * MIB)
    limits = OwnLimits(file, SETTINGS)
    assert not limits.look(settled=False) and limits.memory.needed == 0
    assert [limits.look(settled=True) for _ in range(5)] == [False, False, False, True, True]
    assert limits.exit_code == MEMORY_CODE
    assert (limits.memory.resident, limits.memory.needed) == (140 * MIB, 50 * MIB)


def test_other_settings_are_taken_over_once(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is the same changes nothing; without a limit nothing is asked."""
    monkeypatch.setattr(own_limits, "resident_bytes", lambda: pytest.fail("nobody has to know"))
    taken: list[int] = []
    monkeypatch.setattr(own_limits, "take_priority", lambda settings: taken.append(settings.niceness) or PriorityRefusal())
    limits = OwnLimits(file, SETTINGS)
    assert limits.changed() is None and taken == []
    other = replace(SETTINGS, memory_mib_max=0, niceness=3)
    write_settings(file, other)
    assert limits.changed() == other and limits.changed() is None and taken == [3]
    assert not limits.look(settled=True) and limits.exit_code == 0
    file.write_text("{")
    assert limits.changed() is None, "it goes on with what it has"
    file.unlink()
    assert limits.changed() is None


def test_it_is_started_again_for_a_priority_that_it_may_not_take(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If that helps; what was refused at the start is only told."""
    refused = PriorityRefusal("no 3", "allow it", restart_helps=True)
    monkeypatch.setattr(own_limits, "take_priority", lambda settings: refused)
    limits = OwnLimits(file, replace(SETTINGS, niceness=3))
    assert (limits.refused, limits.exit_code) == (refused, 0)
    write_settings(file, replace(SETTINGS, niceness=2))
    assert limits.changed() is not None and limits.exit_code == AGAIN_CODE
