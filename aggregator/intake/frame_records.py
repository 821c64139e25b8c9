"""Applies the records of frames to the index: each of them if its sender owns what it is about.

Whether a frame is applied at all, in its order, is decided by `receive`, in whose transaction this is done. No socket, no clock.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from shardwatch.shard.contract.wire.frames import (
    Baseline,
    Check,
    Confirmed,
    Frame,
    Gone,
    Listing,
    Looks,
    Synced,
    Verified,
)  # fmt: skip

from ..index.index import Index
from ..index.scattered import suits
from ..index.verification import Verification
from .ownership import Ownership
from .syncs import Syncs

#: Records that concern a path, each to be applied only if its sender owns the path.
_ABOUT_PATHS: Final = (Listing, Looks, Gone, Check, Verified, Confirmed)


class Applied(NamedTuple):
    """What became of the records of one frame."""

    #: Names and directories that they told of, as far as they were applied.
    entries: int
    #: Records of former owners, or under former anchors. A later look covers them.
    dropped: int
    #: Plan generation whose baseline is finished with this frame; None: of none.
    baseline: int | None


class FrameRecords:
    """Applies records, within the transaction of the caller."""

    def __init__(self, index: Index, ownership: Ownership, verification: Verification, syncs: Syncs) -> None:
        self._index = index
        self._ownership = ownership
        self._verification = verification
        self._syncs = syncs

    def apply(self, frame: Frame, now: float) -> Applied:
        """Applies the records of one frame, in their order. `now`: as of `Receiver.frame`. Raises what the index raises; the
        transaction is to be rolled back then."""
        first, entries = self._first(frame)
        dropped = 0
        baseline: int | None = None
        looks: list[Looks] = []
        for record in frame.records[first:] if first else frame.records:
            if type(record) is Looks and suits(record):
                looks.append(record)
                continue
            if looks:
                some, others = self._looks(frame, looks, now)
                entries, dropped, looks = entries + some, dropped + others, []
            if isinstance(record, Baseline):
                baseline = record.generation
                continue
            found = self._one(frame, record, now)
            entries, dropped = entries + (found or 0), dropped + (found is None)
        some, others = self._looks(frame, looks, now)
        return Applied(entries + some, dropped + others, baseline)

    def _first(self, frame: Frame) -> tuple[int, int]:
        """Applies the records at the beginning of a frame that are first listings of directories, or listings of what has not
        changed, as far as that can be done at once. Returns how many there were, and their entries."""
        records = self._index.records
        if not (records.expects_first or records.expects_rest):
            return 0, 0
        listings: list[Listing] = []
        for record in frame.records:
            if type(record) is not Listing or self._ownership.owner(frame, record.path) is None:
                break
            listings.append(record)
        first = records.first(listings) if records.expects_first else records.held(listings)
        return first, first + sum(len(record.names) for record in listings[:first])

    def _looks(self, frame: Frame, looks: list[Looks], now: float) -> tuple[int, int]:
        """Applies records that `suits` holds of, as many at once as can be. Returns how many entries were applied, and how many
        records were dropped."""
        entries = dropped = 0
        if self._index.records.are_scattered(looks):
            ours = self._ownership.owned(frame, looks)
            dropped = len(looks) - len(ours)
            looks = self._index.records.scattered(ours)
            entries = _names(ours) - _names(looks)
        for record in looks:
            found = self._one(frame, record, now)
            entries, dropped = entries + (found or 0), dropped + (found is None)
        return entries, dropped

    def _one(self, frame: Frame, record: object, now: float) -> int | None:
        """Applies one record. Returns how many entries it held; None if it was dropped."""
        if isinstance(record, Synced):
            # Under an older plan it answered for what it owned then; it may have been given more since.
            if self._ownership.is_complete(frame.shard, frame.generation):
                self._syncs.answered(record.token, frame.shard, record.doubts, record.left_out)
            return 0
        assert isinstance(record, _ABOUT_PATHS)
        owner = self._ownership.owner(frame, record.path)
        if owner is None:
            return None
        stops = [a.path for a in self._ownership.owners.below(record.path)]
        if isinstance(record, Listing):
            self._index.records.listing(record, stops)
            return len(record.names) + 1
        if isinstance(record, Looks):
            self._index.records.looks(record, stops)
            return len(record.names) + len(record.absent)
        if isinstance(record, Gone):
            if owner.path == record.path:
                self._index.records.gone(record, stops)
            return 1
        return self._unhinted(frame.shard, record, stops, now)

    def _unhinted(self, shard: str, record: Check | Verified | Confirmed, stops: list[bytes], now: float) -> int:
        """Handles the results of looks that no hint has led to."""
        if isinstance(record, Confirmed):
            self._index.records.confirmed(record)
            return len(record.names)
        range_ = (record.path, record.after, record.upto)
        if isinstance(record, Check):
            if not self._index.records.folds_to(record):
                self._verification.differs(shard, range_, now)
            return record.count
        self._verification.answered(shard, range_, self._index.records.verified(record, stops), record.at)
        return len(record.names)


def _names(looks: Sequence[Looks]) -> int:
    """How many names these records have."""
    return sum([len(record.names) for record in looks])
