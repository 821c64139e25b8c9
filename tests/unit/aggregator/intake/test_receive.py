"""Streams of the shards: order, gaps, epochs, plans, syncs; and what status and readiness make of them."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from entries import Entry, seen
from index_rows import change_closed, connect_counting, query

from shardwatch.aggregator.index import debts
from shardwatch.aggregator.index.index import Index
from shardwatch.aggregator.intake import look_requests
from shardwatch.aggregator.intake.engine import Engine
from shardwatch.aggregator.intake.receive import Receiver
from shardwatch.shard.contract.files.packed import DIRECTORY, FILE
from shardwatch.shard.contract.limits import ACKS_LATER_ENTRIES_MAX, ACKS_LATER_FRAMES_MAX, FRAME_BYTES_MAX, WIRE_VERSION
from shardwatch.shard.contract.state.planfile import Anchor, Plan
from shardwatch.shard.contract.state.settings import Settings
from shardwatch.shard.contract.wire.frames import (
    Baseline,
    Beat,
    Doubt,
    Frame,
    Gone,
    Listing,
    Looks,
    Record,
    Reply,
    Synced,
    encode,
)

R = b"/r"


def entry(name: bytes, version: int = 1, *, ino: int = 5, nlink: int = 1) -> Entry:
    return (name, FILE, 1, ino, nlink, version, version, version, False)


class Line:
    """A receiver over a real index, and shards that speak to it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.plan: Plan | None = None
        self.unreadable = False
        self.anchors(s0=[R], s1=[b"/r/a"])
        self.connection = connect_counting(path)
        self.index = Index(path, connect=lambda path: self.connection)
        self.receiver = Receiver(self.index, lambda: None if self.unreadable else self.plan)
        self.index.commit()
        self.seq: dict[tuple[str, int], int] = {}

    def anchors(self, **shards: list[bytes]) -> None:
        """The next plan."""
        generation = self.plan.generation + 1 if self.plan else 1
        self.plan = Plan(generation, tuple(Anchor(p, s, R) for s, paths in shards.items() for p in paths))

    def frame(self, shard: str, *records: Record, epoch: int = 1, seq: int = 0, generation: int = 0, service: str = "") -> int:
        assert self.plan is not None
        key = shard, epoch
        self.seq[key] = seq or self.seq.get(key, 0) + 1
        frame = Frame(WIRE_VERSION, shard, epoch, generation or self.plan.generation, self.seq[key], list(records), service)
        return self.receiver.frame(frame, 10.0)

    def beat(self, shard: str, *, epoch: int = 1, now: float = 10.0, doubts: list[Doubt] | None = None, **other: Any) -> None:
        assert self.plan is not None
        usual: dict[str, Any] = {
            "version": WIRE_VERSION, "shard": shard, "epoch": epoch, "generation": self.plan.generation, "pid": 77,
            "state": "watching", "backend": "inotify", "directories": 3, "files": 4, "watches": 3, "polled": 0, "pending": 0,
            "unacked": 0, "overflows": 0, "rescans": 0, "hints": 0, "looks": 0, "filtered": 0, "others": 0,
            "doubts": doubts or [],
        }  # fmt: skip
        self.receiver.beat(Beat(**(usual | other)), now)

    def replies(self, *, touched_only: bool = False) -> dict[str, Reply]:
        return dict(self.receiver.replies(touched_only=touched_only))

    def commit(self, now: float = 10.0) -> None:
        self.index.commit()
        self.receiver.finish_syncs(now)

    def paths(self) -> list[bytes]:
        sql = "SELECT d.path, e.name FROM every e JOIN directory d ON d.id=e.dir WHERE e.kind<>0"
        return sorted(p + b"/" + n for p, n in query(self.index, sql))

    def restart(self, meanwhile: str = "") -> None:
        """Killed: what was not committed is lost. `meanwhile`: a statement that changes the file before the new start."""
        self.index.abandon()
        if meanwhile:
            change_closed(self.path, meanwhile)
        self.connection = connect_counting(self.path)
        self.index = Index(self.path, connect=lambda path: self.connection)
        self.receiver = Receiver(self.index, lambda: self.plan)
        self.index.commit()


@pytest.fixture
def line(tmp_path: Path) -> Iterator[Line]:
    """s0 owns /r, s1 owns /r/a."""
    line = Line(tmp_path / "index.db")
    yield line
    line.index.abandon()


def listing(path: bytes, *names: bytes) -> Listing:
    return Listing(path, 100, *seen([entry(n) for n in names]))


def looks(path: bytes, *names: bytes) -> Looks:
    return Looks(path, 100, *seen([entry(n) for n in names]), [])


# -- order


def test_frames_are_applied_once_and_in_order(line: Line) -> None:
    """Rules 1 and 14: a duplicate changes nothing, a frame after a gap waits for what is missing."""
    assert line.frame("s0", listing(R, b"old")) == 2
    assert line.frame("s0", listing(R, b"later"), seq=3) == 0
    assert line.replies()["s0"].resend
    assert line.frame("s0", listing(R, b"new"), seq=2) == 2
    assert line.frame("s0", listing(R, b"old"), seq=1) == 0
    assert line.frame("s0", listing(R, b"later"), seq=3) == 2
    line.commit()
    assert line.paths() == [b"/r/later"]
    assert (line.receiver.frames, line.receiver.gaps, line.receiver.duplicates) == (3, 1, 1)
    assert not line.replies()["s0"].resend


def test_a_gap_is_counted_once(line: Line) -> None:
    """However many frames come after it."""
    for seq in (2, 3, 4):
        line.frame("s0", listing(R), seq=seq)
    assert line.receiver.gaps == 1


def test_what_is_acked_is_committed(line: Line) -> None:
    """Rule 14: the number and the rows are one transaction."""
    line.frame("s0", listing(R, b"f"))
    line.commit()
    line.frame("s0", listing(R, b"g"))
    assert line.replies()["s0"].committed == 2  # asked too early: replies go out after the commit
    line.restart()
    assert line.paths() == [b"/r/f"]
    assert line.replies()["s0"].committed == 1
    line.frame("s0", listing(R, b"g"), seq=2)
    line.commit()
    assert line.paths() == [b"/r/g"]


def test_another_life_has_another_number(line: Line) -> None:
    """Rule 14: so that a shard sends again what was in flight."""
    before = line.replies()["s0"].life
    line.restart()
    assert line.replies()["s0"].life != before


def test_frames_of_a_dead_epoch_are_dropped(line: Line) -> None:
    """Rule 1: its successor's baseline looked after it did."""
    line.frame("s0", listing(R, b"f"))
    line.frame("s0", listing(R, b"g"), epoch=2)
    assert line.frame("s0", listing(R, b"f"), epoch=1) == 0
    line.commit()
    assert line.paths() == [b"/r/g"]
    assert line.receiver.dropped == 1
    assert (line.replies()["s0"].epoch, line.replies()["s0"].committed) == (2, 1)


def test_a_beat_begins_an_epoch_too(line: Line) -> None:
    """Whichever comes first. An older beat says nothing any more."""
    line.frame("s0", listing(R, b"f"), Baseline(1, 1, 1))
    line.beat("s0", epoch=2)
    line.commit()
    assert line.index.streams.known()["s0"] == (2, 0, 0)
    line.beat("s0", epoch=1)
    assert line.receiver.dropped == 1
    assert line.receiver.streams["s0"].epoch == 2


def test_a_frame_that_fails_leaves_nothing_behind(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule 14: half a frame must not be committed, not even by an orderly end."""
    line.frame("s0", listing(R, b"f"))
    line.commit()

    def fail(record: Looks, stops: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(line.index.records, "looks", fail)
    with pytest.raises(sqlite3.OperationalError):
        line.frame("s0", listing(R, b"f", b"half"), Looks(R, 1, [], b"", [b"f"]))
    line.index.close()
    line.index = Index(line.path)
    assert line.paths() == [b"/r/f"]
    assert line.index.streams.known()["s0"] == (1, 1, 0)


# -- ownership


def test_only_the_owner_has_a_say(line: Line) -> None:
    """Rule 1: one writer for every row. Records of others are counted."""
    line.frame("s0", listing(b"/r/a", b"wrong"), listing(b"/elsewhere", b"wrong"), listing(b"/r/b", b"right"))
    line.frame("s1", listing(R, b"wrong"), Looks(b"/r/a/x", 1, *seen([entry(b"right")]), []))
    line.commit()
    assert line.paths() == [b"/r/a/x/right", b"/r/b/right"]
    assert line.receiver.dropped == 3


def test_strangers_are_not_heard(line: Line) -> None:
    """A shard that the plan does not name, or one of another service in the same place."""
    assert line.frame("s9", listing(R, b"f")) == 0
    assert line.frame("s0", listing(R, b"f"), service="other") == 0
    line.beat("s9")
    line.commit()
    assert line.paths() == []
    assert line.receiver.foreign == 3


def test_an_anchor_that_is_gone_goes_up_to_other_anchors(line: Line) -> None:
    """Rule 10: each owner finds out by itself. Of what is no anchor nobody can say so."""
    line.frame("s0", Listing(R, 1, *seen([(b"a", DIRECTORY, 0, 0, 0, 0, 0, 0, False), entry(b"f")])), listing(b"/r/d", b"g"))
    line.frame("s1", listing(b"/r/a", b"h"))
    line.frame("s0", Gone(b"/r/d", 5))
    line.commit()
    assert line.paths() == [b"/r/a", b"/r/a/h", b"/r/d/g", b"/r/f"]
    line.frame("s0", Gone(R, 5))
    line.commit()
    assert line.paths() == [b"/r/a/h"]
    line.frame("s1", Gone(b"/r/a", 5))
    line.commit()
    assert line.paths() == []


def test_a_plan_of_a_lower_generation_is_taken_over(line: Line) -> None:
    """Where plan.json was removed, or an older one put back: what is on disk counts, from the first frame that names it."""
    line.anchors(s0=[R, b"/r/a"])
    assert line.receiver.reload_plan()
    line.plan = Plan(1, (Anchor(R, "s1", R),))
    line.frame("s1", listing(R, b"f"), epoch=2, generation=1)
    line.commit()
    assert line.paths() == [b"/r/f"]
    assert not line.receiver.reload_plan()


def test_a_new_plan_is_taken_over_when_a_frame_names_it(line: Line) -> None:
    """Rule 16: the new owner's words count from then on, the former's do not."""
    line.frame("s1", listing(b"/r/a", b"f"))
    line.anchors(s0=[R, b"/r/a"], s2=[b"/r/b"])
    line.frame("s0", listing(b"/r/a", b"g"), epoch=2)
    line.frame("s1", listing(b"/r/a", b"f"), generation=1)
    line.commit()
    assert line.paths() == [b"/r/a/g"]
    assert sorted(line.receiver.streams) == ["s0", "s2"]
    assert not line.receiver.reload_plan()


def test_looks_of_one_frame_are_applied_together(line: Line) -> None:
    """Of each that is allowed: what another shard owns is dropped, an unknown name is added, one that is owed a look is paid,
    and the last word about a name counts."""

    def look(path: bytes, name: bytes, version: int, ino: int) -> Looks:
        return Looks(path, 101, *seen([entry(name, version, ino=ino)]), [])

    directories = [b"/r/d%d" % number for number in range(6)]
    for number, directory in enumerate(directories):
        line.frame("s0", Listing(directory, 100, *seen([entry(b"f", ino=number + 1)])))
    line.frame("s1", Listing(b"/r/a", 100, *seen([entry(b"f", ino=20)])))
    rewritten = [look(directory, b"f", 2, number + 1) for number, directory in enumerate(directories)]
    assert line.frame("s0", *rewritten, look(b"/r/a", b"f", 9, 20), look(b"/r/d0", b"new", 1, 30)) == 7
    assert line.receiver.dropped == 1
    line.receiver.look([b"/r/d1/f"])
    assert line.frame("s0", *(look(directory, b"f", 3, number + 1) for number, directory in enumerate(directories))) == 6
    assert line.index.owed == {}
    assert line.frame("s0", *(look(b"/r/d2", b"f", version, 3) for version in range(4, 10))) == 6
    sizes = "SELECT d.path, e.name, e.size FROM every e JOIN directory d ON d.id=e.dir WHERE e.kind<>0 ORDER BY d.path, e.name"
    wanted = [(directory, b"f", 3) for directory in directories]
    wanted[2] = (b"/r/d2", b"f", 9)
    assert query(line.index, sizes) == sorted([*wanted, (b"/r/a", b"f", 1), (b"/r/d0", b"new", 1)])


def test_what_was_sent_under_another_anchor_is_dropped(line: Line) -> None:
    """Its directory may have no row, because the shard above reported it, and is not listened to any more. If it is gone, no
    listing of the new owner would show that: what was not under the same anchor is covered by the baseline that comes.
    """
    line.anchors(s0=[R, b"/r/b"])
    assert line.receiver.reload_plan()
    line.frame("s0", listing(b"/r/b", b"f"))
    line.anchors(s0=[R])
    assert line.receiver.reload_plan()
    line.frame("s0", listing(b"/r/b/c", b"g"), generation=2)
    line.frame("s0", listing(R, b"h"), generation=2)
    line.commit()
    assert line.paths() == [b"/r/h"]
    assert line.receiver.dropped == 1


def test_what_was_sent_when_other_names_were_in_scope_is_dropped(line: Line) -> None:
    """With the same anchor or not: the rows below it are adapted by then, and nobody would find what came late. A shard whose
    anchor goes on is listened to."""
    assert line.plan is not None
    line.plan = Plan(2, (Anchor(R, "s0", R, since=2), Anchor(b"/r/a", "s1", R, since=1)), "other")
    line.receiver.reload_plan()
    line.frame("s1", listing(b"/r/a", b"f"), generation=1)
    line.frame("s0", listing(R, b"f"), generation=1)
    line.commit()
    assert line.paths() == [b"/r/a/f"]
    line.frame("s0", listing(R, b"g"))
    line.commit()
    assert line.paths() == [b"/r/a/f", b"/r/g"]


def test_each_plan_is_told_before_anything_is_judged_by_it(tmp_path: Path) -> None:
    """Whoever keeps the index can adapt it first."""
    plan, told = Plan(1, (Anchor(R, "s0", R),)), []
    index = Index(tmp_path / "index.db")
    receiver = Receiver(index, lambda: plan, on_plan=lambda new: told.append((new.generation, index.files)))
    receiver.reload_plan()
    plan = Plan(2, (Anchor(R, "s0", R),))
    receiver.frame(Frame(WIRE_VERSION, "s0", 1, 2, 1, [listing(R, b"f")]), 0)
    assert (told, index.files) == ([(1, 0), (2, 0)], 1)
    index.abandon()


def test_what_was_sent_under_an_unknown_plan_is_dropped(line: Line) -> None:
    """Whose anchors nobody can tell."""
    line.anchors(s0=[R])
    assert line.receiver.reload_plan()
    line.frame("s0", listing(R, b"f"), generation=7)
    line.frame("s0", listing(R, b"g"))
    line.commit()
    assert line.paths() == [b"/r/g"]


def test_a_later_plan_that_can_not_be_read_is_waited_for(line: Line) -> None:
    """What was sent under it comes again; were it dropped, nobody would look once more."""
    line.anchors(s0=[R], s1=[b"/r/a"], s2=[b"/r/b"])
    line.unreadable = True
    assert line.frame("s1", listing(b"/r/a", b"f")) == 0
    assert (line.receiver.dropped, line.receiver.streams["s1"].committed) == (0, 0)
    line.unreadable = False
    assert line.frame("s1", listing(b"/r/a", b"f"), seq=1) == 2
    line.commit()
    assert line.paths() == [b"/r/a/f"]


def test_a_shard_goes_on_with_what_it_has_had_all_the_time(line: Line) -> None:
    """Whatever plan it sends under since it was given that, and if the aggregator began with the last of them. What it has been
    given since, and what it has not any more, is another matter."""

    def since(path: bytes, shard: str, generation: int) -> Anchor:
        return Anchor(path, shard, R, since=generation)

    line.plan = Plan(9, (since(R, "s0", 3), since(b"/r/a", "s1", 3), since(b"/r/b", "s0", 9), since(b"/r/c", "s1", 5)))
    line.receiver = Receiver(line.index, lambda: line.plan)
    for n, generation in enumerate((2, 3, 5, 9)):
        line.frame("s0", *(listing(path, b"f%d" % n) for path in (R, b"/r/a", b"/r/b")), generation=generation)
    line.commit()
    assert line.paths() == [b"/r/b/f3", b"/r/f3"]
    assert line.receiver.dropped == 3 + 2 + 2 + 1
    assert line.receiver.baselines() == (0, 2)
    line.frame("s1", Baseline(4, 1, 1), generation=4)
    line.frame("s0", Baseline(9, 1, 1))
    assert line.receiver.baselines() == (1, 2), "s1 has looked at everything but what it was given with plan 5"
    line.frame("s1", Baseline(5, 1, 1), generation=5)
    assert line.receiver.baselines() == (2, 2)


def test_what_went_to_another_and_came_back_is_new(line: Line) -> None:
    """What was sent before it went is no word of its owner, though the plan before gives it to somebody under the same anchor."""
    line.plan = Plan(8, (Anchor(R, "s0", R, since=3), Anchor(b"/r/a", "s1", R, since=8)))
    assert line.receiver.reload_plan()
    line.plan = Plan(9, (Anchor(R, "s0", R, since=3), Anchor(b"/r/a", "s0", R, since=9)))
    line.frame("s0", listing(b"/r/a", b"f"), generation=8)
    line.commit()
    assert (line.paths(), line.receiver.dropped) == ([], 1)


def test_what_stays_under_an_anchor_of_its_own_counts_while_it_is_on_its_way(line: Line) -> None:
    """Sent under the plan just before, by the shard that had it under an anchor above it. What was above it does not."""
    line.plan = Plan(8, (Anchor(R, "s0", R, since=3), Anchor(b"/r/a", "s1", R, since=3)))
    assert line.receiver.reload_plan()
    line.plan = Plan(9, (Anchor(R, "s1", R, since=9), Anchor(b"/r/a", "s0", R, since=9), Anchor(b"/r/b", "s0", R, since=9)))
    assert line.receiver.reload_plan()
    for generation in (2, 8):
        line.frame("s0", listing(b"/r/b/c", b"f%d" % generation), listing(b"/r/a", b"g"), listing(R, b"h"), generation=generation)
    line.commit()
    assert (line.paths(), line.receiver.dropped) == ([b"/r/b/c/f8"], 3 + 2)
    line.frame("s0", Gone(b"/r/b", 110), generation=9)
    line.commit()
    assert line.paths() == [], "also where nobody has told of the directories above it"


def test_an_answer_of_who_goes_on_counts(line: Line) -> None:
    """Also if it was sent before the plan that gave others something."""
    token = line.receiver.begin_sync(50)
    line.plan = Plan(2, (Anchor(R, "s0", R, since=1), Anchor(b"/r/a", "s1", R, since=1), Anchor(b"/r/b", "s1", R, since=2)))
    line.frame("s0", Synced(token), generation=1)
    assert line.receiver.reload_plan()
    assert {shard: reply.syncs for shard, reply in line.replies().items()} == {"s0": [token], "s1": [token]}
    line.frame("s0", Synced(token), generation=1)
    line.frame("s1", Synced(token), generation=1)
    line.commit()
    assert {shard: reply.syncs for shard, reply in line.replies().items()} == {"s0": [], "s1": [token]}
    line.frame("s1", Synced(token))
    line.commit()
    assert line.receiver.sync_result(token) == {"ok": True}


def test_a_shard_that_comes_back_into_the_plan_goes_on_where_it_was(line: Line) -> None:
    """Its stream is on the disk, whoever forgot it."""
    line.frame("s1", listing(b"/r/a", b"f"), epoch=4)
    line.commit()
    line.anchors(s0=[R])
    assert line.receiver.reload_plan()
    line.anchors(s0=[R], s1=[b"/r/a"])
    assert line.receiver.reload_plan()
    assert (line.receiver.streams["s1"].epoch, line.receiver.streams["s1"].committed) == (4, 1)


def test_without_a_plan_nobody_is_known(tmp_path: Path) -> None:
    """The coordinator has not planned yet; a sync says so in the end."""
    index = Index(tmp_path / "index.db")
    receiver = Receiver(index, lambda: None)
    assert receiver.frame(Frame(WIRE_VERSION, "s0", 1, 1, 1, []), 0) == 0
    assert receiver.baselines() == (0, 0)
    token = receiver.begin_sync(5)
    receiver.finish_syncs(4)
    assert receiver.sync_result(token) is None
    receiver.finish_syncs(5)
    assert receiver.sync_result(token) == {"ok": False, "error": "there is no plan yet", "subtrees": []}
    index.abandon()


# -- replies


def test_acks_are_repeated(line: Line) -> None:
    """Rule 14: a lost one costs nothing. In between only those are answered who said something."""
    line.frame("s0", listing(R, b"f"))
    line.commit()
    assert list(line.replies(touched_only=True)) == ["s0"]
    assert list(line.replies(touched_only=True)) == []
    assert sorted(line.replies()) == ["s0", "s1"]


def test_the_acknowledgement_of_a_few_names_waits_for_the_beat(line: Line) -> None:
    """Nobody waits for it, and the message would wake the shard. What a beat says in the meantime is not outstanding."""
    line.frame("s0", listing(R, b"f"))
    line.commit()
    assert list(line.replies(touched_only=True)) == ["s0"], "a new epoch is told at once that it goes on"
    for seq in (2, 3):
        line.frame("s0", looks(R, b"f"), seq=seq)
        line.commit()
        assert line.replies(touched_only=True) == {}
    line.beat("s0", unacked=3)
    stream = line.receiver.streams["s0"]
    assert stream.beat is not None and stream.beat.unacked == 1
    assert line.replies()["s0"].committed == 3
    line.beat("s0", life=line.receiver.life)
    assert "s0" not in line.replies()


@pytest.mark.parametrize(
    "waits_not",
    [
        lambda line: line.frame("s0", looks(R, *(b"f%d" % n for n in range(ACKS_LATER_ENTRIES_MAX + 1)))),
        lambda line: line.frame("s0", listing(R, b"f")),
        lambda line: line.frame("s0", looks(R, b"f"), seq=1),
        lambda line: line.frame("s0", looks(R, b"f"), seq=9),
        lambda line: line.frame("s0", looks(R, b"f"), epoch=2),
        lambda line: line.receiver.begin_sync(20.0),
    ],
    ids=["many names", "a listing", "sent again", "a gap", "a new epoch", "a sync"],
)
def test_what_a_shard_may_wait_for_is_answered_at_once(line: Line, waits_not: Callable[[Line], object]) -> None:
    """With an acknowledgement that waits already."""
    line.frame("s0", listing(R, b"f"))
    line.commit()
    line.replies(touched_only=True)
    line.frame("s0", looks(R, b"f"))
    line.commit()
    assert line.replies(touched_only=True) == {}
    waits_not(line)
    line.commit()
    assert "s0" in line.replies(touched_only=True)


def test_so_many_acknowledgements_wait(line: Line) -> None:
    """With the next one they are told, so a shard never comes near its limit of frames for this."""
    line.frame("s0", listing(R, b"f"))
    line.commit()
    line.replies(touched_only=True)
    told = []
    for _ in range(ACKS_LATER_FRAMES_MAX + 2):
        line.frame("s0", looks(R, b"f"))
        line.commit()
        told.append([reply.committed for reply in line.replies(touched_only=True).values()])
    assert told == [*([[]] * ACKS_LATER_FRAMES_MAX), [ACKS_LATER_FRAMES_MAX + 2], []]


def test_who_shows_that_nothing_is_unknown_is_told_nothing(line: Line) -> None:
    """A beat with the life of the last reply and nothing unacknowledged: another message would only wake the shard.
    What was asked for and is not asked any more, another life on either side, and what is unacknowledged are told.
    """
    line.frame("s0", listing(R, b"f"))
    line.commit()
    known = line.replies()["s0"].life

    line.beat("s0", life=7)
    assert "s0" in line.replies()
    line.beat("s0", life=known, unacked=1)
    assert "s0" in line.replies()
    line.beat("s0", life=known)
    assert sorted(line.replies()) == ["s1"], "nothing was heard of the other one"
    assert sorted(line.replies()) == ["s1"]

    token = line.receiver.begin_sync(20.0)
    assert [line.replies()["s0"].syncs for _ in range(2)] == [[token], [token]], "until it is answered"
    line.receiver.finish_syncs(20.0)
    assert line.replies()["s0"].syncs == [], "it is given up"
    assert sorted(line.replies()) == ["s1"]
    line.beat("s0", epoch=2, life=known)
    assert line.replies()["s0"].epoch == 2
    line.beat("s0", epoch=2, life=known)
    assert sorted(line.replies()) == ["s1"]


def linked(line: Line, count: int, *, directories: int = 1) -> None:
    """So many files of s1 whose other names, in /r, were just written."""
    for d in range(directories):
        path = b"/r/a/%05d" % d
        names = [b"%05d" % i for i in range(count)]
        first = [entry(n, ino=d * count + i + 10, nlink=2) for i, n in enumerate(names)]
        line.frame("s1", Listing(path, 100, *seen(first)))
        written = [entry(b"%d-" % d + n, 2, ino=d * count + i + 10, nlink=2) for i, n in enumerate(names)]
        line.frame("s0", Looks(R, 200, *seen(written), []))
    line.commit()


def test_owners_are_asked_to_look_again(line: Line) -> None:
    """Rule 11: at once, and again with each beat until they did."""
    linked(line, 2)
    wanted = [(b"/r/a/00000", [b"00000", b"00001"])]
    assert line.replies(touched_only=True)["s1"].looks == wanted
    assert line.replies(touched_only=True) == {}
    assert line.replies()["s1"].looks == wanted
    assert line.replies()["s0"].looks == []
    line.frame("s1", Looks(b"/r/a/00000", 300, *seen([entry(b"00000", 2, ino=10, nlink=2)]), [b"00001"]))
    line.commit()
    assert line.replies()["s1"].looks == []


def test_who_listens_anew_is_told_at_once_what_it_may_not_have_heard(line: Line) -> None:
    """The beat of an aggregator that has just begun, and the question of a sync, come before the shards have found it. To wait
    for its next beat would hold up each sync, and all frames that were lost with its predecessor, for up to two seconds."""
    line.frame("s0", listing(R))
    line.frame("s1", listing(b"/r/a"))
    linked(line, 1)
    line.commit()
    line.restart()
    wanted = [(b"/r/a/00000", [b"00000"])]
    assert line.replies()["s1"].looks == wanted
    token = line.receiver.begin_sync(50)
    assert line.replies(touched_only=True)["s1"].syncs == [token]
    assert line.replies(touched_only=True) == {}
    line.receiver.listens("s1")
    line.receiver.listens("no shard")
    replies = line.replies(touched_only=True)
    assert {shard: (reply.syncs, reply.looks) for shard, reply in replies.items()} == {"s1": ([token], wanted)}
    assert replies["s1"].committed == 2
    assert line.replies(touched_only=True) == {}


def test_who_listens_for_the_first_time_is_told_nothing(line: Line) -> None:
    """At the start of a service nothing is known of its shards. What each of them sends first is answered."""
    line.receiver.listens("s0")
    assert line.replies(touched_only=True) == {}
    token = line.receiver.begin_sync(50)
    line.replies(touched_only=True)
    line.receiver.listens("s0")
    assert {shard: reply.syncs for shard, reply in line.replies(touched_only=True).items()} == {"s0": [token]}


def test_a_reply_never_outgrows_a_frame(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule 15: it carries the acks too; one that is refused would stop the shard for ever."""
    linked(line, 300)
    assert line.replies()["s1"].looks == [(b"/r/a/00000", [])]  # the whole directory
    longest = [(b"/r/a/" + b"d" * 25_000, [b"n" * 255] * look_requests.NAMES_MAX)] * look_requests.LOOKS_MAX
    assert len(encode(Reply(WIRE_VERSION, 1 << 53, 1, 1, True, [], longest))) < FRAME_BYTES_MAX


def test_the_next_directories_are_asked_for_when_some_are_done(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy of a tree by hard links is done in as many replies as it takes, not one a beat."""
    monkeypatch.setattr(look_requests, "LOOKS_MAX", 3)
    linked(line, 1, directories=8)
    asked: list[bytes] = []
    reply = line.replies(touched_only=True)
    for _ in range(8):
        looks = reply["s1"].looks if "s1" in reply else []
        for path, names in looks:
            asked.append(path)
            line.frame("s1", Looks(path, 300, *seen([entry(n, 2, ino=int(path[-5:]) + 10, nlink=2) for n in names]), []))
        line.commit()
        reply = line.replies(touched_only=True)
    assert sorted(asked) == [b"/r/a/%05d" % d for d in range(8)]
    assert line.index.owed == {}


def test_looks_can_be_asked_for(line: Line) -> None:
    """An audit's. Paths outside of the plan have nobody to look."""
    assert line.receiver.look([b"/r/f", b"/r/a/b/g", b"/elsewhere/h", b"/"]) == 2
    assert line.replies()["s0"].looks == [(R, [b"f"])]
    assert line.replies()["s1"].looks == [(b"/r/a/b", [b"g"])]


# -- syncs


def test_a_sync_is_answered_when_every_shard_has_answered(line: Line) -> None:
    """Rule 24: and what it said before is committed."""
    token = line.receiver.begin_sync(50)
    assert {s: r.syncs for s, r in line.replies(touched_only=True).items()} == {"s0": [token], "s1": [token]}
    line.frame("s0", Synced(token), Synced(token + 1))
    line.commit()
    assert line.receiver.sync_result(token) is None
    assert line.replies()["s0"].syncs == []
    assert line.receiver.next_deadline() == 50
    line.frame("s1", listing(b"/r/a", b"f"), Synced(token))
    line.commit()
    assert line.receiver.sync_result(token) == {"ok": True}
    assert line.receiver.sync_result(token) is None
    assert line.receiver.next_deadline() is None


def test_what_could_never_be_read_fails_no_sync(line: Line) -> None:
    """It is told. What the index knows something of fails it, whoever says that it never could read it: changes may be hidden."""
    line.frame("s0", listing(R, b"f"), Listing(b"/r/known/below", 100, [], b""))
    line.frame("s1", listing(b"/r/a"))
    line.commit()
    first = line.receiver.begin_sync(20)
    line.frame("s0", Synced(first, [], [b"/r/lost+found"]))
    line.frame("s1", Synced(first, [], [b"/r/a/x"]))
    line.commit()
    assert line.receiver.sync_result(first) == {"ok": True, "left_out": [b"/r/lost+found", b"/r/a/x"]}
    line.replies()
    second = line.receiver.begin_sync(20)
    line.frame("s0", Synced(second, [], [b"/r/lost+found", b"/r/known"]))
    line.frame("s1", Synced(second, []))
    line.commit()
    assert line.receiver.sync_result(second) == {"ok": False, "error": "some subtrees can't be read", "subtrees": [b"/r/known"]}


def test_who_asks_before_the_shards_are_told_shares_a_sync(line: Line) -> None:
    """A hundred callers are one question to each shard, and an answer for each of them; who asks later is another question."""
    tokens = [line.receiver.begin_sync(20 + n) for n in range(100)]
    (number,) = line.replies()["s0"].syncs
    later = line.receiver.begin_sync(20)
    assert len(line.replies()["s0"].syncs) == 2
    for shard in ("s0", "s1"):
        line.frame(shard, Synced(number))
    line.commit()
    assert [line.receiver.sync_result(token) for token in tokens] == [{"ok": True}] * 100
    assert line.receiver.sync_result(later) is None
    assert line.receiver.sync_result(tokens[0]) is None


def test_a_sync_waits_until_files_with_other_names_were_gone_through_for_it(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which takes some turns; and not for what a later sync asks for: there may always be one."""
    monkeypatch.setattr(debts, "_PARTLY_AT_ONCE", 2)
    names = [b"a", b"b", b"c"]
    line.frame("s0", Listing(R, 100, *seen([entry(name, ino=ino, nlink=2) for ino, name in enumerate(names, 1)])))
    line.commit()
    first = line.receiver.begin_sync(50)
    line.replies()
    for shard in ("s0", "s1"):
        line.frame(shard, Synced(first))
    line.receiver.search()
    line.commit()
    assert line.receiver.sync_result(first) is None
    second = line.receiver.begin_sync(50)
    line.replies()
    line.receiver.search()
    line.commit()
    assert line.receiver.searching, "for the second one"
    for shard in ("s0", "s1"):
        line.frame(shard, Synced(second))
    looks = Looks(R, 1 << 62, *seen([entry(name, ino=ino, nlink=2) for ino, name in enumerate(names, 1)]), [])
    line.frame("s0", looks)
    line.commit()
    assert [line.receiver.sync_result(token) for token in (first, second)] == [{"ok": True}, None]
    while line.receiver.searching:
        line.receiver.search()
    line.frame("s0", looks)
    line.commit()
    assert line.receiver.sync_result(second) == {"ok": True}


def test_a_sync_that_nobody_waits_for_is_asked_for_no_more(line: Line) -> None:
    """Each caller has its own deadline; the last one ends it for the shards."""
    first, last = line.receiver.begin_sync(20), line.receiver.begin_sync(30)
    line.commit(20)
    assert line.receiver.sync_result(first) is not None
    assert line.receiver.sync_result(last) is None
    assert line.receiver.next_deadline() == 30
    assert len(line.replies()["s0"].syncs) == 1
    line.commit(30)
    assert line.receiver.sync_result(last) is not None
    assert line.replies()["s0"].syncs == []
    assert line.receiver.next_deadline() is None


@pytest.mark.parametrize("answered", [True, False])
def test_of_a_sync_whose_caller_has_gone_nothing_is_kept(line: Line, answered: bool) -> None:
    """Neither its outcome, nor the question to the shards; whoever shares it is answered."""
    gone, other = line.receiver.begin_sync(20), line.receiver.begin_sync(20)
    (number,) = line.replies()["s0"].syncs
    if answered:
        for shard in ("s0", "s1"):
            line.frame(shard, Synced(number))
        line.commit()
    line.receiver.forget_sync(gone)
    assert line.receiver.sync_result(gone) is None
    assert line.receiver.sync_result(other) == ({"ok": True} if answered else None)
    line.receiver.forget_sync(other)
    line.receiver.forget_sync(other)
    line.commit(20)
    assert line.receiver.sync_result(other) is None
    assert not line.receiver.syncing
    assert line.replies()["s0"].syncs == []


def many_links(line: Line, count: int, ctime: int, names: range | None = None) -> None:
    """One file of so many names, as it is at `ctime` by these of them."""
    for begin in range(0, count, 250):
        some = [b"%06d" % n for n in range(begin, min(begin + 250, count)) if names is None or n in names]
        line.frame("s0", Looks(R, 10 * ctime, *seen([entry(n, ctime, ino=7, nlink=count) for n in some]), []))


def test_a_file_with_many_names_is_gone_through_now_and_then(line: Line) -> None:
    """Once a beat, whatever was seen of it in between; a sync has it gone through, and waits for all of its names."""
    count = 1_000

    def gone_through() -> int:
        """How often all rows of a file were read."""
        return sum("WHERE e.ino=? AND e.dev=?" in sql for sql in line.connection.statements)

    many_links(line, count, 100)
    line.commit()
    line.replies()
    before = gone_through()
    for n in range(50):
        many_links(line, count, 200 + n, range(n, n + 1))
        line.commit()
        line.replies(touched_only=True)
    assert gone_through() == before
    line.replies()
    assert gone_through() == before + 1
    assert len(line.index.owed[R]) == count - 1
    many_links(line, count, 300, range(5, 6))
    token = line.receiver.begin_sync(20)
    for shard in ("s0", "s1"):
        line.frame(shard, Synced(token))
    line.commit()
    assert line.receiver.sync_result(token) is None
    many_links(line, count, 301)
    line.commit()
    assert line.receiver.sync_result(token) == {"ok": True}


def test_all_names_of_a_directory_are_asked_for_once_a_beat(line: Line) -> None:
    """However many of them are paid or added in between: each question is a listing of all of it."""
    many_links(line, 1_000, 100)
    many_links(line, 1_000, 200, range(1))
    line.commit()
    assert line.replies()["s0"].looks == [(R, [])]
    asked = []
    for begin in range(1, 1_000, 250):
        many_links(line, 1_000, 200, range(begin, begin + 100))
        line.commit()
        asked += line.replies(touched_only=True)["s0"].looks
    assert asked == []


def test_many_names_are_looked_at_again_at_a_bounded_rate(line: Line) -> None:
    """1,000 a second, however often one of them is written; a sync does not wait for that."""

    def asked(now: float) -> bool:
        many_links(line, 5_000, 200 + round(10 * now), range(1))
        line.commit(now)
        return any(reply.looks for _, reply in line.receiver.replies(touched_only=False, now=now))

    many_links(line, 5_000, 100)
    line.commit()
    assert [now for now in range(0, 22, 2) if asked(now)] == [0, 6, 12, 18]
    token = line.receiver.begin_sync(100)
    for shard in ("s0", "s1"):
        line.frame(shard, Synced(token))
    line.commit(20)
    assert asked(21)


def test_what_was_put_off_is_found_again_after_a_crash(line: Line) -> None:
    """By rows that differ; and where only names are gone, by one of the others, which is owed at once."""
    many_links(line, 1_000, 100)
    many_links(line, 1_000, 200, range(1))
    many_links(line, 1_000, 300, range(1))
    line.commit()
    line.restart("DELETE FROM owed")
    line.replies()
    assert len(line.index.owed[R]) == 999
    many_links(line, 1_000, 300)
    line.commit()
    line.replies()
    assert not line.index.owed
    many_links(line, 1_000, 400, range(1))
    line.commit()
    assert not line.index.owed
    line.frame("s0", Looks(R, 5_000, [], b"", [b"000500"]))
    line.index.commit()
    line.restart()
    assert len(line.index.owed[R]) == 1


def test_debts_of_a_dead_shard_stand_before_none_of_the_others(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """More directories than one reply considers are owed by a shard that never pays."""
    monkeypatch.setattr(look_requests, "OWED_MAX", 5)
    for n in range(20):
        line.index.debts.add(b"/r/a/%d" % n, b"x", 100)
    line.index.debts.add(R, b"x", 100)
    assert any(line.replies()["s0"].looks for _ in range(6))


def test_a_sync_names_who_did_not_answer(line: Line) -> None:
    """Rule 24: a dead shard means its successor's answer, or an error that names the subtree."""
    token = line.receiver.begin_sync(50)
    line.frame("s0", Synced(token))
    line.commit(49)
    assert line.receiver.sync_result(token) is None
    line.commit(50)
    assert line.receiver.sync_result(token) == {"ok": False, "error": "no answer from s1", "subtrees": [b"/r/a"]}


def test_a_sync_tells_what_could_not_be_read(line: Line) -> None:
    """Rules 6 and 24: at once, whatever else is owed there."""
    linked(line, 1)
    token = line.receiver.begin_sync(50)
    line.frame("s0", Synced(token))
    line.frame("s1", Synced(token, [b"/r/a/00000"]))
    line.commit()
    assert line.receiver.sync_result(token) == {
        "ok": False, "error": "some subtrees can't be read", "subtrees": [b"/r/a/00000"],
    }  # fmt: skip


def test_a_sync_waits_for_the_looks_that_follow_from_it(line: Line) -> None:
    """Rules 11 and 24: other names of what was written before it."""
    token = line.receiver.begin_sync(50)
    linked(line, 1)
    line.frame("s0", Synced(token))
    line.frame("s1", Synced(token))
    line.commit()
    assert line.receiver.sync_result(token) is None
    line.frame("s1", Looks(b"/r/a/00000", 300, *seen([entry(b"00000", 2, ino=10, nlink=2)]), []))
    line.commit()
    assert line.receiver.sync_result(token) == {"ok": True}


def test_other_names_of_what_is_written_again_and_again_wait_for_no_beat(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of some writes between two beats has the other name looked at. Those after them wait for the beat, unless a sync waits
    for them."""
    monkeypatch.setattr(look_requests, "AGAIN_NAMES_MAX", 2)
    wanted = [(b"/r/a/00000", [b"00000"])]
    version = 2

    def write() -> list[tuple[bytes, list[bytes]]]:
        """What is asked for when the file was written."""
        nonlocal version
        version += 1
        line.frame("s0", Looks(R, 100 * version, *seen([entry(b"0-00000", version, ino=10, nlink=2)]), []))
        line.commit()
        return [look for reply in line.replies(touched_only=True).values() for look in reply.looks]

    def look() -> None:
        line.frame("s1", Looks(b"/r/a/00000", 100 * version + 50, *seen([entry(b"00000", version, ino=10, nlink=2)]), []))
        line.commit()

    linked(line, 1)
    assert line.replies(touched_only=True)["s1"].looks == wanted
    look()
    assert write() == wanted
    look()
    assert write() == []
    token = line.receiver.begin_sync(50)
    line.replies(touched_only=True)
    line.frame("s0", Synced(token))
    line.frame("s1", Synced(token))
    line.commit()
    assert line.replies(touched_only=True)["s1"].looks == wanted
    assert line.receiver.sync_result(token) is None
    look()
    assert line.receiver.sync_result(token) == {"ok": True}


def test_a_sync_says_so_when_those_looks_do_not_come(line: Line) -> None:
    """Rule 24: "ok" would be a lie."""
    token = line.receiver.begin_sync(50)
    linked(line, 1)
    line.frame("s0", Synced(token))
    line.frame("s1", Synced(token))
    line.commit(50)
    result = line.receiver.sync_result(token)
    assert result is not None
    assert (result["ok"], result["subtrees"]) == (False, [b"/r/a/00000"])


def test_a_file_that_is_always_written_does_not_hold_up_a_sync(line: Line) -> None:
    """Rule 24: what is owed for later changes is not waited for; what is owed for earlier ones is."""
    token = line.receiver.begin_sync(50)
    linked(line, 1)
    line.frame("s0", Synced(token))
    line.frame("s1", Synced(token))
    line.commit()
    line.frame("s0", Looks(R, 400, *seen([entry(b"0-00000", 3, ino=10, nlink=2)]), []))
    line.commit()
    assert line.receiver.sync_result(token) is None
    line.frame("s1", Looks(b"/r/a/00000", 300, *seen([entry(b"00000", 2, ino=10, nlink=2)]), []))
    line.commit()
    assert line.index.owed
    assert line.receiver.sync_result(token) == {"ok": True}


def test_an_answer_under_an_older_plan_is_none(line: Line) -> None:
    """Rule 24: it was for what the shard owned then, and what it said of that may have been dropped."""
    token = line.receiver.begin_sync(50)
    line.anchors(s0=[R], s1=[b"/r/b"])
    line.beat("s0")
    line.frame("s0", Synced(token), generation=1)
    line.frame("s1", Synced(token), generation=1)
    line.commit()
    assert line.receiver.sync_result(token) is None
    line.frame("s0", Synced(token), epoch=2)
    line.frame("s1", Synced(token), epoch=2)
    line.commit()
    assert line.receiver.sync_result(token) == {"ok": True}


def test_who_answered_is_asked_again_under_a_new_plan(line: Line) -> None:
    """Rule 24: its new subtree was another's when the sync began, and that one had not answered."""
    token = line.receiver.begin_sync(50)
    line.frame("s0", Synced(token, [b"/r/x"]))
    line.commit()
    line.anchors(s0=[R, b"/r/a"])
    line.beat("s0", epoch=2)
    line.commit()
    assert line.receiver.sync_result(token) is None
    assert line.replies()["s0"].syncs == [token]
    line.frame("s0", Synced(token), epoch=2)
    line.commit()
    assert line.receiver.sync_result(token) == {"ok": True}


# -- readiness and status


@pytest.fixture
def engine(line: Line) -> Engine:
    """What requests see of it."""
    settings = Settings(roots=(R, b"/r/\xff"), include=("*",), exclude=())
    return Engine(line.index, line.receiver, settings, ["a note"], clock=lambda: 20.0)


def test_ready_is_when_every_shard_of_the_plan_has_its_baseline(line: Line, engine: Engine) -> None:
    """Of this plan, committed, and heard of in this life."""
    assert engine.ready() is None
    line.frame("s0", listing(R, b"f"), Baseline(1, 1, 1))
    line.frame("s1", Baseline(1, 1, 1))
    line.commit()
    line.beat("s0")
    ready = engine.ready()
    assert ready is not None
    assert (ready["files"], ready["shards"], ready["generation"], ready["tick"]) == (1, 2, 1, line.index.tick)
    assert line.receiver.baselines() == (2, 2)
    line.restart()
    assert line.receiver.baselines() == (0, 2)
    line.beat("s0")
    assert line.receiver.baselines() == (1, 2)
    line.anchors(s0=[R], s1=[b"/r/b"])
    line.beat("s1")
    assert line.receiver.baselines() == (0, 2)


def test_progress_is_what_is_known_so_far(line: Line, engine: Engine) -> None:
    """While the baselines are under way."""
    line.frame("s0", listing(R, b"f", b"g"))
    line.beat("s0")
    assert engine.progress() == {"shards_ready": 0, "shards": 2, "files": 2, "directories": 3}


def status_of(engine: Engine) -> Any:
    """Its status, as whoever reads it: without types."""
    return engine.status()


def test_status_shows_each_shard(line: Line, engine: Engine) -> None:
    """Absent, silent, or what it says of itself; and what is in doubt."""
    line.beat("s0", now=19.0, doubts=[Doubt(b"/r/\xff", "missing", "gone", "make it again")], backend="polling")
    (s0, s1) = status_of(engine)["shards"]
    assert (s0["state"], s0["pid"], s0["silent_s"], s0["anchors"]) == ("watching", 77, 1.0, ["/r"])
    assert (s1["state"], s1["silent_s"]) == ("absent", None)
    status = status_of(engine)
    assert status["ready"] is False
    assert status["backend"] == "inotify+polling"
    assert status["notes"] == ["a note"]
    assert status["directories"] == 1
    (doubt,) = status["degraded"]
    assert (doubt["shard"], doubt["path"], doubt["state"]) == ("s0", "/r/\ufffd", "missing")
    line.beat("s0", now=10.0)
    (s0, _) = status_of(engine)["shards"]
    assert s0["state"] == "silent"
    line.receiver.discount(8.0)
    (s0, _) = status_of(engine)["shards"]
    assert s0["state"] == "watching"


def test_a_shard_of_another_wire_version_is_shown_until_it_is_understood(line: Line, engine: Engine) -> None:
    """It lives, and is not silent: but nothing that it says is taken. A stranger's message is counted as one, and no more."""

    def states() -> list[str]:
        return [shard["state"] for shard in status_of(engine)["shards"]]

    line.beat("s0", now=19.0)
    assert line.receiver.other_version("s0", 19.5) and line.receiver.other_version("s1", 19.5)
    assert states() == ["other version", "other version"]
    foreign = line.receiver.foreign
    assert not line.receiver.other_version("nobody", 19.5)
    assert line.receiver.foreign == foreign + 1
    line.beat("s0", now=19.9)  # its successor, of our version
    assert states() == ["watching", "other version"]
    line.receiver.other_version("s1", 10.0)  # nothing has come of it since
    assert states() == ["watching", "absent"]


def test_a_service_that_watches_no_file_says_why(line: Line, engine: Engine) -> None:
    """Once everything was looked at: nothing is there, or nothing that is there is kept; and no more once there is a file."""

    def said() -> object:
        assert engine.status()["notes"] == ["a note"]
        return engine.status()["nothing_watched"]

    line.beat("s0")
    line.beat("s1")
    assert said() == ""
    line.frame("s0", listing(R), Baseline(1, 1, 0))
    line.frame("s1", Baseline(1, 1, 0))
    line.commit()
    assert said() == "no file is watched: there is none in /r, /r/\ufffd, apart from excluded directories"
    line.beat("s1", filtered=1_234)
    assert said() == "no file is watched: 1,234 names exist, and the patterns include none of them; include is *"
    line.frame("s0", listing(R, b"f"))
    line.commit()
    assert said() == ""


def test_the_roots_are_those_of_the_plan_in_force(line: Line, engine: Engine) -> None:
    """The settings on disk may be exchanged a moment before, and a plan may be of a version that told none."""
    before = engine.status()["roots"]
    engine.take_over(Settings(roots=(R, b"/new"), include=("*",), exclude=()))
    assert before != ["/r", "/new"] and engine.status()["roots"] == ["/r", "/new"]
    assert line.plan is not None
    line.plan = msgspec.structs.replace(line.plan, generation=2, roots=(R, b"/s"), only=(b"/s",), files=(b"/s/f",))
    line.receiver.reload_plan()
    assert engine.status()["roots"] == ["/r", "/s/f"]


def test_status_without_a_plan(tmp_path: Path) -> None:
    """Before the coordinator has planned."""
    index = Index(tmp_path / "other.db")
    engine = Engine(index, Receiver(index, lambda: None), Settings(roots=(R,), include=(), exclude=()), [])
    status = engine.status()
    assert (status["generation"], status["backend"], status["shards"], status["ready"]) == (0, "none", [], False)
    index.abandon()


def test_the_engine_carries_syncs_and_looks(line: Line, engine: Engine) -> None:
    """Subtrees become text, for people."""
    token = engine.begin_sync(5.0)
    assert line.receiver.next_deadline() == 25.0
    line.commit(25.0)
    result = engine.sync_result(token)
    assert result is not None
    assert result["subtrees"] == ["/r", "/r/a"]
    assert engine.sync_result(token) is None
    assert engine.look([b"/r/f"]) == 1


def test_lock_files_outlive_the_shard_that_told_of_them(line: Line) -> None:
    """Until its successor's first beat: a shard that is killed in the middle of a checkout lets nothing through."""
    lock = b"/r/.git/index.lock"

    def locks() -> set[bytes]:
        return {path for stream in line.receiver.streams.values() for path in stream.locks}

    line.beat("s0", locks=[lock])
    assert locks() == {lock}
    line.frame("s0", Baseline(1, 1, 1), epoch=9)
    assert locks() == {lock}
    line.beat("s0", epoch=9)
    assert locks() == set()


def test_a_shard_that_is_not_heard_counts_as_a_lock_for_a_while(line: Line) -> None:
    """After a restart of the aggregator; only where lock files hold batches back, and not for long."""
    now = 20.0
    settings = Settings(roots=(R,), include=("*",), exclude=(), hold_for_vcs=True)
    without = Engine(line.index, line.receiver, msgspec.structs.replace(settings, hold_for_vcs=False), [], clock=lambda: now)
    engine = Engine(line.index, line.receiver, settings, [], clock=lambda: now)
    assert len(engine.locks()) == 1 and without.locks() == set()
    line.beat("s0")
    assert len(engine.locks()) == 1
    line.beat("s1", locks=[b"/r/.hg/wlock"])
    assert engine.locks() == {b"/r/.hg/wlock"}
    line.frame("s1", Baseline(1, 1, 1), epoch=2)
    assert len(engine.locks()) == 2
    now += 5
    assert engine.locks() == {b"/r/.hg/wlock"}
