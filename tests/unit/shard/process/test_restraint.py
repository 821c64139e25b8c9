"""What a shard's process may take of the machine, and when it is to be started again for that."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from shardwatch.shard.contract.process.priority import PriorityRefusal
from shardwatch.shard.contract.process.renewal import AGAIN_CODE, MEMORY_CODE
from shardwatch.shard.contract.state.settings import Settings
from shardwatch.shard.process import restraint
from shardwatch.shard.process.restraint import Restraint

SETTINGS = Settings(roots=(b"/",), include=("*",), exclude=(), memory_mib_max=100)
MIB = 1 << 20


def test_it_departs_for_memory_that_it_does_not_need(monkeypatch: pytest.MonkeyPatch) -> None:
    """After its baseline, and not at the first look that shows too much."""
    sizes = iter([500, 50, 50, 50, 140, 140, 140])
    monkeypatch.setattr(restraint, "resident_bytes", lambda: next(sizes) * MIB)
    of_shard = Restraint(SETTINGS, limited=True)
    codes = []
    for number in range(7):
        of_shard.look(settled=number > 0)
        codes.append(of_shard.departure.code)
    assert codes == [0] * 5 + [MEMORY_CODE] * 2


def test_a_stand_in_has_no_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends by itself; neither at its start nor later is it asked."""
    monkeypatch.setattr(restraint, "resident_bytes", lambda: pytest.fail("nobody has to know"))
    stand_in = Restraint(SETTINGS, limited=False)
    stand_in.take_over(replace(SETTINGS, memory_mib_max=1))
    stand_in.look(settled=True)
    assert not stand_in.departure.begun


@pytest.mark.parametrize("helps", [False, True])
def test_it_departs_for_a_priority_if_that_helps(monkeypatch: pytest.MonkeyPatch, helps: bool) -> None:
    """What was refused at the start is only told: another start would be refused it, too."""
    monkeypatch.setattr(restraint, "take_priority", lambda settings: PriorityRefusal("no 3", "allow it", helps))
    of_shard = Restraint(replace(SETTINGS, niceness=3), limited=True)
    assert not of_shard.departure.begun
    of_shard.take_over(replace(SETTINGS, niceness=2))
    assert of_shard.departure.code == (AGAIN_CODE if helps else 0)
