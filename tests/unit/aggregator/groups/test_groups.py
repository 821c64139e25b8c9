"""Positions, kinds, fences, failures: one group over a real index, without a store."""

from __future__ import annotations

from itertools import count
from pathlib import Path
from typing import Any

import msgspec
import pytest
from harness_serve import Bench, short
from told_index import ToldIndex

from shardwatch.aggregator.groups.batch import GroupBatch
from shardwatch.aggregator.groups.choice import LOOKED_MAX, cut
from shardwatch.aggregator.groups.ended import ENDED_MAX
from shardwatch.aggregator.groups.failure import Failure
from shardwatch.aggregator.groups.group import Group
from shardwatch.aggregator.groups.lease_terms import LeaseTerms
from shardwatch.aggregator.groups.outcomes import RETRY_S_MAX
from shardwatch.aggregator.groups.unit import Part, Unit
from shardwatch.aggregator.protocol.bounds import ACK_TICKS_MAX, REQUEST_BYTES_MAX
from shardwatch.aggregator.protocol.messages import Ack, Event, Fresh, RefusedError

bits = count()


def made(index: ToldIndex, tick: int = 0, handed: int = 0, **more: Any) -> Group:
    group = Group.new(1, "g", "t", 0.0, bit=next(bits), **more)
    group.begin(index, tick, handed)
    return group


def pull(group: Group, index: ToldIndex, limit: int = 100, *, now: float = 0.0, leases: int = 64) -> GroupBatch:
    found = group.pull(index, now, limit, LeaseTerms(now + 10.0, "w"), leases)
    assert isinstance(found, GroupBatch), found
    return found


def why(group: Group, index: ToldIndex, limit: int = 100, *, now: float = 0.0, leases: int = 64) -> str:
    found = group.pull(index, now, limit, LeaseTerms(now + 10.0, "w"), leases)
    assert isinstance(found, str), found
    return found


def set_aside(group: Group, index: ToldIndex) -> Any:
    return group.describe(index, 0.0, 0, 10)["parked"]


def kinds(batch: GroupBatch) -> list[tuple[str, str]]:
    return [(e.event_type, e.path) for e in batch.events if isinstance(e, Event)]


@pytest.fixture
def index() -> ToldIndex:
    return ToldIndex()


def test_a_group_from_the_start_gets_everything_once(index: ToldIndex) -> None:
    """Each path once, as created, in the order of ticks; after the acks nothing is left."""
    for n in range(5):
        index.put(b"/r/%d" % n, size=n)
    group = made(index)
    first, second = pull(group, index, 3), pull(group, index, 3)
    assert kinds(first) + kinds(second) == [("created", f"/r/{n}") for n in range(5)]
    assert (first.more, second.more) == (True, False)
    assert group.unacknowledged.cursor(0) == 0
    assert group.ack(index, second.number, 0.0) == 2
    assert group.unacknowledged.cursor(0) == 0
    assert group.ack(index, first.number, 0.0) == 3
    assert group.unacknowledged.cursor(0) == 5
    assert why(group, index) == "empty"


def test_an_event_says_what_was_seen(index: ToldIndex) -> None:
    """Size and time of what is there; none of what is gone; the time of the look in seconds."""
    index.put(b"/r/a", size=7)
    group = made(index)
    event = pull(group, index).events[0]
    assert event == Event("created", "/r/a", False, 7, 7000, 1, 1.0)
    index.remove(b"/r/a")
    group.ack(index, 1, 0.0)
    gone = pull(group, index).events[0]
    assert gone == Event("deleted", "/r/a", False, None, None, 2, 2.0)


def test_from_now_calls_what_was_there_modified(index: ToldIndex) -> None:
    """A group from now knows what was there: its change is `modified`, its end `deleted`, only new paths are created."""
    index.put(b"/r/old")
    index.put(b"/r/end")
    group = made(index, index.tick, index.tick)
    index.put(b"/r/old", size=2)
    index.remove(b"/r/end")
    index.put(b"/r/new")
    assert kinds(pull(group, index)) == [("modified", "/r/old"), ("deleted", "/r/end"), ("created", "/r/new")]


def test_a_path_that_comes_back_is_created_again(index: ToldIndex) -> None:
    """Handed out as deleted, then made anew: created."""
    index.put(b"/r/a")
    group = made(index)
    group.ack(index, pull(group, index).number, 0.0)
    index.remove(b"/r/a")
    group.ack(index, pull(group, index).number, 0.0)
    index.put(b"/r/a", size=2)
    assert kinds(pull(group, index)) == [("created", "/r/a")]


def test_what_came_and_went_unseen_is_skipped(index: ToldIndex) -> None:
    """A group that was never handed a path is not told of its end, though another group was."""
    other, group = made(index), made(index)
    index.put(b"/r/a")
    other.ack(index, pull(other, index).number, 0.0)
    index.remove(b"/r/a")
    assert why(group, index) == "empty"
    assert kinds(pull(other, index)) == [("deleted", "/r/a")]


def test_a_path_that_came_back_unseen_and_went_is_deleted(index: ToldIndex) -> None:
    """The group has the path from its first life; of the second one, that only another group saw, it is told the end."""
    other, group = made(index), made(index)
    index.put(b"/r/a")
    for each in (other, group):
        each.ack(index, pull(each, index).number, 0.0)
    for change in (index.remove, index.put, index.remove):
        change(b"/r/a")
        other.ack(index, pull(other, index).number, 0.0)
    assert kinds(pull(group, index)) == [("deleted", "/r/a")]


def test_a_skipped_row_that_changes_is_seen(index: ToldIndex) -> None:
    """The scan passes a tombstone without handing it out; the path made anew must get a later tick."""
    other, group = made(index), made(index)
    index.put(b"/r/a")
    other.ack(index, pull(other, index).number, 0.0)
    index.remove(b"/r/a")
    assert why(group, index) == "empty"
    index.put(b"/r/a", size=2)
    assert kinds(pull(group, index)) == [("created", "/r/a")]


def test_a_row_that_was_there_at_now_is_seen_when_it_changes(index: ToldIndex) -> None:
    """No group was handed the row, but a group from now has passed it: its change needs a later tick."""
    index.put(b"/r/a")
    group = made(index, index.tick, index.tick)
    index.put(b"/r/a", size=2)
    assert kinds(pull(group, index)) == [("modified", "/r/a")]


def test_a_delete_is_never_suppressed_after_a_hand_out(index: ToldIndex) -> None:
    """Rule 18: tick 1 is on lease, tick 2 was handed out and acked, then the second file goes."""
    index.put(b"/r/a")
    group = made(index)
    pull(group, index)
    index.put(b"/r/b")
    group.ack(index, pull(group, index).number, 0.0)
    index.remove(b"/r/b")
    assert kinds(pull(group, index)) == [("deleted", "/r/b")]


def test_a_leased_path_is_held_back(index: ToldIndex) -> None:
    """A path is in one lease at a time; its next version follows when that lease ends, and others are not held up."""
    index.put(b"/r/a")
    group = made(index)
    first = pull(group, index)
    index.put(b"/r/a", size=2)
    index.put(b"/r/b")
    assert kinds(pull(group, index)) == [("created", "/r/b")]
    assert why(group, index) == "empty"
    assert group.unacknowledged.cursor(0) == 0
    group.ack(index, first.number, 0.0)
    assert kinds(pull(group, index)) == [("modified", "/r/a")]


def test_a_held_row_that_changes_again_comes_once(index: ToldIndex) -> None:
    """Of what changed under a lease only the last state is handed out."""
    index.put(b"/r/a")
    group = made(index)
    first = pull(group, index)
    for size in range(2, 6):
        index.put(b"/r/a", size=size)
        index.note_handed(0, index.tick)
        assert why(group, index) == "empty"
    group.ack(index, first.number, 0.0)
    again = pull(group, index)
    assert [e.size for e in again.events if isinstance(e, Event)] == [5]
    group.ack(index, again.number, 0.0)
    assert why(group, index) == "empty"
    assert group.unacknowledged.cursor(0) == index.tick


def test_a_nacked_batch_says_the_same_again(index: ToldIndex) -> None:
    """After its pause a batch comes back as it was, as attempt 2; the old id is refused."""
    index.put(b"/r/a")
    group = made(index)
    first = pull(group, index)
    group.batches.nack(index, first.number, 0.0, Failure("boom"))
    assert why(group, index, now=0.1) == "empty"
    again = pull(group, index, now=0.2)
    assert (again.attempt, again.events) == (2, first.events)
    with pytest.raises(RefusedError, match="it was nacked") as refused:
        group.ack(index, first.number, 0.2)
    assert refused.value.code == "lease_expired"


def test_pauses_grow_to_a_cap(index: ToldIndex) -> None:
    """0.2 s, 0.4 s, … but never more than half a minute."""
    index.put(b"/r/a")
    group = made(index, attempts_max=100)
    now, pauses = 0.0, []
    for _ in range(12):
        batch = pull(group, index, now=now)
        pauses.append(group.batches.nack(index, batch.number, now, Failure("")))
        now += pauses[-1]
    assert pauses[:4] == pytest.approx([0.2, 0.4, 0.8, 1.6])
    assert pauses[-1] == pytest.approx(RETRY_S_MAX)


def test_a_row_that_moved_on_is_not_redelivered(index: ToldIndex) -> None:
    """Between a nack and the next pull a path changed: its new state comes in its place, once."""
    index.put(b"/r/a")
    index.put(b"/r/b")
    group = made(index)
    first = pull(group, index)
    group.batches.nack(index, first.number, 0.0, Failure("", 0.0))
    index.put(b"/r/a", size=2)
    assert kinds(pull(group, index)) == [("created", "/r/b")]
    assert kinds(pull(group, index)) == [("modified", "/r/a")]


def test_a_large_unit_comes_back_in_pieces(index: ToldIndex) -> None:
    """A pull with a smaller maximum takes the first rows; the rest stays pending, with the same count of attempts."""
    for n in range(5):
        index.put(b"/r/%d" % n)
    group = made(index)
    first = pull(group, index)
    group.batches.nack(index, first.number, 0.0, Failure("", 0.0))
    parts = [pull(group, index, 2) for _ in range(3)]
    assert [len(p.events) for p in parts] == [2, 2, 1]
    assert {p.attempt for p in parts} == {2}
    for part in parts:
        group.ack(index, part.number, 0.0)
    assert group.unacknowledged.cursor(0) == 5


def test_an_expired_lease_is_handed_out_again(index: ToldIndex) -> None:
    """A worker that never answers loses its batch to the next one, and its late ack is refused with the reason."""
    index.put(b"/r/a")
    group = made(index)
    first = pull(group, index)
    assert why(group, index, now=9.9) == "empty"
    again = pull(group, index, now=10.0)
    assert again.attempt == 2
    with pytest.raises(RefusedError, match="expired after attempt 1"):
        group.ack(index, first.number, 10.1)
    assert group.ack(index, again.number, 10.1) == 1


def test_an_extended_lease_lives_longer(index: ToldIndex) -> None:
    """Extending moves the end to so many seconds from now."""
    index.put(b"/r/a")
    group = made(index)
    first = pull(group, index)
    group.batches.extend(index, first.number, 9.0, 10.0)
    assert why(group, index, now=18.0) == "empty"
    assert group.ack(index, first.number, 18.5) == 1


def test_a_poison_path_is_set_aside_and_the_others_go_on(index: ToldIndex) -> None:
    """After attempts_max the batch is split; the path that fails alone is set aside; its later change is delivered anew."""
    for name in (b"a", b"bad", b"c"):
        index.put(b"/r/" + name)
    group = made(index, attempts_max=2)
    now, done = 0.0, []
    for _ in range(50):
        found = group.pull(index, now, 100, LeaseTerms(now + 10.0, "w"), 64)
        now += 1.0
        if isinstance(found, str):
            continue
        names = [e.path for e in found.events if isinstance(e, Event)]
        if "/r/bad" in names:
            group.batches.nack(index, found.number, now, Failure("bad syntax"))
        else:
            group.ack(index, found.number, now)
            done += names
    assert sorted(done) == ["/r/a", "/r/c"]
    assert [(path["path"], path["attempts"], path["reason"]) for path in set_aside(group, index)] == [("/r/bad", 2, "bad syntax")]
    assert group.unacknowledged.cursor(0) == index.tick
    index.put(b"/r/bad", size=2)
    assert kinds(pull(group, index, now=now)) == [("modified", "/r/bad")]
    assert not set_aside(group, index)


def test_what_was_set_aside_can_be_tried_again(index: ToldIndex) -> None:
    """`retry` hands it out again as it was, though it did not change."""
    index.put(b"/r/a")
    group = made(index, attempts_max=1)
    group.batches.nack(index, pull(group, index).number, 0.0, Failure("no"))
    assert why(group, index) == "empty"
    assert group.set_aside.retry(0.0) == 1
    assert kinds(pull(group, index)) == [("created", "/r/a")]
    assert not set_aside(group, index)


def test_some_of_a_batch_are_done_and_the_others_fail(index: ToldIndex) -> None:
    """Ticks that are acked never come again, their paths are free at once, and a nack concerns the others alone."""
    for name in (b"a", b"bad", b"c"):
        index.put(b"/r/" + name)
    group = made(index)
    batch = pull(group, index)
    ticks = [event.tick for event in batch.events]
    assert group.batches.ack_some(index, batch.number, 0.0, {ticks[0], ticks[2], 10**9}) == 2
    assert group.batches.ack_some(index, batch.number, 0.0, {ticks[0], ticks[2]}) == 0
    index.put(b"/r/a", size=2)
    assert kinds(pull(group, index)) == [("modified", "/r/a")]
    group.batches.nack(index, batch.number, 0.0, Failure("bad syntax"))
    again = pull(group, index, now=1.0)
    assert kinds(again) == [("created", "/r/bad")]
    assert again.attempt == 2


def test_some_of_a_batch_fail_and_the_others_go_on(index: ToldIndex) -> None:
    """They come again as a batch of their own, with one attempt more, while the others are on lease and can be acknowledged. The
    last row takes the batch with it."""
    for name in (b"a", b"bad", b"c"):
        index.put(b"/r/" + name)
    group = made(index)
    batch = pull(group, index)
    a, bad, c = [event.tick for event in batch.events]
    assert group.batches.nack_some(index, batch.number, 0.0, Failure("no", 0.0), {10**9}) == 0.0
    assert group.batches.nack_some(index, batch.number, 0.0, Failure("no", 2.0), {bad, 10**9}) == 2.0
    assert why(group, index) == "empty"
    again = pull(group, index, now=2.0)
    assert (kinds(again), again.attempt) == ([("created", "/r/bad")], 2)
    assert group.batches.ack_some(index, batch.number, 2.0, {a}) == 1
    group.batches.nack_some(index, batch.number, 2.0, Failure("no", 0.0), {c})
    with pytest.raises(RefusedError, match="it was nacked"):
        group.ack(index, batch.number, 2.0)
    rest = pull(group, index, now=2.0)
    assert (kinds(rest), rest.attempt) == ([("created", "/r/c")], 2)
    assert [group.ack(index, one.number, 2.0) for one in (again, rest)] == [1, 1]
    assert group.unacknowledged.cursor(0) == index.tick


def test_some_of_a_batch_are_set_aside(index: ToldIndex) -> None:
    """One path that fails too often is set aside, several are tried alone first; the others of the batch stay on lease."""
    for name in (b"a", b"bad", b"c", b"d"):
        index.put(b"/r/" + name)
    group = made(index, attempts_max=1)
    batch = pull(group, index)
    _, bad, c, d = [event.tick for event in batch.events]
    group.batches.nack_some(index, batch.number, 0.0, Failure("no", 0.0), {bad})
    assert [path["path"] for path in set_aside(group, index)] == ["/r/bad"]
    group.batches.nack_some(index, batch.number, 0.0, Failure("no", 0.0), {c, d})
    assert [kinds(pull(group, index)) for _ in range(2)] == [[("created", "/r/c")], [("created", "/r/d")]]
    assert group.ack(index, batch.number, 0.0) == 1


@pytest.mark.parametrize("changed", [False, True], ids=["", "changed"])
def test_a_move_that_fails_takes_its_deletion_along(index: ToldIndex, changed: bool) -> None:
    """Also if the file has changed since; so an ack of the rest does not acknowledge what was not applied."""
    index.put(b"/r/old", ino=7)
    index.put(b"/r/other")
    group = made(index)
    group.ack(index, pull(group, index).number, 0.0)
    index.remove(b"/r/old")
    index.remove(b"/r/other")
    index.put(b"/r/new", ino=7)
    batch = pull(group, index)
    (moved,) = [event for event in batch.events if isinstance(event, Event) and event.event_type == "moved"]
    if changed:
        index.put(b"/r/new", ino=7, size=2)
    group.batches.nack_some(index, batch.number, 0.0, Failure("no", 0.0), {moved.tick})
    assert group.ack(index, batch.number, 0.0) == 1
    again = kinds(pull(group, index))
    assert again == ([("deleted", "/r/old")] if changed else [("moved", "/r/new")])
    if changed:
        assert [path for _, path in kinds(pull(group, index))] == ["/r/new"]


def test_after_a_restart_every_deletion_fails_with_what_has_failed(tmp_path: Path) -> None:
    """It is not known any more which of them belongs to an event `moved`."""
    bench = Bench(tmp_path / "groups.db")
    for name in (b"a", b"old"):
        bench.index.put(b"/r/" + name, ino=7 if name == b"old" else 0)
    bench.drain()
    bench.index.remove(b"/r/old")
    bench.index.put(b"/r/new", ino=7)
    bench.index.put(b"/r/a", size=2)
    batch = bench.pull()
    assert batch is not None
    assert sorted(short(batch["events"])) == [("modified", "/r/a"), ("moved", "/r/new")]
    ticks = {event["path"]: event["tick"] for event in batch["events"]}
    bench.crash()
    bench.ask("nack", group="g", batch=batch["id"], ticks=[ticks["/r/new"]], retry_ms=0)
    assert bench.ack(batch)["repeated"] is False
    assert short(bench.drain()) == [("moved", "/r/new")]
    bench.store.abandon()


def test_of_a_fresh_batch_nothing_fails_alone(index: ToldIndex) -> None:
    """There is nothing else in it."""
    group = made(index)
    group.refresh("a reason")
    batch = pull(group, index)
    with pytest.raises(RefusedError, match="no ticks"):
        group.batches.nack_some(index, batch.number, 0.0, Failure("no"), {1})


def test_more_ticks_than_an_ack_may_name() -> None:
    """They are refused like any other field that is out of its range; as many as are allowed fit into a request."""
    ack = {"op": "ack", "group": "g", "batch": "b"}
    assert len(msgspec.json.encode({**ack, "ticks": [10**8] * ACK_TICKS_MAX})) < REQUEST_BYTES_MAX
    msgspec.convert({**ack, "ticks": [10**8] * ACK_TICKS_MAX}, Ack)
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({**ack, "ticks": [1] * (ACK_TICKS_MAX + 1)}, Ack)


def test_rows_are_taken_out_of_a_batch_that_was_read_from_disk() -> None:
    """Of its paths only sums are known; each row keeps its own."""
    whole = Part(0, 9, [1, 2, 3], [b"/a", b"/b", b"/c"])
    unit = Unit(7, [Part(0, 9, [1, 2, 3], None, whole.crcs())])
    done = unit.take_out({1, 3, 4})
    assert [(part.ticks, part.crcs()) for part in done.parts] == [([1, 3], Part(0, 9, [], [b"/a", b"/c"]).crcs())]
    assert [(part.ticks, part.crcs()) for part in unit.parts] == [([2], Part(0, 9, [], [b"/b"]).crcs())]
    assert unit.low == {0: 2}


def test_the_last_tick_ends_the_batch(index: ToldIndex) -> None:
    """A batch of which every event was acked by its tick is acked."""
    index.put(b"/r/a")
    index.put(b"/r/b")
    group = made(index)
    batch = pull(group, index)
    for event in batch.events:
        assert group.batches.ack_some(index, batch.number, 0.0, {event.tick}) == 1
    assert group.ack(index, batch.number, 0.0) is None
    assert group.unacknowledged.cursor(0) == index.tick


def test_a_released_batch_comes_at_once_and_uncounted(index: ToldIndex) -> None:
    """Giving a batch back is no failure of its paths."""
    index.put(b"/r/a")
    group = made(index, attempts_max=1)
    first = pull(group, index)
    group.batches.release(index, first.number, 0.0)
    assert pull(group, index).attempt == 1


def test_leases_are_bounded(index: ToldIndex) -> None:
    """At leases_max a pull gets nothing, until a lease ends."""
    for n in range(3):
        index.put(b"/r/%d" % n)
    group = made(index)
    first = pull(group, index, 1, leases=2)
    pull(group, index, 1, leases=2)
    assert why(group, index, 1, leases=2) == "leases"
    group.ack(index, first.number, 0.0)
    assert kinds(pull(group, index, 1, leases=2)) == [("created", "/r/2")]


def test_higher_priorities_go_first(index: ToldIndex) -> None:
    """The highest lane first, first in first out within one; each lane has its own position."""
    index.put(b"/r/low")
    index.put(b"/r/high", lane=7)
    index.put(b"/r/low2")
    group = made(index)
    assert kinds(pull(group, index)) == [("created", "/r/high"), ("created", "/r/low"), ("created", "/r/low2")]
    index.put(b"/r/low3")
    index.put(b"/r/high2", lane=7)
    assert kinds(pull(group, index, 1)) == [("created", "/r/high2")]


def test_lanes_that_are_done_keep_up(index: ToldIndex) -> None:
    """A lane in which nothing happens does not hold the lowest cursor back."""
    index.put(b"/r/high", lane=7)
    for n in range(3):
        index.put(b"/r/%d" % n)
    group = made(index)
    group.ack(index, pull(group, index).number, 0.0)
    assert (group.unacknowledged.cursor(0), group.unacknowledged.cursor(7)) == (4, 4)


def test_a_peek_moves_nothing(index: ToldIndex) -> None:
    """Two peeks and a pull see the same; no lease is made."""
    index.put(b"/r/a")
    group = made(index)
    group.journal.take()
    one, two = group.peek(index, 0.0, 10), group.peek(index, 0.0, 10)
    assert isinstance(one, GroupBatch)
    assert one == two
    assert one.number == 0
    assert not group.journal
    assert pull(group, index).events == one.events


def test_fresh_goes_to_one_worker_alone(index: ToldIndex) -> None:
    """After the index was lost: old leases are revoked, `fresh` is acked before anything else, then everything is created."""
    index.put(b"/r/a")
    group = made(index)
    old = pull(group, index)
    anew = ToldIndex()
    anew.put(b"/r/b")
    fresh = pull(group, anew)
    assert fresh.events == [Fresh(1, "the index was built anew")]
    assert why(group, anew) == "fresh"
    with pytest.raises(RefusedError, match="forget everything"):
        group.ack(anew, old.number, 0.0)
    again = pull(group, anew, now=10.0)
    assert isinstance(again.events[0], Fresh)
    group.ack(anew, again.number, 10.0)
    assert kinds(pull(group, anew)) == [("created", "/r/b")]


def test_a_seek_back_replays(index: ToldIndex) -> None:
    """What was acked after the tick comes again, as modified: the group knows it."""
    index.put(b"/r/a")
    index.put(b"/r/b")
    group = made(index)
    group.ack(index, pull(group, index).number, 0.0)
    assert group.seek(index, 1)
    assert kinds(pull(group, index)) == [("modified", "/r/b")]


def test_a_seek_beyond_the_kept_deletions_is_fresh(index: ToldIndex) -> None:
    """Where deletions are forgotten a replay would be a lie."""
    index.put(b"/r/a")
    group = made(index)
    group.ack(index, pull(group, index).number, 0.0)
    index.remove(b"/r/a")
    group.ack(index, pull(group, index).number, 0.0)
    assert index.collect({0: group.unacknowledged.cursor(0)}) == 1
    assert not group.seek(index, 1)
    assert isinstance(pull(group, index).events[0], Fresh)


def test_a_seek_forward_gives_up_what_is_pending(index: ToldIndex) -> None:
    """Also what was nacked; a path that was given up unseen is created when it changes."""
    index.put(b"/r/a")
    index.put(b"/r/b")
    group = made(index)
    first = pull(group, index, 1)
    group.batches.nack(index, first.number, 0.0, Failure("", 0.0))
    assert group.seek(index, index.tick)
    assert why(group, index) == "empty"
    index.put(b"/r/b", size=2)
    assert kinds(pull(group, index)) == [("created", "/r/b")]


def test_a_waiting_group_gets_nothing(index: ToldIndex) -> None:
    """Before the baseline there is no `now`."""
    index.put(b"/r/a")
    assert why(Group.new(1, "g", "t", 0.0), index) == "baseline"


def test_a_directory_is_not_torn_at_the_end_of_a_batch(index: ToldIndex) -> None:
    """Rows of one directory stay together if the batch is at least half full without them; a larger one is cut."""
    for name in ("a/1", "a/2", "a/3", "b/1", "b/2", "b/3"):
        index.put(f"/r/{name}".encode())
    group = made(index)
    assert [p for _, p in kinds(pull(group, index, 4))] == ["/r/a/1", "/r/a/2", "/r/a/3"]
    assert [p for _, p in kinds(pull(group, index, 4))] == ["/r/b/1", "/r/b/2", "/r/b/3"]
    assert cut(index.pending(0, 3, 3).pieces, 2, 1, 3) == 2


def test_a_long_backlog_of_skipped_rows_is_passed_in_turns(index: ToldIndex) -> None:
    """One pull looks at a bounded number of rows and says that it is unfinished, of itself only: a group that must forget
    everything meanwhile has nothing to go on with."""
    other, group, reset = made(index), made(index), made(index)
    for n in range(LOOKED_MAX + 10):
        index.put(b"/r/%d" % n)
    while isinstance(batch := other.pull(index, 0.0, 10_000, LeaseTerms(10.0, "w"), 64), GroupBatch):
        other.ack(index, batch.number, 0.0)
    for n in range(LOOKED_MAX + 10):
        index.remove(b"/r/%d" % n)
    index.put(b"/r/last")
    assert why(group, index, 10_000) == "empty"
    assert group.unfinished
    assert kinds(pull(group, index, 10_000)) == [("created", "/r/last")]
    assert not group.unfinished
    assert why(reset, index, 10_000) == "empty" and reset.unfinished
    reset.refresh("for a test")
    pull(reset, index)
    assert why(reset, index) == "fresh" and not reset.unfinished


def test_ended_batches_are_forgotten_in_time(index: ToldIndex) -> None:
    """Reasons are kept for the last thousand; an ack of an older batch is refused all the same."""
    index.put(b"/r/a")
    group = made(index, attempts_max=10**9)
    numbers = []
    for _ in range(ENDED_MAX + 1):
        numbers.append(pull(group, index).number)
        group.batches.nack(index, numbers[-1], 0.0, Failure("", 0.0))
    for number in numbers:
        with pytest.raises(RefusedError, match="does not know it" if number == numbers[0] else "it was nacked"):
            group.ack(index, number, 0.0)


def test_names_that_are_not_text_carry_their_bytes(index: ToldIndex) -> None:
    """Replacement characters to print, base64 of the exact bytes to use."""
    index.put(b"/r/\xff.json")
    event = pull(made(index), index).events[0]
    assert isinstance(event, Event)
    assert (event.path, event.path_b64) == ("/r/�.json", "L3Iv/y5qc29u")


def test_a_file_and_a_directory_of_one_name_are_two_things(index: ToldIndex) -> None:
    """A file that becomes a directory is a deletion and a creation, in that order, in one batch."""
    index.put(b"/r/x")
    group = made(index)
    group.ack(index, pull(group, index).number, 0.0)
    index.remove(b"/r/x")
    index.put(b"/r/x", directory=True)
    batch = pull(group, index)
    assert [(e.event_type, e.is_directory) for e in batch.events if isinstance(e, Event)] == [
        ("deleted", False),
        ("created", True),
    ]


def moves(batch: GroupBatch) -> list[tuple[str, str, object]]:
    return [(e.event_type, e.path, e.moved_from or None) for e in batch.events if isinstance(e, Event)]


def test_a_rename_is_one_event(index: ToldIndex) -> None:
    """Rule 21: the group knew the source and not the destination, and it is the same file: one event leases both."""
    index.put(b"/r/a", size=3, ino=7)
    group = made(index)
    group.ack(index, pull(group, index).number, 0.0)
    index.remove(b"/r/a")
    index.put(b"/r/b", size=3, ino=7)
    batch = pull(group, index)
    assert moves(batch) == [("moved", "/r/b", "/r/a")]
    index.put(b"/r/a", size=9, ino=8)
    assert why(group, index) == "empty"
    group.ack(index, batch.number, 0.0)
    # It came back before the deletion was acked: the group counted as holding it.
    assert moves(pull(group, index)) == [("modified", "/r/a", None)]


UNCERTAIN = ["unknown source", "known destination", "other inode", "other size", "two names", "torn"]
UNCERTAIN += ["inode used again", "no birth time"]


@pytest.mark.parametrize("case", UNCERTAIN)
def test_what_is_not_certain_is_two_events(index: ToldIndex, case: str) -> None:
    """Rule 21: else two events, or one of them where the other is nothing to this group."""
    group = made(index)
    if case != "unknown source":
        index.put(b"/r/a", size=3, ino=7)
    if case == "known destination":
        index.put(b"/r/b", size=1, ino=5)
    if case == "two names":
        index.put(b"/r/c", size=3, ino=7)
    index.put(b"/r/other", size=3, ino=9)
    group.ack(index, pull(group, index).number, 0.0)
    if case == "unknown source":
        index.put(b"/r/a", size=3, ino=7)
    index.remove(b"/r/a")
    if case == "two names":
        index.remove(b"/r/c")
    birth = {"inode used again": 11, "no birth time": 0}.get(case, 5)
    index.put(b"/r/b", size=4 if case == "other size" else 3, ino=8 if case == "other inode" else 7, birth=birth)
    batches = [pull(group, index, 1 if case == "torn" else 100)]
    if case == "torn":
        batches.append(pull(group, index, 1))
    said = {kind for batch in batches for kind, _ in kinds(batch)}
    assert "moved" not in said
    assert said == {
        "unknown source": {"created"},
        "known destination": {"deleted", "modified"},
    }.get(case, {"deleted", "created"})
