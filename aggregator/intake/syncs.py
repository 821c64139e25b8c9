"""Syncs: which shards have answered, which looks are still owed, and which requests wait. Used by `receive` only. Does no
input or output.

All requests that arrive before the shards are asked for a sync share that sync. So there are few syncs, however many
requests there are.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Final

from msgspec import Struct

from .look_requests import Owed

#: The most subtrees that an answer names.
_NAMED_MAX: Final = 20


class _Sync(Struct):
    #: Shards that have not answered yet.
    waiting: set[str]
    #: The requests that wait for it, by token, and until when.
    callers: dict[int, float] = {}
    #: What could not be looked at, and may differ from what is known.
    doubts: list[bytes] = []
    #: What could never be looked at.
    left_out: list[bytes] = []
    #: The files of which not every name is known are gone through for it when so many were (`Debts.gone_through`).
    gone_through: int = 0
    #: (directory, name, since): looks that followed from what was seen when the last shard had answered.
    owed: list[tuple[bytes, bytes, int]] | None = None


class Syncs:
    """Owned by one thread.

    Args:
        complete: called before `owed`; brings what `owed` returns up to date.
        owed: returns the looks that have to be made again by now.
        known: whether the index has ever known what is in a directory, or below it.
    """

    def __init__(
        self, complete: Callable[[], object], owed: Callable[[], Owed], known: Callable[[bytes], bool]
    ) -> None:
        self._complete = complete
        self._owed = owed
        self._known = known
        self._syncs: dict[int, _Sync] = {}
        #: Syncs by the token of the request that began them; and the one that no shard has been asked for yet.
        self._unasked: int | None = None
        self._results: dict[int, dict[str, object]] = {}

    def __bool__(self) -> bool:
        """Whether any request waits for a sync."""
        return bool(self._syncs)

    def begin(self, shards: Iterable[str], deadline: float) -> tuple[int, bool]:
        """Adds a request. Returns its token, and whether the shards have to be asked for a new sync."""
        token = int.from_bytes(os.urandom(6))
        sync = self._syncs.get(self._unasked) if self._unasked is not None else None
        new = sync is None
        if sync is None:
            self._unasked = token
            sync = self._syncs[token] = _Sync(set(shards))
        sync.callers[token] = deadline
        return token, new

    def await_partly(self, token: int, gone_through: int) -> None:
        """The sync that this request has begun waits until so many files were gone through (`Debts.add_partly`)."""
        self._syncs[token].gone_through = gone_through

    def replanned(self, shards: Iterable[str]) -> None:
        """There are other shards, or shards that own something else. The answers so far covered what the shards owned then."""
        for sync in self._syncs.values():
            sync.waiting, sync.doubts, sync.left_out, sync.owed = set(shards), [], [], None

    def of(self, shard: str) -> list[int]:
        """The syncs that this shard has yet to answer."""
        return [number for number, sync in self._syncs.items() if shard in sync.waiting]

    def awaiting_looks(self) -> set[int]:
        """Those that all shards have answered, and that wait for looks that are still owed."""
        return {number for number, sync in self._syncs.items() if sync.owed}

    def asked(self) -> None:
        """Shards were sent what `of` says."""
        self._unasked = None

    def answered(self, number: int, shard: str, doubts: list[bytes], left_out: list[bytes]) -> None:
        sync = self._syncs.get(number)
        if sync is not None and shard in sync.waiting:
            sync.waiting.discard(shard)
            for path in left_out:
                (sync.doubts if self._known(path) else sync.left_out).append(path)
            sync.doubts += doubts

    def finish(
        self, now: float, subtrees: Callable[[str], list[bytes]], *, planned: bool, fit: bool = True,
        searching: bool = False, gone_through: int = 0,
    ) -> None:  # fmt: skip
        """Finishes syncs that all shards have answered, and tells who has waited long enough what is missing.

        `subtrees`: what a shard owns. `planned`: there is a plan, with shards. `fit`: the rows are those of the settings.
        `searching`: more looks may be owed than is known. `gone_through`: as of `await_partly`.
        """
        unsure = searching
        for number, sync in list(self._syncs.items()):
            searching = unsure or gone_through < sync.gone_through
            result = self._outcome(sync, fit=fit, searching=searching) if planned else None
            for token, deadline in list(sync.callers.items()):
                if result is not None or now >= deadline:
                    self._results[token] = dict(
                        result or self._late(sync, subtrees, planned=planned, fit=fit, searching=searching)
                    )
                    del sync.callers[token]
            if not sync.callers:
                del self._syncs[number]

    def _outcome(self, sync: _Sync, *, fit: bool, searching: bool) -> dict[str, object] | None:
        if sync.waiting:
            return None
        if sync.doubts:
            return {"ok": False, "error": "some subtrees can't be read", "subtrees": sync.doubts[:_NAMED_MAX]}
        if not fit or searching or self._still_owed(sync):
            return None
        return {"ok": True, "left_out": sync.left_out[:_NAMED_MAX]} if sync.left_out else {"ok": True}

    def _late(
        self, sync: _Sync, subtrees: Callable[[str], list[bytes]], *, planned: bool, fit: bool, searching: bool
    ) -> dict[str, object]:
        missing: list[bytes] = []
        if not planned:
            error = "there is no plan yet"
        elif sync.waiting:
            error = f"no answer from {', '.join(sorted(sync.waiting))}"
            missing = [path for shard in sorted(sync.waiting) for path in subtrees(shard)]
        elif not fit:
            error = "known paths are still being compared with the new roots and filters"
        elif searching:
            error = "other names of files with several names are still being looked for"
        else:
            error = "some directories were not looked at again in time"
            missing = sorted({path for path, _, _ in sync.owed or ()})
        return {"ok": False, "error": error, "subtrees": missing[:_NAMED_MAX]}

    def _still_owed(self, sync: _Sync) -> bool:
        """Whether a look is still owed that was owed when the last shard answered, because it follows from what that shard saw.
        Looks that became owed later are not waited for. Otherwise a file with two names that is written all the time would
        delay every sync.
        """
        if sync.owed is None:
            self._complete()
            sync.owed = [(path, name, debt[0]) for path, names in self._owed().items() for name, debt in names.items()]
        if sync.owed:
            owed = self._owed()
            sync.owed = [x for x in sync.owed if owed.get(x[0], {}).get(x[1], (None,))[0] == x[2]]
        return bool(sync.owed)

    def result(self, token: int) -> dict[str, object] | None:
        """The outcome, once: None while it is not known yet."""
        return self._results.pop(token, None)

    def forget(self, token: int) -> None:
        """The request is gone, or was given its outcome: it waits no longer, and no shard is asked for its sake. Idempotent."""
        self._results.pop(token, None)
        for number, sync in list(self._syncs.items()):
            if sync.callers.pop(token, None) is not None and not sync.callers:
                del self._syncs[number]

    def next_deadline(self) -> float | None:
        if not self._syncs:
            return None
        return min((at for sync in self._syncs.values() for at in sync.callers.values()), default=None)
