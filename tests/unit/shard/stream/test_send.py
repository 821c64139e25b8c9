"""The line upwards: every frame is kept until it is acked, and sent again when it may be lost."""

from __future__ import annotations

from itertools import pairwise

import pytest
from entries import Entry, seen

from shardwatch.shard.contract.files.packed import FILE
from shardwatch.shard.contract.limits import FRAME_BYTES_MAX, FRAME_ENTRIES_MAX, WINDOW_FRAMES_MAX, WIRE_VERSION
from shardwatch.shard.contract.wire.frames import Frame, Gone, Listing, Looks, Reply, decode_up
from shardwatch.shard.stream import send
from shardwatch.shard.stream.send import Stream, listings, looks

SECOND = 10**9


class Line:
    """A stream and what it pushed; the socket takes `room` frames."""

    def __init__(self, epoch: int = 5) -> None:
        self.pushed: list[int] = []
        self.bodies: list[bytes] = []
        self.room = 10**6
        self.stream = Stream("s0", epoch, 1, self._push)

    def _push(self, body: bytes) -> bool:
        if not self.room:
            return False
        self.room -= 1
        frame = decode_up(body)
        assert isinstance(frame, Frame)
        self.pushed.append(frame.seq)
        self.bodies.append(body)
        return True

    def send(self, count: int, now: int = 0) -> None:
        """So many frames of one record each."""
        for _ in range(count):
            self.stream.add(Gone(b"/r", 1))
            self.stream.flush(now)

    def ack(self, committed: int, *, epoch: int = 5, now: int = 0, resend: bool = False, life: int = 1) -> bool:
        return self.stream.reply(Reply(WIRE_VERSION, life, epoch, committed, resend), now)


def entries(count: int) -> list[Entry]:
    return [(b"%06d.json" % i, FILE, 1, i, 1, 0, 0, 0, False) for i in range(count)]


def test_frames_are_numbered_from_one() -> None:
    """Rule 14: per shard and epoch, in the order of looking."""
    line = Line()
    line.send(3)
    assert line.pushed == [1, 2, 3]
    frames = [decode_up(b) for b in line.bodies]
    assert {(f.shard, f.epoch, f.generation) for f in frames} == {("s0", 5, 1)}
    assert line.stream.unacked == 3


def test_records_of_one_moment_share_a_frame() -> None:
    """Until it is flushed, or full."""
    line = Line()
    for _ in range(10):
        line.stream.add(Gone(b"/r", 1))
    line.stream.flush(0)
    assert line.pushed == [1]
    line.stream.flush(0)
    assert line.pushed == [1]


def test_a_full_frame_is_closed() -> None:
    """One of many entries, or of many small records."""
    line = Line()
    line.stream.add(Listing(b"/r", 1, *seen(entries(FRAME_ENTRIES_MAX))))
    line.stream.add(Looks(b"/r", 1, *seen(entries(1)), [b"x"] * FRAME_ENTRIES_MAX))
    for _ in range(FRAME_ENTRIES_MAX // 2):
        line.stream.add(Gone(b"/r", 1))
    assert line.stream.unacked == 3


def test_a_frame_is_never_larger_than_the_other_side_takes() -> None:
    """Deep trees have long paths: a frame that is refused would be sent again for ever."""
    line = Line()
    path = b"/" + b"/".join([b"d" * 255] * 100)
    for _ in range(1000):
        line.stream.add(Listing(path, 1, [], b""))
        line.stream.add(Looks(path, 1, [], b"", [b"x"]))
    line.stream.flush(0)
    assert max(map(len, line.bodies)) < FRAME_BYTES_MAX // 4
    assert len(line.bodies) > 10


def test_the_window_is_bounded_by_frames_and_by_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule 15: looks wait for acks."""
    line = Line()
    line.send(WINDOW_FRAMES_MAX - 1)
    assert not line.stream.full
    line.send(1)
    assert line.stream.full
    assert line.ack(1)
    assert not line.stream.full
    monkeypatch.setattr(send, "WINDOW_BYTES_MAX", 10)
    assert line.stream.full


def test_a_socket_that_takes_nothing_blocks_nobody() -> None:
    """Rule 15: what it did not take is taken later, in order."""
    line = Line()
    line.room = 2
    line.send(4)
    assert line.pushed == [1, 2]
    assert line.stream.unsent
    line.room = 9
    line.stream.flush(0)
    assert line.pushed == [1, 2, 3, 4]
    assert not line.stream.unsent


def test_acks_let_go_of_what_is_committed() -> None:
    """Repeated, or lost and followed by a later one, they cost nothing."""
    line = Line()
    line.send(5)
    assert line.ack(2)
    assert line.ack(2)
    assert line.stream.unacked == 3
    assert line.ack(5)
    assert (line.stream.unacked, line.stream.acked, line.stream.next_resend()) == (0, 5, None)


def test_a_gap_is_sent_again_but_not_at_every_word() -> None:
    """Rule 14: the aggregator repeats its request until the frame comes."""
    line = Line()
    line.send(3)
    assert line.ack(1, resend=True, now=SECOND)
    assert line.ack(1, resend=True, now=SECOND + 1)
    line.stream.flush(SECOND)
    assert line.pushed == [1, 2, 3, 2, 3]
    assert line.stream.resent == 2
    assert line.ack(1, resend=True, now=2 * SECOND)
    line.stream.flush(2 * SECOND)
    assert line.pushed[5:] == [2, 3]


def test_another_life_of_the_aggregator_gets_everything_unacked() -> None:
    """Rule 14: it may have lost what was in flight."""
    line = Line()
    line.send(3)
    assert line.ack(1, life=1)
    assert line.ack(1, life=2)
    line.stream.flush(0)
    assert line.pushed == [1, 2, 3, 2, 3]


def test_silence_is_answered_with_everything_unacked_ever_more_slowly() -> None:
    """Rule 14: a lost last frame shows no gap."""
    line = Line()
    line.send(1)
    sent = []
    for now in range(0, 200 * SECOND, SECOND // 2):
        before = len(line.pushed)
        line.stream.flush(now)
        if len(line.pushed) > before:
            sent.append(now // SECOND)
    assert sent[:4] == [5, 15, 35, 65]
    assert [b - a for a, b in pairwise(sent[3:])] == [30] * (len(sent) - 4)


def test_an_ack_starts_the_silence_anew() -> None:
    """Progress is progress, however slow."""
    line = Line()
    line.send(2)
    line.stream.flush(3 * SECOND)
    assert line.ack(1, now=4 * SECOND)
    assert line.stream.next_resend() == 9 * SECOND


def test_what_is_unsent_is_not_sent_again() -> None:
    """A full socket is no loss."""
    line = Line()
    line.room = 1
    line.send(2)
    line.stream.flush(100 * SECOND)
    assert line.stream.resent == 0


def test_a_later_epoch_ends_this_one() -> None:
    """Someone had this shard's number after us."""
    line = Line(epoch=5)
    assert not line.ack(0, epoch=6)


def test_an_earlier_epoch_is_one_that_it_has_not_heard_of_yet() -> None:
    """Unless it had: then it lost its index."""
    line = Line(epoch=5)
    line.send(2)
    assert line.ack(70, epoch=4)
    assert line.stream.unacked == 2
    assert line.ack(1)
    assert not line.ack(70, epoch=4)


def test_an_aggregator_that_knows_less_than_it_acked_lost_its_index() -> None:
    """Rule 14: the epoch can't go on, its first frames are gone here too."""
    line = Line()
    line.send(3)
    assert line.ack(2)
    assert not line.ack(1, life=2)


def test_acks_of_what_was_never_sent_are_of_another_life() -> None:
    """Rule 14: else its frames would be dropped as duplicates, without a word."""
    line = Line()
    line.send(2)
    assert not line.ack(3)


def test_a_large_directory_goes_in_ranges() -> None:
    """Together they cover every name, each name once."""
    for count in (0, 1, FRAME_ENTRIES_MAX, FRAME_ENTRIES_MAX + 1, 10 * FRAME_ENTRIES_MAX + 7):
        parts = list(listings(b"/r", 1, seen(entries(count))))
        assert sum(len(p.names) for p in parts) == count
        assert (parts[0].after, parts[-1].upto) == (None, None)
        assert all(a.upto == b.after == a.names[-1] for a, b in pairwise(parts))
        assert all(len(p.names) <= FRAME_ENTRIES_MAX for p in parts)


def test_many_looks_go_in_parts() -> None:
    """No name is left out, and none is looked at for nothing."""
    most = FRAME_ENTRIES_MAX
    parts = list(looks(b"/r", 1, seen(entries(2 * most + 50)), [b"%d" % i for i in range(most + 50)]))
    assert [len(p.names) for p in parts] == [most, most, 50]
    assert [len(p.absent) for p in parts] == [most, 50, 0]
    assert list(looks(b"/r", 1, seen([]), [])) == []
