"""When a hint is due: after quiet, but never later than the cap; and none is ever lost."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from shardwatch.shard.schedule.debounce import Debounce

QUIET = 80
CAP = 400


def made(quiet: int = QUIET, cap: int = CAP) -> Debounce[str]:
    return Debounce(quiet, cap)


def test_a_name_is_due_after_the_quiet_period() -> None:
    """Not before, and once."""
    settle = made()
    settle.add(1000, {"d": {b"a"}})
    assert settle.due(1000 + QUIET - 1) == {}
    assert settle.due(1000 + QUIET) == {"d": {b"a"}}
    assert settle.due(1000 + 10 * QUIET) == {}


def test_nothing_to_add_is_no_generation() -> None:
    """An empty read of the backend costs nothing later."""
    settle = made()
    settle.add(0, {})
    assert settle.next_due() is None
    assert len(settle) == 0


def test_a_name_hit_again_waits() -> None:
    """A file that is written in pieces is looked at once it is quiet."""
    settle = made()
    settle.add(0, {"d": {b"a", b"b"}})
    settle.add(60, {"d": {b"a"}})
    assert settle.due(QUIET) == {"d": {b"b"}}
    assert settle.due(60 + QUIET) == {"d": {b"a"}}
    assert len(settle) == 0


def test_what_is_told_late_counts_as_told_in_order() -> None:
    """Names that waited where they were read are added with an earlier time than others before them: these are not due sooner."""
    settle = made()
    settle.add(100, {"d": {b"a"}})
    settle.add(60, {"d": {b"b"}})
    assert settle.due(100 + QUIET - 1) == {}
    assert settle.due(100 + QUIET) == {"d": {b"a", b"b"}}


def test_the_cap_ends_the_waiting() -> None:
    """A file that is always being written is looked at now and then all the same."""
    settle = made()
    looked = []
    for now in range(0, 2000, 20):
        settle.add(now, {"d": {b"hot"}})
        if settle.due(now):
            looked.append(now)
    assert looked
    assert looked[0] <= CAP + QUIET + 20
    assert all(later - earlier <= CAP + QUIET + 40 for earlier, later in pairwise(looked))


def test_a_wide_quiet_period_ends_at_the_cap() -> None:
    """What is pending waits for it too, and no longer once it is narrow again."""
    settle = made()
    settle.add(0, {"d": {b"a"}})
    settle.widen(True)
    assert QUIET < settle.quiet_ns < CAP
    assert settle.due(2 * QUIET) == {}
    assert settle.next_due() == settle.quiet_ns
    settle.widen(False)
    assert settle.due(2 * QUIET) == {"d": {b"a"}}
    settle.widen(True)
    looked = []
    for now in range(1000, 5000, 20):
        settle.add(now, {"d": {b"hot"}})
        if settle.due(now):
            looked.append(now)
    assert looked
    assert all(later - earlier <= CAP + 2 * 20 for earlier, later in pairwise([1000, *looked]))


def test_a_wide_quiet_period_is_never_shorter() -> None:
    """Where the cap is the quiet period itself, and where nothing waits at all."""
    for quiet, cap in ((QUIET, QUIET), (QUIET, 0), (0, 0)):
        settle = made(quiet, cap)
        settle.widen(True)
        assert settle.quiet_ns == quiet


def test_a_cap_below_the_quiet_period_is_the_quiet_period() -> None:
    """Settings may say so; it then means no more than the quiet period itself."""
    assert made(quiet=100, cap=1).cap_ns == 100


def test_generations_that_are_due_together_are_one_answer() -> None:
    """Names of one directory come in one set, so that it is opened once."""
    settle = made()
    settle.add(0, {"d": {b"a"}})
    settle.add(30, {"d": {b"b"}, "e": {b"c"}})
    assert settle.due(1000) == {"d": {b"a", b"b"}, "e": {b"c"}}


def test_a_late_answer_waits_only_for_what_is_still_hot() -> None:
    """A busy shard asks late: what was hit in several generations that are old by then is due, once, and a name that was hit a
    moment ago waits, from when it was hit first."""
    settle = made()
    for now in (0, 30, 60):
        settle.add(now, {"d": {b"a", b"hot"}, "e": {b"hot"}})
    settle.add(200, {"d": {b"hot", b"new"}, "e": {b"hot"}})
    assert settle.due(210) == {"d": {b"a"}}
    settle.add(275, {"d": {b"hot"}})
    assert settle.due(280) == {"d": {b"new"}, "e": {b"hot"}}
    settle.add(340, {"d": {b"hot"}})
    settle.add(400, {"d": {b"hot"}})
    assert settle.due(CAP) == {"d": {b"hot"}}  # the maximum counts from 0
    assert settle.due(400 + QUIET) == {"d": {b"hot"}}  # once more, as it was hit after that look was due
    assert len(settle) == 0


class Counted(str):
    """A key that counts how often it is looked up."""

    looked_up = 0

    def __hash__(self) -> int:
        Counted.looked_up += 1
        return super().__hash__()


def test_a_late_answer_costs_what_the_hints_cost() -> None:
    """Twice as many hints in twice as many generations take twice as many steps, not four times: a shard that has fallen behind
    must not fall behind further because of that."""

    def steps(count: int) -> int:
        settle: Debounce[Counted] = Debounce(QUIET, CAP)
        keys = [Counted(number) for number in range(count)]
        for number, key in enumerate(keys):
            settle.add(number * QUIET, {key: {b"a"}, keys[number // 2]: {b"b"}})
        before = Counted.looked_up
        assert sum(map(len, filter(None, settle.due(count * QUIET).values()))) > count
        return Counted.looked_up - before

    assert steps(400) < 3 * steps(200)


def test_names_of_one_moment_are_one_generation() -> None:
    """A burst is kept in few sets; each name counts once."""
    settle = made()
    settle.add(0, {"d": {b"a"}})
    settle.add(5, {"d": {b"a", b"b"}})
    assert len(settle) == 2
    assert settle.due(5 + QUIET) == {"d": {b"a", b"b"}}


def test_collapse_gives_up_names_not_changes() -> None:
    """Rule 15: too many hints become "look at the whole directory"."""
    settle = made()
    settle.add(0, {"d": {b"a", b"b"}, "e": {b"c"}})
    settle.collapse(10)
    assert len(settle) == 2
    settle.add(20, {"d": {b"z"}})  # covered already
    assert len(settle) == 2
    assert settle.next_due() == 10 + QUIET
    assert settle.due(10 + QUIET - 1) == {}
    assert settle.due(10 + QUIET) == {"d": None, "e": None}
    settle.add(200, {"d": {b"z"}})
    assert settle.due(200 + QUIET) == {"d": {b"z"}}


def test_a_second_collapse_does_not_put_off_the_first() -> None:
    """Else a storm would keep its directories from ever being looked at."""
    settle = made()
    settle.add(0, {"d": {b"a"}})
    settle.collapse(0)
    settle.add(50, {"e": {b"a"}})
    settle.collapse(60)
    assert settle.due(QUIET) == {"d": None}


def test_flush_takes_everything() -> None:
    """A sync does not wait for quiet."""
    settle = made()
    settle.add(0, {"w": {b"a"}})
    settle.collapse(0)
    settle.add(1, {"d": {b"a"}})
    settle.add(70, {"d": {b"b"}, "e": {b"c"}})
    assert settle.flush() == {"w": None, "d": {b"a", b"b"}, "e": {b"c"}}
    assert (len(settle), settle.next_due(), settle.flush()) == (0, None, {})


def test_next_due_is_when_the_oldest_is_quiet() -> None:
    """The main loop sleeps until then."""
    settle = made()
    settle.add(0, {"d": {b"a"}})
    settle.add(5, {"d": {b"b"}})
    assert settle.next_due() == 5 + QUIET


moment = st.tuples(st.integers(0, 60), st.sampled_from("de"), st.sampled_from((b"a", b"b", b"c")), st.integers(0, 9))


@given(st.lists(moment, max_size=60), st.integers(0, 100), st.integers(0, 300))
def test_every_hint_comes_out_in_time(moments: list[tuple[int, str, bytes, int]], quiet: int, cap: int) -> None:
    """After each hint its name comes out, at the latest with the cap and the quiet period of what is added meanwhile."""
    settle = made(quiet, cap)
    now = 0
    waiting: dict[tuple[str, bytes], int] = {}
    for pause, key, name, collapse in moments:
        now += pause
        settle.add(now, {key: {name}})
        waiting.setdefault((key, name), now)
        if collapse == 0:
            settle.collapse(now)
        for found, names in settle.due(now).items():
            for gone in [k for k in waiting if k[0] == found and (names is None or k[1] in names)]:
                assert now - waiting.pop(gone) <= settle.cap_ns + quiet + quiet // 8 + 120
    for found, names in settle.due(now + quiet + settle.cap_ns).items():
        for gone in [k for k in waiting if k[0] == found and (names is None or k[1] in names)]:
            del waiting[gone]
    assert waiting == {}
    assert len(settle) == 0
