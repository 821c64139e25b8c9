"""Streams of the shards: order, gaps, epochs, acks, baselines, syncs. Knows no socket and no clock.

See ARCHITECTURE.md, "One writer for every row": frame n+1 of an epoch is applied only after frame n, in the transaction that
stores n.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field

from shardwatch.aggregator.index import Index
from shardwatch.shard.contract.limits import WIRE_VERSION
from shardwatch.shard.contract.planfile import Owners, Plan
from shardwatch.shard.contract.wire import Baseline, Beat, Frame, Gone, Listing, Looks, Reply, Synced

#: Directories one reply asks a shard to look at again; the rest is asked for with the next.
_LOOKS_MAX = 100


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
    #: When the last beat or frame came (the caller's clock, seconds), None: never in this life.
    heard_at: float | None = None


@dataclass
class _Sync:
    #: Shards that have not answered yet.
    waiting: set[str]
    deadline: float
    doubts: list[bytes] = field(default_factory=list)


class Receiver:
    """Applies frames to the index and keeps what has to be answered.

    Args:
        read_plan: gives the plan on disk, or None; called when a frame names a generation that is not known yet.
    """

    def __init__(self, index: Index, read_plan: Callable[[], Plan | None]) -> None:
        self._index = index
        self._read_plan = read_plan
        self.incarnation = secrets.token_hex(8)
        self.plan: Plan | None = None
        self._owners = Owners(())
        self.streams: dict[str, Stream] = {}
        self._known = index.streams()
        self._syncs: dict[int, _Sync] = {}
        self._results: dict[int, dict[str, object]] = {}
        self.frames = 0
        self.duplicates = 0
        self.gaps = 0
        #: Frames of dead epochs and records of former owners: covered by a later look, so dropped.
        self.dropped = 0
        self.reload_plan()

    # -- plan

    def reload_plan(self) -> bool:
        """Takes over the plan on disk where it is newer. Returns whether it was."""
        plan = self._read_plan()
        if plan is None or (self.plan is not None and plan.generation <= self.plan.generation):
            return False
        self.plan = plan
        self._owners = Owners(plan.anchors)
        self._index.adopt(a.path for a in plan.anchors)
        streams = {}
        for shard in plan.shards():
            epoch, committed, baseline = self._known.get(shard, (0, 0, 0))
            streams[shard] = self.streams.get(shard) or Stream(epoch, committed, baseline)
        for sync in self._syncs.values():
            sync.waiting = (sync.waiting & streams.keys()) | (streams.keys() - self.streams.keys())
        self.streams = streams
        return True

    # -- frames

    def beat(self, beat: Beat, now: float) -> None:
        stream = self._stream(beat.shard, beat.generation)
        if stream is None or beat.epoch < stream.epoch:
            self.dropped += 1
            return
        self._begin_epoch(stream, beat.shard, beat.epoch)
        stream.beat = beat
        stream.heard_at = now

    def frame(self, frame: Frame, now: float) -> int:
        """Applies one frame, within the transaction that the caller commits; returns how many entries it held."""
        stream = self._stream(frame.shard, frame.generation)
        if stream is None or frame.epoch < stream.epoch:
            self.dropped += 1
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
        for record in frame.records:
            entries += self._apply(frame, stream, record)
        stream.resend = False
        stream.committed = frame.seq
        self._index.save_stream(frame.shard, stream.epoch, stream.committed, stream.baseline)
        self.frames += 1
        return entries

    def _stream(self, shard: str, generation: int) -> Stream | None:
        if self.plan is None or generation > self.plan.generation:
            self.reload_plan()
        return self.streams.get(shard)

    def _begin_epoch(self, stream: Stream, shard: str, epoch: int) -> None:
        if epoch > stream.epoch:
            self._index.begin()
            stream.epoch, stream.committed, stream.baseline, stream.resend, stream.beat = epoch, 0, 0, False, None
            self._index.save_stream(shard, epoch, 0, 0)

    def _apply(self, frame: Frame, stream: Stream, record: object) -> int:
        if isinstance(record, Baseline):
            stream.baseline = record.generation
            return 0
        if isinstance(record, Synced):
            sync = self._syncs.get(record.token)
            if sync is not None:
                sync.waiting.discard(frame.shard)
                sync.doubts += record.doubts
            return 0
        assert isinstance(record, Listing | Looks | Gone)
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
        if owner.path == record.path:
            self._index.apply_gone(record, stops)
        return 1

    # -- what goes back

    def replies(self, *, touched_only: bool) -> list[tuple[str, Reply]]:
        """Acks for the shards of the plan; call after the commit."""
        found = []
        looks: dict[str, list[tuple[bytes, list[bytes]]]] = {}
        asking = self._index.owed if self._index.owed_grew or not touched_only else {}
        self._index.owed_grew = False
        for directory, names in asking.items():
            owner = self._owners.of(directory)
            if owner is not None and len(looks.setdefault(owner.shard, [])) < _LOOKS_MAX:
                looks[owner.shard].append((directory, sorted(names)))
        for shard, stream in self.streams.items():
            if touched_only and not stream.touched and shard not in looks:
                continue
            stream.touched = False
            syncs = [token for token, sync in self._syncs.items() if shard in sync.waiting]
            reply = Reply(
                WIRE_VERSION, self.incarnation, stream.epoch, stream.committed, stream.resend, syncs, looks.get(shard, [])
            )
            found.append((shard, reply))
        return found

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
            elif not sync.waiting and self._index.owed and now < sync.deadline:
                continue  # looks that follow from what was seen are part of the sync
            elif not sync.waiting and not sync.doubts:
                result = {"ok": True}
            elif not sync.waiting:
                result = {"ok": False, "error": "some subtrees can't be read", "subtrees": sync.doubts[:20]}
            elif now >= sync.deadline:
                subtrees = [a.path for shard in sorted(sync.waiting) for a in self.plan.of(shard)]
                result = {"ok": False, "error": f"no answer from {', '.join(sorted(sync.waiting))}", "subtrees": subtrees[:20]}
            else:
                continue
            del self._syncs[token]
            self._results[token] = result

    def sync_result(self, token: int) -> dict[str, object] | None:
        """The outcome, once: None while it is not known yet."""
        return self._results.pop(token, None)

    def next_deadline(self) -> float | None:
        return min((sync.deadline for sync in self._syncs.values()), default=None)
