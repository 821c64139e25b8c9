"""When a process ends because of its memory: for what another start would give back, and never for what it needs."""

from __future__ import annotations

import os

import pytest

from shardwatch.shard.contract.process.memory_cap import MemoryCap, memory_state, resident_bytes
from shardwatch.shard.contract.process.renewal import PAUSE_S, PAUSE_S_MAX, RENEWALS_VARIABLE, pause_s, renewals_before

MIB = 1 << 20


def looks(cap: MemoryCap, *mib: int, begun: float = 0.0, settled: bool = True) -> list[bool]:
    """One look every two seconds; whether it had to end after each."""
    found = []
    for number, has in enumerate(mib):
        cap.look(begun + 2 * number, has * MIB, settled=settled)
        found.append(cap.reached)
    return found


def test_what_has_grown_ends_at_the_second_look() -> None:
    """One look may fall into a burst, whose memory is given back."""
    cap = MemoryCap(100, renewals=0, now=0.0)
    assert looks(cap, 60, 50, 55, 99, 130, 70, 130, 131) == [False] * 7 + [True]
    assert (cap.needed, cap.resident) == (50 * MIB, 131 * MIB)


def test_memory_is_given_back_before_it_ends() -> None:
    """At the looks that show too much, also at those after the first work."""
    cap = MemoryCap(100, renewals=0, now=0.0)
    sizes = [(120, True), (90, False), (90, False), (100, False), (130, True)]
    assert [cap.look(0.0, has * MIB, settled=True) for has, _ in sizes] == [gives for _, gives in sizes]


def test_nothing_ends_during_its_first_work() -> None:
    """A scan that is begun again and again would never end."""
    cap = MemoryCap(100, renewals=0, now=0.0)
    assert not any(looks(cap, *[500] * 50, settled=False))
    assert cap.needed == 0 and memory_state(cap.resident, cap.needed, 100) == ""


def test_what_is_needed_from_the_beginning_is_told() -> None:
    """And no reason to end, until far more is there than that."""
    cap = MemoryCap(100, renewals=0, now=0.0)
    assert not any(looks(cap, *[120] * 50, *[149] * 50))
    assert memory_state(cap.resident, cap.needed, 100) == "needs more"
    assert looks(cap, 151, 151, begun=300.0) == [False, True]


@pytest.mark.parametrize("renewals", [1, 2, 5, 6, 7, 50])
def test_the_second_end_comes_later(renewals: int) -> None:
    """After a minute, then two, and so on up to an hour; once that is over it ends at the next look."""
    longest = PAUSE_S_MAX if renewals > 6 else PAUSE_S * 2 ** (renewals - 1)
    assert pause_s(renewals) == longest and pause_s(0) == 0
    cap = MemoryCap(100, renewals=renewals, now=1_000.0)
    assert not any(looks(cap, 10, 10, 10, *[200] * 20, begun=1_000.0))
    cap.look(1_000 + longest - 1, 200 * MIB, settled=True)
    assert not cap.reached
    cap.look(1_000 + longest, 200 * MIB, settled=True)
    assert cap.reached


def test_without_a_limit_nothing_is_asked_and_nothing_ends() -> None:
    """A limit may come and go while the process runs; where it comes, what is there by then is what is needed."""
    cap = MemoryCap(0, renewals=0, now=0.0)
    assert not cap.asks and not any(looks(cap, 10, 10, 10, 1_000, 1_000, 1_000))
    cap.limit(100)
    assert cap.asks and not any(looks(cap, 300, 300, 300, 310, 310))
    assert memory_state(cap.resident, cap.needed, 100) == "needs more"
    cap.limit(0)
    assert (cap.resident, cap.needed) == (0, 0)


def test_states_are_told_apart() -> None:
    """As `status` shows them."""
    told = [memory_state(*case) for case in [(5, 5, 0), (0, 0, 1), (MIB, 5, 1), (2 * MIB, MIB, 1), (2 * MIB, 2 * MIB - 1, 1)]]
    assert told == ["", "", "within", "over", "needs more"]


def test_the_system_says_how_much_there_is() -> None:
    """Of this process, and of another; nothing where there is no such process."""
    assert resident_bytes() > 5 * MIB
    assert resident_bytes(os.getppid()) > 0
    assert resident_bytes(2**30) == 0


def test_a_successor_knows_how_often_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    """Anything else in the variable counts as never."""
    for text, count in [("3", 3), ("", 0), ("-1", 0), ("x", 0), ("9" * 30, 0)]:
        monkeypatch.setenv(RENEWALS_VARIABLE, text)
        assert renewals_before() == count
