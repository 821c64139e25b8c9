"""Where a service's trees change how often: what is hot, what lies below a directory, and what shards come to have by it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shardwatch.shard.contract.state.planfile import Anchor, Owners, Plan
from shardwatch.supervisor.planning.budget import Budget
from shardwatch.supervisor.planning.heat import HOT_PER_S, ChangeRates, Heat, heat_of, hottest, may_be_hot
from shardwatch.supervisor.planning.plan import Ground, Means
from shardwatch.supervisor.planning.rebalances import Uneven
from shardwatch.supervisor.planning.rebalancing import CHANGES_OF_A_SHARD, moves, rebalanced_plan, why_uneven

PLENTY = Budget(shards_max=100, watches_max=10**9)
WARM = HOT_PER_S


def rates(*per_s: float) -> ChangeRates:
    return ChangeRates({f"s{number}": one for number, one in enumerate(per_s)})


@pytest.mark.parametrize(
    ("found", "shard", "may_be"),
    [
        (rates(), "", False),
        (rates(50_000.0), "", False),  # there is no other
        (rates(2 * WARM, 0.0), "s0", True),
        (rates(2 * WARM - 2, 0.0), "", False),  # little
        (rates(0.0, 0.0, 1.5 * WARM), "s2", True),
        (rates(10 * WARM, 9 * WARM), "", True),  # even, but it need not stay so
    ],
)
def test_a_shard_is_hot_if_it_has_far_more_than_the_others(found: ChangeRates, shard: str, may_be: bool) -> None:
    """By a factor, and by so much that it matters. Whether one may be depends on all changes together."""
    assert (hottest(found), may_be_hot(found, len(found.per_s))) == (shard, may_be)


_NAMES = st.lists(st.sampled_from(["a", "a!", "a0", "b"]), min_size=1, max_size=4)
_PATHS = _NAMES.map(lambda names: "/".join(["", *names]).encode())


def is_in(path: bytes, above: bytes) -> bool:
    return path == above or path.startswith(above.rstrip(b"/") + b"/")


@given(st.dictionaries(_PATHS | st.just(b"/"), st.integers(1, 9)), st.sets(_PATHS, max_size=3), _PATHS | st.just(b"/"))
def test_a_subtree_is_what_lies_below_it(own: dict[bytes, float], tops: set[bytes], path: bytes) -> None:
    """Without what belongs to a tree that begins further down."""
    heat = Heat(own, {b"/", *tops})

    def top(one: bytes) -> bytes:
        return max((top for top in {b"/", *tops} if is_in(one, top)), key=len)

    expected = sum(value for one, value in own.items() if is_in(one, path) and top(one) == top(path))
    assert heat.subtree(path) == pytest.approx(expected)
    assert heat.own(path) == own.get(path, 0) and heat.total == sum(own.values())


def test_what_a_shard_has_is_divided_by_where_files_have_changed() -> None:
    """What belongs to no shard any more counts for nothing."""
    owners = Owners([Anchor(b"/r", "s0", b"/r"), Anchor(b"/r/b", "s1", b"/r")])
    changed = {b"/r/a": 3, b"/r/c": 1, b"/r/b/x": 5, b"/elsewhere": 7}
    heat = heat_of(rates(400.0, 50.0), changed, owners, [b"/r", b"/r/b"], 2.0)
    assert (heat.own(b"/r/a"), heat.own(b"/r/c"), heat.own(b"/r/b/x")) == (600.0, 200.0, 100.0)
    assert (heat.subtree(b"/r"), heat.subtree(b"/r/b"), heat.total) == (800.0, 100.0, 900.0)


#: Ten equal subtrees of a hundred directories with ten files each.
TREE: dict[bytes, tuple[list[bytes], int]] = {
    b"/r": ([b"t%d" % number for number in range(10)], 0),
    **{b"/r/t%d" % number: ([b"d%d" % n for n in range(100)], 0) for number in range(10)},
    **{b"/r/t%d/d%d" % (number, n): ([], 10) for number in range(10) for n in range(100)},
}
#: The first five are s0's, the others s1's.
OLD = Plan(1, (Anchor(b"/r", "s0", b"/r"), *(Anchor(b"/r/t%d" % number, "s1", b"/r") for number in range(5, 10))), "k")


def rebalanced(old: Plan, found: ChangeRates, changed: dict[bytes, int], *, shards: int = 2, processors: int = 2) -> Plan:
    return rebalanced_plan(
        Ground([b"/r"], lambda path: "inotify"), old,
        Means(lambda path: TREE.get(path, ([], 0)), shards=shards, budget=PLENTY, processors=processors),
        generation=old.generation + 1, rates=found, changed=changed,
    ).plan  # fmt: skip


def shared(plan: Plan, changed: dict[bytes, int]) -> dict[str, float]:
    """Which part of the changes each shard has."""
    owners, found = Owners(plan.anchors), dict.fromkeys(plan.shards(), 0.0)
    for path, count in changed.items():
        owner = owners.of(path)
        assert owner is not None
        found[owner.shard] += count / sum(changed.values())
    return found


def test_a_hot_shard_gives_changes_away_and_nothing_flaps() -> None:
    """Though both have as many files. With what changes where it went, nothing moves back; and not before it has cooled down."""
    changed = {b"/r/t%d/d%d" % (number, n): 1 for number in range(3) for n in range(50)}
    new = rebalanced(OLD, rates(3_000.0, 10.0), changed)
    assert all(0.35 < share < 0.65 for share in shared(new, changed).values()), shared(new, changed)
    warm = rates(*(3_000.0 * share for share in shared(new, changed).values()))
    assert not hottest(warm) and moves(new, rebalanced(new, warm, changed)) == []
    assert moves(OLD, rebalanced(OLD, rates(300.0, 10.0), changed)) == [], "so little is no reason"


def test_a_single_subtree_is_split() -> None:
    """Where all changes are in one of ten, its directories are divided."""
    changed = {b"/r/t0/d%d" % n: 1 for n in range(100)}
    new = rebalanced(OLD, rates(5_000.0, 0.0), changed)
    assert all(share > 0.35 for share in shared(new, changed).values()), shared(new, changed)
    assert any(anchor.path.startswith(b"/r/t0/d") for anchor in new.anchors)


def test_a_tree_in_which_very_much_changes_gets_another_shard() -> None:
    """As long as there are processors for it."""
    one = Plan(1, (Anchor(b"/r", "s0", b"/r"),), "k")
    changed = {b"/r/t%d/d1" % number: 1 for number in range(10)}
    much = rates(2.5 * CHANGES_OF_A_SHARD)
    assert rebalanced(one, much, changed, shards=0, processors=2).shards() == ["s0"]
    assert rebalanced(one, much, changed, shards=0, processors=8).shards() == ["s0", "s1", "s2"]
    assert why_uneven({"s0": 100.0}, 100, 0, 2, much) == Uneven("", "", 100.0)
    found = why_uneven({"s0": 100.0}, 100, 0, 8, much)
    assert (found.what, found.why) == ("rate", "50,000 changes a second are enough for 3 shards")


def test_why_a_hot_shard_is_uneven() -> None:
    """The files come first: whoever has too many of them gives away changes as well."""
    assert why_uneven({"s0": 10.0, "s1": 10.0}, 20, 2, 2, rates(3_000.0, 10.0)) == Uneven(
        "shard s0 has 3,000 of 3,010 changes a second", "rate", 3_000.0
    )
    assert why_uneven({"s0": 90_000.0, "s1": 10.0}, 90_010, 2, 2, rates(3_000.0, 10.0)).what == "weight"
