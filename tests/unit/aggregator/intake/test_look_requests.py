"""Which looks are asked for, and how often: everything in the end, and nothing twice between two beats."""

from __future__ import annotations

from typing import Any

from shardwatch.aggregator.intake.look_requests import (
    AGAIN_NAMES_MAX,
    LOOKS_MAX,
    NAMES_MAX,
    OWED_MAX,
    LookRequests,
    Requests,
)
from shardwatch.shard.contract.state.planfile import Anchor, Owners

OWNERS = Owners([Anchor(b"/r", "s0", b"/r"), Anchor(b"/r/other", "s1", b"/r")])


def names(*those: bytes, since: int = 1) -> dict[bytes, tuple[int, int]]:
    """Looks that are owed at these names."""
    return dict.fromkeys(those, (since, since))


def test_a_look_is_asked_for_once_between_two_beats() -> None:
    """The request may be lost with its reply, so the next beat asks again."""
    requests = LookRequests()
    owed = {b"/r/a": names(b"y", b"x"), b"/r/other": names(b"z"), b"/elsewhere": names(b"w")}
    expected = {"s0": [(b"/r/a", [b"x", b"y"])], "s1": [(b"/r/other", [b"z"])]}
    assert requests.choose(owed, OWNERS, 0.0, awaited=False) == expected
    assert requests.choose(owed, OWNERS, 1.0, awaited=False) == {}
    requests.begin_beat(len(owed), 2.0)
    assert requests.choose(owed, OWNERS, 2.0, awaited=False) == expected


def test_what_is_owed_once_more_is_asked_for_at_once_some_times() -> None:
    """Two names of a file that is written all the time would have each other looked at without end. A sync gets its answer."""
    requests = LookRequests()
    expected = {"s0": [(b"/r/a", [b"x"])]}

    def ask(since: int, *, awaited: bool = False) -> Requests:
        return requests.choose({b"/r/a": names(b"x", since=since)}, OWNERS, 0.0, awaited=awaited)

    for since in range(1, AGAIN_NAMES_MAX + 1):
        assert ask(since) == expected
        assert ask(since) == ask(since, awaited=True) == {}
    later = AGAIN_NAMES_MAX + 1
    assert ask(later) == {}
    assert ask(later, awaited=True) == expected
    assert ask(later, awaited=True) == {}
    requests.begin_beat(1, 2.0)
    assert ask(later) == expected


def test_what_one_shard_did_not_hear_is_asked_for_again() -> None:
    """Not what another one was asked for."""
    requests = LookRequests()
    owed = {b"/r/a": names(b"x"), b"/r/other": names(b"z")}
    requests.choose(owed, OWNERS, 0.0, awaited=False)
    requests.ask_again("s1", OWNERS)
    assert requests.choose(owed, OWNERS, 1.0, awaited=False) == {"s1": [(b"/r/other", [b"z"])]}
    assert requests.choose(owed, OWNERS, 1.0, awaited=False) == {}


def test_one_reply_asks_for_a_limited_number_of_directories() -> None:
    """The next one asks for the rest, and a shard with much to do takes nothing from another."""
    requests = LookRequests()
    owed = {b"/r/%04d" % number: names(b"x") for number in range(LOOKS_MAX + 1)} | {b"/r/other": names(b"z")}
    first = requests.choose(owed, OWNERS, 0.0, awaited=False)
    assert {shard: len(asked) for shard, asked in first.items()} == {"s0": LOOKS_MAX, "s1": 1}
    assert requests.choose(owed, OWNERS, 0.0, awaited=False) == {"s0": [(b"/r/%04d" % LOOKS_MAX, [b"x"])]}


def test_a_directory_with_many_names_is_asked_for_as_a_whole_and_rests() -> None:
    """Unless somebody waits for a sync."""
    requests = LookRequests()
    owed = {b"/r": names(*(b"%d" % number for number in range(NAMES_MAX + 1)))}
    whole = {"s0": [(b"/r", list[bytes]())]}
    assert requests.choose(owed, OWNERS, 0.0, awaited=False) == whole
    requests.begin_beat(1, 0.01)
    assert requests.choose(owed, OWNERS, 0.01, awaited=False) == {}
    assert requests.choose(owed, OWNERS, 0.01, awaited=True) == whole
    requests.begin_beat(1, 2.0)
    assert requests.choose(owed, OWNERS, 2.0, awaited=False) == whole


def test_names_that_were_asked_for_are_not_gone_through_until_the_next_beat() -> None:
    """Every turn of a search asks, and a directory may have millions of them."""
    turns: list[int] = []

    class Names(dict[bytes, tuple[int, int]]):
        """Notes when they are gone through."""

        def values(self) -> Any:
            turns.append(len(self))
            return super().values()

    requests = LookRequests()
    owed = {b"/r": Names(names(*(b"%d" % number for number in range(NAMES_MAX + 1))))}
    found = [requests.choose(owed, OWNERS, 0.0, awaited=False) for _ in range(3)]
    assert (found, turns) == ([{"s0": [(b"/r", [])]}, {}, {}], [NAMES_MAX + 1])


def test_each_beat_considers_other_directories() -> None:
    """Those of a shard that does not answer delay no others."""
    requests = LookRequests()
    owed = {b"/r/%05d" % number: names(b"x") for number in range(OWED_MAX)} | {b"/r/other": names(b"z")}
    assert "s1" not in requests.choose(owed, OWNERS, 0.0, awaited=False)
    requests.begin_beat(len(owed), 1.0)
    assert requests.choose(owed, OWNERS, 1.0, awaited=False) == {"s1": [(b"/r/other", [b"z"])]}
    requests.begin_beat(len(owed), 2.0)
    assert "s1" not in requests.choose(owed, OWNERS, 2.0, awaited=False)
