"""Facts and requests share the time of the process."""

from __future__ import annotations

import pytest

from shardwatch.aggregator.process.sharing import TRANSACTION_S, UNASKED_S, Sharing

BEGUN = 10.0


def ends(sharing: Sharing, after_s: float) -> tuple[bool, bool]:
    """Whether a transaction ends so long after its beginning: in any case, and if a request is there."""
    sharing.begin(BEGUN)
    return sharing.is_over(BEGUN + after_s), sharing.yields(BEGUN + after_s)


def test_a_transaction_has_a_few_frames_before_a_request_ends_it() -> None:
    assert ends(Sharing(), UNASKED_S / 2) == (False, False)
    assert ends(Sharing(), UNASKED_S * 1.5) == (False, True)


def test_a_transaction_ends_though_nobody_asks() -> None:
    assert ends(Sharing(), TRANSACTION_S * 1.5) == (True, True)


def test_facts_have_as_long_as_the_requests_before_them() -> None:
    """Else workers that ask all the time would keep shards waiting."""
    sharing = Sharing()
    sharing.answered(0.02)
    assert ends(sharing, 0.019) == (False, False)
    assert ends(sharing, 0.021) == (False, True)
    sharing.answered(0.001)  # only the last ones count
    assert ends(sharing, 0.019) == (False, True)


@pytest.mark.parametrize("seconds", [TRANSACTION_S, 3600.0])
def test_no_requests_make_a_transaction_longer_than_any(seconds: float) -> None:
    sharing = Sharing()
    sharing.answered(seconds)
    assert ends(sharing, TRANSACTION_S * 1.01) == (True, True)
