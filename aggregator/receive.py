"""Streams of the shards: order, gaps, epochs, acks, baselines, syncs. Knows no socket and no clock.

See ARCHITECTURE.md, "One writer for every row": frame n+1 of an epoch is applied only after frame n, in the transaction that
stores n.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import islice

from shardwatch.aggregator.index import Index
from shardwatch.aggregator.verification import Verification
from shardwatch.shard.contract.limits import WIRE_VERSION
from shardwatch.shard.contract.planfile import Owners, Plan
from shardwatch.shard.contract.wire import (
    Baseline,
    Beat,
    Check,
    Confirmed,
    Frame,
    Gone,
    Listing,
    Looks,
    Reply,
    Synced,
    Verified,
)  # fmt: skip

#: Directories one reply asks a shard to look at again; the rest is asked for with the next.
_LOOKS_MAX = 100
#: Directories in which something is owed that one reply considers.
_OWED_MAX = 10_000
#: Names of one directory that are asked for one by one: a reply must not outgrow a frame.
_LOOK_NAMES_MAX = 100


@dataclass
class Stream:
    """What is known of one shard of the plan."""

    epoch: int = 0
    #: Number of the last frame applied; durable after the next commit.
    committed: int = 0
    #: Plan generation whose baseline this epoch has finished.
    baseline: int = 0
    resend: bool = False
    #: Applied something since the last reply.
    touched: bool = False
    beat: Beat | None = None
    #: Lock files of version control that the shard saw last; a successor tells anew.
    locks: tuple[bytes, ...] = ()
    #: When the last beat or frame came (the caller's clock, seconds), None: never in this life.
    heard_at: float | None = None


@dataclass
class _Sync:
    #: Shards that have not answered yet.
    waiting: set[str]
    deadline: float
    doubts: list[bytes] = field(default_factory=list)
    #: (directory, name, since): looks that followed from what was seen when the last shard had answered.
    owed: list[tuple[bytes, bytes, int]] | None = None


class Receiver:
    """Applies frames to the index and keeps what has to be answered.

    Args:
        read_plan: gives the plan on disk, or None; called for each frame of another generation than the plan's.
        service: which running service this is; frames of any other are refused.
    """

    def __init__(self, index: Index, read_plan: Callable[[], Plan | None], *, service: str = "") -> None:
        self._index = index
        self._read_plan = read_plan
        self._service = service
        self.incarnation = secrets.token_hex(8)
        self.plan: Plan | None = None
        self._owners = Owners(())
        self.streams: dict[str, Stream] = {}
        self._syncs: dict[int, _Sync] = {}
        self._results: dict[int, dict[str, object]] = {}
        #: Directories, and how many names in them, that were asked for since the last beat.
        self._asked: set[tuple[bytes, int]] = set()
        self.verification = Verification()
        self.frames = 0
        self.duplicates = 0
        self.gaps = 0
        #: Frames of dead epochs and records of former owners: covered by a later look, so dropped.
        self.dropped = 0
        #: Frames and beats of shards of another service, or that the plan does not name.
        self.foreign = 0
        index.begin()
        index.streams.serve(service)
        self.reload_plan()

    # -- plan

    def reload_plan(self) -> bool:
        """Takes over the plan on disk where it is another. Returns whether it was.

        What is on disk counts, also where its generation is lower: the plan before may have been removed, or another put back.
        """
        plan = self._read_plan()
        if plan is None or (self.plan is not None and plan.generation == self.plan.generation):
            return False
        self.plan = plan
        self._owners = Owners(plan.anchors)
        self._index.adopt(a.path for a in plan.anchors)
        known = self._index.streams.known()
        streams = {shard: self.streams.get(shard) or Stream(*known.get(shard, (0, 0, 0))) for shard in plan.shards()}
        for sync in self._syncs.values():
            # Whoever answered did so for what it owned then.
            sync.waiting, sync.doubts, sync.owed = set(streams), [], None
        self.streams = streams
        return True

    # -- frames

    def beat(self, beat: Beat, now: float) -> None:
        stream = self._stream(beat)
        if stream is None or beat.epoch < stream.epoch:
            self.dropped += stream is not None
            return
        self._begin_epoch(stream, beat.shard, beat.epoch)
        stream.beat = beat
        stream.locks = tuple(beat.locks)
        stream.heard_at = now

    def frame(self, frame: Frame, now: float) -> int:
        """Applies one frame, within the transaction that the caller commits; returns how many entries it held."""
        stream = self._stream(frame)
        if stream is None or frame.epoch < stream.epoch:
            self.dropped += stream is not None
            return 0
        self._begin_epoch(stream, frame.shard, frame.epoch)
        stream.heard_at = now
        stream.touched = True
        if frame.seq <= stream.committed:
            self.duplicates += 1
            return 0
        if frame.seq > stream.committed + 1:
            if not stream.resend:
                self.gaps += 1
            stream.resend = True
            return 0
        self._index.begin()
        entries = 0
        try:
            for record in frame.records:
                entries += self._apply(frame, stream, record, now)
            stream.resend = False
            stream.committed = frame.seq
            self._index.streams.save(frame.shard, stream.epoch, stream.committed, stream.baseline)
        except BaseException:
            self._index.rollback()  # the caller ends; half a frame must not be committed on its way out
            raise
        self.frames += 1
        return entries

    def _stream(self, message: Frame | Beat) -> Stream | None:
        if message.service != self._service:
            self.foreign += 1
            return None
        if self.plan is None or message.generation != self.plan.generation:
            self.reload_plan()
        stream = self.streams.get(message.shard)
        self.foreign += stream is None
        return stream

    def _begin_epoch(self, stream: Stream, shard: str, epoch: int) -> None:
        if epoch > stream.epoch:
            self._index.begin()
            stream.epoch, stream.committed, stream.baseline, stream.resend, stream.beat = epoch, 0, 0, False, None
            self._index.streams.save(shard, epoch, 0, 0)

    def _apply(self, frame: Frame, stream: Stream, record: object, now: float) -> int:
        if isinstance(record, Baseline):
            stream.baseline = record.generation
            return 0
        if isinstance(record, Synced):
            sync = self._syncs.get(record.token)
            # Under an older plan it answered for what it owned then; some of that may have been dropped here.
            if sync is not None and self.plan is not None and frame.generation == self.plan.generation:
                sync.waiting.discard(frame.shard)
                sync.doubts += record.doubts
            return 0
        assert isinstance(record, Listing | Looks | Gone | Check | Verified | Confirmed)
        owner = self._owners.of(record.path)
        if owner is None or owner.shard != frame.shard:
            self.dropped += 1
            return 0
        stops = [a.path for a in self._owners.below(record.path)]
        if isinstance(record, Listing):
            self._index.apply_listing(record, stops)
            return len(record.entries) + 1
        if isinstance(record, Looks):
            self._index.apply_looks(record, stops)
            return len(record.entries) + len(record.absent)
        if isinstance(record, Gone):
            if owner.path == record.path:
                self._index.apply_gone(record, stops)
            return 1
        return self._apply_unhinted(frame.shard, record, stops, now)

    def _apply_unhinted(self, shard: str, record: Check | Verified | Confirmed, stops: list[bytes], now: float) -> int:
        """What came of looks that no hint led to."""
        if isinstance(record, Confirmed):
            self._index.apply_confirmed(record)
            return len(record.entries)
        range_ = (record.path, record.after, record.upto)
        if isinstance(record, Check):
            if not self._index.folds_to(record):
                self.verification.differs(shard, range_, now)
            return record.names
        self.verification.answered(shard, range_, self._index.apply_verified(record, stops), record.at)
        return len(record.entries)

    # -- what goes back

    def replies(self, *, touched_only: bool, now: float = 0.0) -> list[tuple[str, Reply]]:
        """Acks for the shards of the plan; call after the commit."""
        found = []
        looks: dict[str, list[tuple[bytes, list[bytes]]]] = {}
        if not touched_only:
            self._asked.clear()  # it may have been lost
        asking = self._index.owed if self._index.debts.changed or not touched_only else {}
        self._index.debts.changed = False
        for directory, names in islice(asking.items(), _OWED_MAX):
            owner = self._owners.of(directory)
            question = (directory, len(names))
            if owner is None or question in self._asked or len(looks.get(owner.shard, ())) >= _LOOKS_MAX:
                continue
            self._asked.add(question)
            some = sorted(names) if len(names) <= _LOOK_NAMES_MAX else []
            looks.setdefault(owner.shard, []).append((directory, some))
        for shard, stream in self.streams.items():
            if touched_only and not stream.touched and shard not in looks:
                continue
            stream.touched = False
            syncs = [token for token, sync in self._syncs.items() if shard in sync.waiting]
            reply = Reply(
                WIRE_VERSION, self.incarnation, stream.epoch, stream.committed, stream.resend, syncs, looks.get(shard, []),
                self._service, self.verification.asked(shard, now),
            )  # fmt: skip
            found.append((shard, reply))
        return found

    def look(self, paths: Sequence[bytes]) -> int:
        """Owes a look at each of these paths that has an owner, and commits; returns how many."""
        self._index.begin()
        owned = 0
        for path in paths:
            directory, name = os.path.split(path)
            if name and self._owners.of(directory) is not None:
                self._index.owe(directory, name)
                owned += 1
        self._index.commit()
        return owned

    # -- readiness

    def baselines(self) -> tuple[int, int]:
        """(shards of the plan whose baseline is committed and which are alive in this life, shards of the plan)."""
        if self.plan is None:
            return 0, 0
        done = sum(1 for s in self.streams.values() if s.baseline == self.plan.generation and s.heard_at is not None)
        return done, len(self.streams)

    def discount(self, stall_s: float) -> None:
        """The caller's clock went on for `stall_s` seconds while the caller did not: nobody was silent for that."""
        for stream in self.streams.values():
            if stream.heard_at is not None:
                stream.heard_at += stall_s

    # -- syncs

    def begin_sync(self, deadline: float) -> int:
        """A new sync of all shards of the plan; they are asked with the next replies."""
        token = secrets.randbits(48)
        self._syncs[token] = _Sync(set(self.streams), deadline)
        self._index.debts.add_partly(self._index.debts.wall_ns())
        for stream in self.streams.values():
            stream.touched = True
        return token

    def settle_syncs(self, now: float) -> None:
        """Call after each commit, and now and then: finishes syncs that all shards have answered, or whose time is up."""
        for token, sync in list(self._syncs.items()):
            if self.plan is None or not self.streams:
                if now < sync.deadline:
                    continue
                result: dict[str, object] = {"ok": False, "error": "there is no plan yet", "subtrees": []}
            elif not sync.waiting and sync.doubts:
                result = {"ok": False, "error": "some subtrees can't be read", "subtrees": sync.doubts[:20]}
            elif not sync.waiting and not self._index.unfit and not self._still_owed(sync):
                result = {"ok": True}
            elif now < sync.deadline:
                continue
            elif not sync.waiting and self._index.unfit:
                error = "known paths are still being compared with the new roots and filters"
                result = {"ok": False, "error": error, "subtrees": []}
            elif not sync.waiting:
                subtrees = sorted({path for path, _, _ in sync.owed or ()})
                result = {"ok": False, "error": "some directories were not looked at again in time", "subtrees": subtrees[:20]}
            else:
                subtrees = [a.path for shard in sorted(sync.waiting) for a in self.plan.of(shard)]
                result = {"ok": False, "error": f"no answer from {', '.join(sorted(sync.waiting))}", "subtrees": subtrees[:20]}
            del self._syncs[token]
            self._results[token] = result

    def _still_owed(self, sync: _Sync) -> bool:
        """Whether a look that was owed when the last shard had answered is owed still: it follows from what was seen. What
        came later is not waited for: a file with two names that is always being written would hold up every sync."""
        owed = self._index.owed
        if sync.owed is None:
            sync.owed = [(path, name, debt[0]) for path, names in owed.items() for name, debt in names.items()]
        sync.owed = [x for x in sync.owed if owed.get(x[0], {}).get(x[1], (None,))[0] == x[2]]
        return bool(sync.owed)

    def sync_result(self, token: int) -> dict[str, object] | None:
        """The outcome, once: None while it is not known yet."""
        return self._results.pop(token, None)

    def next_deadline(self) -> float | None:
        return min((sync.deadline for sync in self._syncs.values()), default=None)
