"""Who may report about which directory."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from shardwatch.aggregator.intake.ownership import Ownership
from shardwatch.shard.contract.limits import WIRE_VERSION
from shardwatch.shard.contract.state.planfile import Anchor, Plan
from shardwatch.shard.contract.wire.frames import Frame, Looks

PATHS = [b"/", b"/r", b"/r/a", b"/r/a/b", b"/r/ab", b"/s", b"/s/a"]


def anchors(generation: int) -> st.SearchStrategy[tuple[Anchor, ...]]:
    one = st.builds(
        lambda path, shard, since: Anchor(path, shard, b"/", since=since),
        st.sampled_from(PATHS), st.sampled_from(["s0", "s1"]), st.integers(0, generation),
    )  # fmt: skip
    return st.lists(one, max_size=4, unique_by=lambda anchor: anchor.path).map(tuple)


@given(anchors(4), anchors(5), st.integers(3, 6), st.lists(st.sampled_from(PATHS), max_size=6))
def test_records_of_a_frame_are_judged_together_as_each_would_be(
    former: tuple[Anchor, ...], now: tuple[Anchor, ...], generation: int, paths: list[bytes]
) -> None:
    """Under this plan and the one before it, with anchors inside of others."""
    ownership = Ownership()
    looks = [Looks(path, 1, [], b"", []) for path in paths]
    frame = Frame(WIRE_VERSION, "s0", 1, generation, 1, list(looks))
    assert ownership.owned(frame, looks) == []
    for plan in (Plan(4, former), Plan(5, now)):
        ownership.adopt(plan)
        assert ownership.owned(frame, looks) == [one for one in looks if ownership.owner(frame, one.path) is not None]
