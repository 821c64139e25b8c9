"""Who holds batches back, and for how long: by a clock set by hand, without a service."""

from __future__ import annotations

import pytest

from shardwatch.aggregator.server.holds import HOLDS_MAX, Holds

LOCK = b"/r/.git/index.lock"


@pytest.fixture
def holds() -> Holds:
    return Holds(cap_s=30.0)


def spent(holds: Holds) -> dict[str, bool]:
    return {hold.name: hold.spent for hold in holds}


def test_a_hold_ends_when_it_is_dropped_and_looked_at(holds: Holds) -> None:
    """Dropping alone lets nothing through: what happened under it may not be known yet."""
    assert not holds.held
    assert holds.take("make", 0, 5) is not None
    assert holds.held and not holds.advance(1)
    assert holds.drop("make")
    assert holds.held
    assert holds.advance(2) and not holds.advance(3), "said once"
    assert holds.held
    assert not holds.counts
    holds.let_flow()
    assert not holds.held
    assert not holds.drop("make")


def test_a_lease_that_is_not_renewed_ends(holds: Holds) -> None:
    """The holder died."""
    holds.take("make", 0, 5)
    holds.take("make", 4, 5)
    assert holds.next_due() == 9
    assert not holds.advance(8)
    assert holds.advance(9)


def test_time_in_which_nobody_could_renew_does_not_count(holds: Holds) -> None:
    """The service was stopped, or the machine slept."""
    holds.take("make", 0, 5)
    holds.shift(100)
    assert not holds.advance(104)
    assert holds.held
    assert holds.advance(105)


def test_the_last_of_several_holds_counts(holds: Holds) -> None:
    """Names and lock files alike."""
    holds.take("a", 0, 20)
    holds.see([LOCK], 1)
    holds.drop("a")
    assert not holds.advance(2)
    holds.take("b", 3, 5)
    holds.see([], 4)
    assert not holds.advance(5)
    assert holds.advance(8)


def test_a_hold_that_comes_while_the_last_one_is_looked_at_goes_on(holds: Holds) -> None:
    """One period: nothing slips through between two steps of a build."""
    holds.take("a", 0, 5)
    holds.drop("a")
    assert holds.advance(1)
    holds.take("b", 2, 5)
    assert holds.counts and holds.held
    holds.drop("b")
    assert holds.advance(3) and not holds.counts
    holds.let_flow()
    assert not holds.held


def test_the_cap_lets_batches_through_although_it_is_held(holds: Holds) -> None:
    """A lock file left by a crash delays batches once; it is there still, and a later hold counts again, for as long."""
    holds.see([LOCK], 0)
    assert holds.next_due() == 30
    assert not holds.advance(30)
    assert not holds.held and spent(holds) == {LOCK.decode(): True}
    holds.see([LOCK], 31)
    assert not holds.advance(31) and not holds.held
    holds.take("make", 40, 100)
    assert holds.held
    assert not holds.advance(69) and holds.held
    assert not holds.advance(70)
    assert not holds.held and spent(holds) == {LOCK.decode(): True, "make": True}
    holds.take("make", 71, 100)
    assert not holds.held, "renewed, not taken anew"
    holds.drop("make")
    assert holds.advance(72), "what is pending by now is marked at its end all the same"
    assert not holds.counts and not holds.held


def test_a_chain_of_holds_is_capped_as_a_whole(holds: Holds) -> None:
    """Each of them is short, but there is never a moment without one."""
    for now in range(0, 40, 4):
        holds.take(str(now), now, 5)
        holds.advance(now)
        assert holds.held == (now < 30 or now > 32)
    assert spent(holds) == {"32": True, "36": False}


def test_there_may_be_so_many_holds(holds: Holds) -> None:
    """One more is refused; renewing is not."""
    for n in range(HOLDS_MAX):
        assert holds.take(str(n), 0, 5) is not None
    assert holds.take("more", 0, 5) is None
    assert holds.take("0", 1, 5) is not None


def test_who_holds_is_told(holds: Holds) -> None:
    """Oldest first; a lock file has no end."""
    holds.see([b"/r\xff/.hg/wlock"], 1)
    holds.take("make", 2, 5)
    assert holds.describe(4) == [
        {"name": "/r�/.hg/wlock", "kind": "lock", "held_s": 3.0, "ends_in_s": None, "spent": False},
        {"name": "make", "kind": "lease", "held_s": 2.0, "ends_in_s": 3.0, "spent": False},
    ]
