"""Applies the streams of the shards: order, gaps, epochs, acknowledgements, baselines and syncs.

Frame n+1 of an epoch is applied only after frame n, in the transaction that stores n. See ARCHITECTURE.md, "One writer
per row". This module uses no socket and no clock.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

import msgspec
from msgspec import Struct

from shardwatch.shard.contract.limits import ACKS_LATER_ENTRIES_MAX, ACKS_LATER_FRAMES_MAX, WIRE_VERSION
from shardwatch.shard.contract.process.life import new_epoch
from shardwatch.shard.contract.state.planfile import Plan
from shardwatch.shard.contract.wire.frames import Beat, Frame, Looks, Reply

from ..index.index import Index
from ..index.verification import Verification
from .frame_records import FrameRecords
from .look_requests import LookRequests, Requests
from .ownership import Ownership
from .syncs import Syncs


class ReceivedStream(Struct):
    """What is known of one shard of the plan."""

    epoch: int = 0
    #: Number of the last frame applied; durable after the next commit.
    committed: int = 0
    #: Plan generation whose baseline this epoch has finished: under it the shard has looked at all that it owned.
    baseline: int = 0
    resend: bool = False
    #: The shard is to be told something at once.
    touched: bool = False
    #: Frames applied since the last reply whose acknowledgement can wait for the next beat.
    acks_later: int = 0
    beat: Beat | None = None
    #: Lock files of version control that the shard saw last. Its successor reports them anew.
    locks: tuple[bytes, ...] = ()
    #: The last reply. What it asked for and is not asked any more has to be told.
    told: Reply | None = None
    #: When the last beat or frame arrived (the caller's clock, seconds); None: not yet in this life.
    heard_at: float | None = None
    #: When the last message of another wire version arrived, if nothing that was understood has come since.
    other_version_at: float | None = None


class Receiver:
    """Applies frames to the index, and collects what has to be answered.

    Args:
        read_plan: returns the plan on disk, or None; called for each frame of another generation than the plan's.
        on_plan: called with each plan that is adopted, before anything is judged by it.
        service: the id of this running service; frames of any other are refused.
    """

    def __init__(
        self,
        index: Index,
        read_plan: Callable[[], Plan | None],
        *,
        on_plan: Callable[[Plan], None] = lambda plan: None,
        service: str = "",
    ) -> None:
        self._index = index
        self._read_plan = read_plan
        self._on_plan = on_plan
        self._service = service
        self.life = new_epoch()
        self._ownership = Ownership()
        self.streams: dict[str, ReceivedStream] = {}
        self._syncs = Syncs(self._complete_debts, lambda: index.owed, index.knows)
        self._look_requests = LookRequests()
        self.verification = Verification()
        self._records = FrameRecords(index, self._ownership, self.verification, self._syncs)
        self.frames = 0
        self.duplicates = 0
        self.gaps = 0
        #: Frames of earlier epochs, and records of former owners or under former anchors. A later look covers them, so they are
        #: dropped.
        self.dropped = 0
        #: Frames and beats of shards of another service, or that the plan does not name.
        self.foreign = 0
        index.begin()
        index.streams.serve(service)
        self.reload_plan()

    # -- plan

    @property
    def plan(self) -> Plan | None:
        """The plan by which frames are judged; None before there was one."""
        return self._ownership.plan

    def reload_plan(self) -> bool:
        """Adopts the plan on disk if it is another one. Returns whether it was.

        The plan on disk counts even if its generation is lower, because the previous plan may have been removed, or another
        one put back.
        """
        plan = self._read_plan()
        if plan is None or (self.plan is not None and plan.generation == self.plan.generation):
            return False
        self._on_plan(plan)
        former = self.plan
        self._ownership.adopt(plan)
        self._index.anchors.adopt(a.path for a in plan.anchors)
        known = self._index.streams.known()
        streams = {shard: self.streams.get(shard) or ReceivedStream(*known.get(shard, (0, 0, 0))) for shard in plan.shards()}
        self._syncs.replanned(streams)
        self.streams = streams
        if former is not None:  # from now on, whoever is given something has to tell of it
            for stream in streams.values():
                stream.touched = True
        return True

    # -- frames

    def other_version(self, shard: str, now: float) -> bool:
        """A message of another wire version has come. Returns whether its sender is a shard of the plan."""
        stream = self.streams.get(shard)
        if stream is None:
            self.foreign += 1
            return False
        stream.other_version_at = now
        return True

    def beat(self, beat: Beat, now: float) -> None:
        stream = self._stream(beat)
        if stream is None or beat.epoch < stream.epoch:
            self.dropped += stream is not None
            return
        self._begin_epoch(stream, beat.shard, beat.epoch)
        if stream.acks_later:  # these are applied
            beat = msgspec.structs.replace(beat, unacked=max(0, beat.unacked - stream.acks_later))
        stream.beat = beat
        stream.locks = tuple(beat.locks)
        stream.heard_at = now
        stream.other_version_at = None

    def frame(self, frame: Frame, now: float) -> int:
        """Applies one frame, within the transaction that the caller commits; returns how many entries it held."""
        stream = self._stream(frame)
        if stream is None or frame.epoch < stream.epoch:
            self.dropped += stream is not None
            return 0
        if self._awaits_plan(frame.generation):
            return 0
        self._begin_epoch(stream, frame.shard, frame.epoch)
        stream.heard_at = now
        if frame.seq <= stream.committed:
            stream.touched = True
            self.duplicates += 1
            return 0
        if frame.seq > stream.committed + 1:
            if not stream.resend:
                self.gaps += 1
            stream.resend = stream.touched = True
            return 0
        self._index.begin()
        try:
            entries, dropped, baseline = self._records.apply(frame, now)
            self.dropped += dropped
            if baseline is not None:
                stream.baseline = baseline
            stream.resend = False
            stream.committed = frame.seq
            self._index.streams.save(frame.shard, stream.epoch, stream.committed, stream.baseline)
        except BaseException:
            self._index.rollback()  # the caller ends; half a frame must not be committed on its way out
            raise
        if entries <= ACKS_LATER_ENTRIES_MAX and self._can_wait(frame, stream):
            stream.acks_later += 1
        else:
            stream.touched = True
        self.frames += 1
        return entries

    def _can_wait(self, frame: Frame, stream: ReceivedStream) -> bool:
        """Whether the acknowledgement of a frame that was applied can wait for the next beat: it says nothing but how some names
        are, and the shard knows from an earlier reply that its epoch goes on.
        """
        told = stream.told
        return (
            stream.acks_later < ACKS_LATER_FRAMES_MAX
            and told is not None
            and told.epoch == stream.epoch
            and all(type(record) is Looks for record in frame.records)
        )

    def _stream(self, message: Frame | Beat) -> ReceivedStream | None:
        if message.service != self._service:
            self.foreign += 1
            return None
        if self.plan is None or message.generation != self.plan.generation:
            self.reload_plan()
        stream = self.streams.get(message.shard)
        self.foreign += stream is None
        return stream

    def _awaits_plan(self, generation: int) -> bool:
        """Whether a frame was sent under a later plan, which can't be read at the moment.

        It will be sent again. Judged by the plan before, what its sender was given since would be dropped, and nobody would look
        there again.
        """
        return self.plan is not None and generation > self.plan.generation and self._read_plan() is None

    def _begin_epoch(self, stream: ReceivedStream, shard: str, epoch: int) -> None:
        if epoch > stream.epoch:
            self._index.begin()
            stream.epoch, stream.committed, stream.baseline, stream.resend, stream.beat = epoch, 0, 0, False, None
            stream.acks_later = 0
            self._index.streams.save(shard, epoch, 0, 0)

    # -- what goes back

    def listens(self, shard: str) -> None:
        """A shard, if it is one, hears replies from now on. What it was told before it may not have heard. So it is told again
        at once: which frames were lost with the last aggregator, and what is asked of it."""
        stream = self.streams.get(shard)
        if stream is None:
            return
        if stream.epoch or self._syncs.of(shard):
            stream.touched = True
        self._look_requests.ask_again(shard, self._ownership.owners)
        self._index.debts.ask_again()

    def replies(self, *, touched_only: bool, now: float = 0.0) -> list[tuple[str, Reply]]:
        """What is sent to the shards of the plan: acknowledgements, and what is asked of them. Call it after the commit.

        `touched_only`: only to shards with something new that cannot wait, between two beats. At a beat, all are told again what
        may have been lost, but a shard whose own beat shows that it knows everything is spared the message, and a wake-up.
        """
        # Every turn asks; a generator would take longer than the answer.
        if touched_only and not self._index.debts.changed and True not in [stream.touched for stream in self.streams.values()]:
            return []
        looks = self._looks_to_ask_for(beat=not touched_only, now=now)
        pollers = sum(stream.beat is not None and stream.beat.polled > 0 for stream in self.streams.values())
        found = []
        for shard, stream in self.streams.items():
            if touched_only and not stream.touched and shard not in looks:
                continue
            syncs = self._syncs.of(shard)
            reply = Reply(
                WIRE_VERSION, self.life, stream.epoch, stream.committed, stream.resend, syncs, looks.get(shard, []),
                self._service, self.verification.asked(shard, now), pollers, self.plan.generation if self.plan else 0,
            )  # fmt: skip
            if stream.touched or stream.acks_later or not self._knows(stream, reply):
                found.append((shard, reply))
                stream.told = reply
            stream.touched, stream.acks_later = False, 0
        if found:
            self._syncs.asked()
        return found

    def _knows(self, stream: ReceivedStream, reply: Reply) -> bool:
        """Whether a shard has shown that it knows what this reply says."""
        beat = stream.beat
        asks = reply.resend or reply.syncs or reply.looks or reply.checks
        return (
            beat is not None and not asks and reply == stream.told
            and (beat.life, beat.epoch, beat.unacked) == (self.life, stream.epoch, 0)
        )  # fmt: skip

    def _looks_to_ask_for(self, *, beat: bool, now: float) -> Requests:
        debts = self._index.debts
        if beat:
            self._complete_debts()
        owed = self._index.owed if debts.changed or beat else {}
        debts.asked()
        if beat:
            self._look_requests.begin_beat(len(owed), now)
        return self._look_requests.choose(owed, self._ownership.owners, now, awaited=bool(self._syncs.awaiting_looks()))

    def _complete_debts(self) -> None:
        self._index.debts.expand(self._index.begin, self._index.commit)

    @property
    def searching(self) -> bool:
        """Whether files with several names are being gone through (`search`)."""
        return self._index.debts.searching

    def search(self) -> None:
        """Goes on with that, for some 10 to 50 ms, in a transaction of its own."""
        self._index.debts.search(self._index.begin, self._index.commit)

    def look(self, paths: Sequence[bytes]) -> int:
        """Records that a look is owed at each of these paths that has an owner, and commits. Returns their number."""
        self._index.begin()
        owned = 0
        for path in paths:
            directory, name = os.path.split(path)
            if name and self._ownership.owners.of(directory) is not None:
                self._index.debts.owe(directory, name)
                owned += 1
        self._index.commit()
        return owned

    # -- readiness

    def baselines(self) -> tuple[int, int]:
        """(shards of the plan whose baseline is committed and which are alive in this life, shards of the plan)."""
        if self.plan is None:
            return 0, 0
        done = sum(
            1 for shard, s in self.streams.items() if self._ownership.is_complete(shard, s.baseline) and s.heard_at is not None
        )
        return done, len(self.streams)

    def discount(self, stall_s: float) -> None:
        """Tells the receiver that the caller itself stood still for `stall_s` seconds, so that no shard counts as silent during
        that time.
        """
        for stream in self.streams.values():
            if stream.heard_at is not None:
                stream.heard_at += stall_s

    # -- syncs

    def begin_sync(self, deadline: float) -> int:
        """Begins a sync of all shards of the plan, which are asked with the next replies. Returns a token for `sync_result`.

        It is the plan on disk that counts, so what a shard was just given is looked at, too.
        """
        if self.reload_plan():
            self._index.commit()
        token, new = self._syncs.begin(self.streams, deadline)
        if new:
            self._syncs.await_partly(token, self._index.debts.add_partly(self._index.debts.wall_ns()))
            for stream in self.streams.values():
                stream.touched = True
        return token

    def finish_syncs(self, now: float) -> None:
        """Finishes syncs that all shards have answered, or whose time is up. Call it after each commit, and at regular
        intervals.
        """
        if not self._syncs:
            return
        plan, awaiting = self.plan, self._syncs.awaiting_looks()
        self._syncs.finish(
            now,
            lambda shard: [a.path for a in plan.of(shard)] if plan else [],
            planned=plan is not None and bool(self.streams),
            fit=not self._index.unfit,
            searching=self._index.debts.unsure,
            gone_through=self._index.debts.gone_through,
        )
        if not self._syncs.awaiting_looks() <= awaiting:
            self._index.debts.ask_again()  # some may have been put off until the next beat

    def sync_result(self, token: int) -> dict[str, object] | None:
        """The outcome, which is returned once. None while it is not known yet."""
        return self._syncs.result(token)

    def forget_sync(self, token: int) -> None:
        """Nobody asks for the outcome of this sync any more. Idempotent."""
        self._syncs.forget(token)

    @property
    def syncing(self) -> bool:
        """Whether a sync waits for shards, or for what they say."""
        return bool(self._syncs)

    def next_deadline(self) -> float | None:
        return self._syncs.next_deadline()
