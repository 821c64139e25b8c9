"""The running engine as requests see it: status, readiness and syncs."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from typing import Final

from msgspec.structs import asdict

from shardwatch.shard.contract.files.paths import Nearest
from shardwatch.shard.contract.limits import SILENT_S
from shardwatch.shard.contract.process.memory_cap import memory_state
from shardwatch.shard.contract.process.priority import PriorityRefusal
from shardwatch.shard.contract.state.planfile import with_roots
from shardwatch.shard.contract.state.settings import Settings

from ..index.index import Index
from .receive import ReceivedStream, Receiver

#: Represents the lock files of shards that have not been heard yet.
_NOT_HEARD: Final = b"a start: not every shard has been heard"


class Engine:
    """Reads what the receiver and the index know. No I/O of its own."""

    def __init__(
        self,
        index: Index,
        receiver: Receiver,
        settings: Settings,
        notes: list[str],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._index = index
        self._receiver = receiver
        self._settings = settings
        self._notes = notes
        self._clock = clock
        self._begun = clock()
        #: Frames that could not be decoded.
        self.refused = 0
        #: Bytes that this process has, and that it had at first; and what it was refused.
        self._memory = (0, 0)
        self._priority = PriorityRefusal()

    def ready(self) -> dict[str, object] | None:
        """Counts, if the baseline of every shard of the plan is committed and the shards are alive; otherwise None."""
        done, planned = self._receiver.baselines()
        if not planned or done < planned or self._index.unfit:
            return None
        plan = self._receiver.plan
        assert plan is not None
        return {
            "files": self._index.files,
            "directories": self._directories(),
            "shards": planned,
            "backend": self._backend(),
            "generation": plan.generation,
            "tick": self._index.tick,
        }

    def progress(self) -> dict[str, object]:
        """How far the baselines are."""
        done, planned = self._receiver.baselines()
        beats = [s.beat for s in self._receiver.streams.values() if s.beat is not None]
        return {
            "shards_ready": done,
            "shards": planned,
            "files": self._index.files,
            "directories": sum(b.directories for b in beats),
        }

    @property
    def _in_force(self) -> Settings:
        """The settings, with the roots of the plan in force."""
        return with_roots(self._settings, self._receiver.plan)

    def take_over(self, settings: Settings) -> None:
        """Tells of these settings from now on. They differ in what shards do, and in roots, of which the plan tells."""
        self._settings = settings

    def tell_own(self, memory: int, needed: int, refused: PriorityRefusal) -> None:
        """How this process stands with its limits, for `status`."""
        self._memory = (memory, needed)
        self._priority = refused

    def begin_sync(self, timeout_s: float) -> int:
        return self._receiver.begin_sync(self._clock() + timeout_s)

    def sync_result(self, token: int) -> dict[str, object] | None:
        result = self._receiver.sync_result(token)
        for paths in ("subtrees", "left_out"):
            if result is not None and paths in result:
                result[paths] = [_text(path) for path in result[paths]]  # type: ignore[attr-defined]
        return result

    def forget_sync(self, token: int) -> None:
        self._receiver.forget_sync(token)

    def look(self, paths: Sequence[bytes]) -> int:
        """Asks the owners to look at these paths again, and returns how many paths have an owner. A following sync waits for
        these looks.
        """
        return self._receiver.look(paths)

    def locks(self) -> set[bytes]:
        """Lock files of version control that exist, as far as the shards have reported.

        In the first seconds of a life, a shard that has not yet reported its lock files counts as one. Otherwise batches that
        were pending before a restart could be handed out in the middle of a checkout.
        """
        streams = self._receiver.streams.values()
        found: set[bytes] = set()
        for stream in streams:
            if stream.locks:
                found.update(stream.locks)
        if self._settings.hold_for_vcs and self._clock() < self._begun + SILENT_S and any(s.beat is None for s in streams):
            found.add(_NOT_HEARD)
        return found

    def status(self) -> dict[str, object]:
        """What `shardwatch status --json` shows of the engine (docs/formats.md)."""
        now = self._clock()
        receiver = self._receiver
        plan = receiver.plan
        return {
            "ready": self.ready() is not None,
            "generation": plan.generation if plan else 0,
            "roots": [_text(path) for path in self._in_force.named()],
            "files": self._index.files,
            "directories": self._directories(),
            "tick": self._index.tick,
            "backend": self._backend(),
            "durability": self._settings.durability,
            "storage": None,
            "frames": receiver.frames,
            "duplicates": receiver.duplicates,
            "gaps": receiver.gaps,
            "dropped": receiver.dropped,
            "foreign": receiver.foreign,
            "refused": self.refused,
            "rows_written": self._index.written,
            "pages": asdict(self._index.turnover),
            "shards": [self._shard(shard, stream, now) for shard, stream in sorted(receiver.streams.items())],
            "degraded": self._degraded(),
            "polling": self._polling(),
            "verification": self._verification(),
            "memory": self._memory_of_each(),
            "priority": {"refused": self._priority.what, "remedy": self._priority.remedy},
            "notes": list(self._notes),
            "nothing_watched": self._nothing_watched(),
        }

    def _nothing_watched(self) -> str:
        """Why no file is watched, after everything was looked at and no file was found; otherwise "". This is rarely intended."""
        settings = self._in_force
        if self._index.files or not settings.roots or self.ready() is None:
            return ""
        others = sum(stream.beat.filtered for stream in self._receiver.streams.values() if stream.beat is not None)
        if not others:
            roots = ", ".join(_text(root) for root in settings.roots[:3]) + (", ..." if len(settings.roots) > 3 else "")
            return f"no file is watched: there is none in {roots}, apart from excluded directories"
        shown = ", ".join(settings.include[:4]) + (", ..." if len(settings.include) > 4 else "")
        return f"no file is watched: {others:,} names exist, and the patterns include none of them; include is {shown}"

    def _backend(self) -> str:
        """The backends that the shards report, or those of the plan for shards that have not reported yet."""
        plan = self._receiver.plan
        names: set[str] = set()
        for shard, stream in self._receiver.streams.items():
            names |= {stream.beat.backend} if stream.beat else {a.backend for a in plan.of(shard)} if plan else set()
        return "+".join(sorted(names)) or "none"

    def _directories(self) -> int:
        """The number of directories that are known, including the roots (a root is not an entry of a directory, so it has no
        row, unless it lies in another one).
        """
        missing = {d.path for s in self._receiver.streams.values() if s.beat for d in s.beat.doubts if d.state == "missing"}
        roots = set(self._in_force.roots)
        nearest = Nearest(roots)
        inner = [root for root in roots if nearest.of(os.path.dirname(root)) not in (None, root)]
        entries = {root for root in inner if self._index.has_directory(root)}
        return self._index.directories + len(roots - missing - entries)

    def _shard(self, shard: str, stream: ReceivedStream, now: float) -> dict[str, object]:
        plan = self._receiver.plan
        anchors = [_text(a.path) for a in plan.of(shard)] if plan else []
        silent = None if stream.heard_at is None else round(now - stream.heard_at, 1)
        found: dict[str, object] = {"id": shard, "epoch": stream.epoch, "anchors": anchors, "silent_s": silent}
        beat = stream.beat
        other = stream.other_version_at is not None and now - stream.other_version_at <= SILENT_S
        if beat is None:
            return {**found, "state": "other version" if other else "absent"}
        state = beat.state
        if other:
            state = "other version"
        elif silent is not None and silent > SILENT_S:
            state = "silent"
        return {
            **found,
            "state": state,
            "pid": beat.pid,
            "backend": beat.backend,
            "native_code": beat.native_code,
            "directories": beat.directories,
            "files": beat.files,
            "watches": beat.watches,
            "polled": beat.polled,
            "unreadable": beat.unreadable,
            "pending": beat.pending,
            "unacked": beat.unacked,
            "overflows": beat.overflows,
            "rescans": beat.rescans,
            "hints": beat.hints,
            "looks": beat.looks,
            "filtered": beat.filtered,
            "others": beat.others,
            "ignore_files": beat.ignore_files,
            "resent": beat.resent,
            "busiest": [{"path": _text(path), "per_minute": count} for path, count in beat.busiest],
            "rescan_pause_ms": beat.rescan_pause_ms,
            "rescan_owed": beat.rescan_owed,
            "verified": beat.verifying.names,
            "verify_passes": beat.verifying.passes,
            "verify_period_s": beat.verifying.period_s,
            "findings": self._receiver.verification.findings[shard],
            "taking_on": asdict(beat.taking_on) if beat.taking_on.generation else None,
        }

    def _verification(self) -> dict[str, object]:
        """The progress of the verification in all shards, and what it has found."""
        found = self._receiver.verification
        beats = [s.beat.verifying for s in self._receiver.streams.values() if s.beat is not None]
        return {
            "period_s": self._settings.verify_period_s,
            "takes_s": max((b.period_s for b in beats), default=0),
            "verified": sum(b.names for b in beats),
            "passes": min((b.passes for b in beats), default=0),
            "findings": found.findings.total(),
            "recent": [
                {"shard": shard, "path": _text(path), "what": what, "seen": at / 1e9} for shard, path, what, at in found.recent
            ],
        }

    def _polling(self) -> dict[str, object] | None:
        """How the directories without a watch are looked at, in all shards; None if there are none."""
        found = [s.beat.polling for s in self._receiver.streams.values() if s.beat is not None and s.beat.polling.tiers]
        if not found:
            return None
        return {
            "poll_ms_max": self._settings.poll_ms_max,
            "poll_cpu_percent": self._settings.poll_cpu_percent,
            "cpu_percent": round(sum(polling.cpu_percent for polling in found), 2),
            "needed_percent": round(sum(polling.needed_percent for polling in found), 2),
            "for_want_of_watches": sum(polling.wanting for polling in found),
            "tiers": [
                {
                    "tier": same[0].name,
                    "directories": sum(tier.directories for tier in same),
                    "bound_s": max(tier.bound_ms if tier.directories else 0 for tier in same) / 1000,
                }
                for same in zip(*(polling.tiers for polling in found), strict=False)
            ],
        }

    def _memory_of_each(self) -> dict[str, object] | None:
        """How each process stands with `memory_mib_max`; None if there is no such limit."""
        mib_max = self._settings.memory_mib_max
        if not mib_max:
            return None
        found = [("aggregator", *self._memory)]
        for shard, stream in sorted(self._receiver.streams.items()):
            if stream.beat is not None:
                found.append((f"shards:{shard}", stream.beat.memory, stream.beat.memory_needed))
        return {
            "mib_max": mib_max,
            "programs": [
                {"name": name, "bytes": has, "needed_bytes": needed, "state": memory_state(has, needed, mib_max)}
                for name, has, needed in found
            ],
        }

    def _degraded(self) -> list[dict[str, object]]:
        found: list[dict[str, object]] = []
        for shard, stream in sorted(self._receiver.streams.items()):
            if stream.beat is not None:
                found += [
                    {
                        "shard": shard, "path": _text(d.path), "state": d.state, "reason": d.reason, "remedy": d.remedy,
                        "directories": d.directories,
                    }
                    for d in stream.beat.doubts
                ]  # fmt: skip
        return found


def _text(path: bytes) -> str:
    return path.decode("utf-8", "replace")
