"""Answers syncs: makes the looks that they require, and then says so in the stream.

All syncs that come while one waits for its turn are answered by that one. It takes over what is pending when it begins, so that
changes that come later cannot delay it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection
from typing import Final, NamedTuple

from ..contract.wire.frames import Synced
from ..stream.send import Stream
from ..territory.anchors import is_to_be_scanned, scan_anchor
from ..territory.ignoring import follow_ignore_files
from ..territory.sweep import list_unlinked, look_at_links, retry_doubts, sweep
from ..territory.territory import Steps, Territory
from ..territory.together import Waiting, look_together
from .arrivals import Hinted, enter
from .scans import Scans
from .syncs import SyncTokens

#: Unreadable subtrees that an answer names.
_DOUBTS_TOLD: Final = 20


class Pending(NamedTuple):
    """What was pending when a sync began."""

    #: Looks that are begun, or that the aggregator asked for.
    looks: list[Steps]
    #: Directories that appeared or disappeared.
    directories: Hinted
    #: Names with hints.
    names: deque[Waiting]


class SyncAnswers:
    """Owned by one thread.

    Args:
        beside: single looks, which are made beside the scans.
        take_over: takes in all hints that there are by now, has what they require scanned, and returns what else is pending,
            which nobody but the sync looks at then.
    """

    def __init__(
        self,
        territory: Territory,
        stream: Stream,
        scans: Scans,
        beside: deque[Steps],
        take_over: Callable[[], Pending],
    ) -> None:
        self._territory = territory
        self._stream = stream
        self._scans = scans
        self._beside = beside
        self._take_over = take_over
        self._tokens = SyncTokens()
        #: How often one or several were answered.
        self.answered = 0
        #: Whether a job that begins a sync waits for its turn.
        self._queued = False

    def __bool__(self) -> bool:
        """Whether a sync is still to be answered."""
        return bool(self._tokens)

    def ask(self, token: int) -> None:
        """Answers `token` in the stream once everything that was queued in the kernel by now has been looked at. Idempotent."""
        if self._tokens.knows(token):
            return
        self._tokens.ask(token)
        self._queue()

    def _queue(self) -> None:
        if not self._queued:
            self._queued = True
            self._scans.append(self._begin())

    def keep(self, tokens: Collection[int]) -> None:
        """Forgets the syncs that are not among these, because their callers have given up."""
        self._tokens.keep(tokens)

    def begin_anew(self) -> None:
        """Syncs that were begun or answered under an earlier plan begin anew. The aggregator may have asked for them before this
        shard went on with the plan, and would ask again only with its next beat."""
        if self._tokens.begin_anew():
            self._queue()

    def clear(self) -> None:
        """Forgets everything, for a new epoch."""
        self._tokens.clear()
        self._queued = False

    def _begin(self) -> Steps:
        """Takes over what is pending, for all syncs that wait by now. It is looked at beside the scans that wait, which do not
        delay it so, and the syncs are answered after both."""
        self._queued = False
        self._tokens.begin()
        if not self._tokens.under_way:
            return
        looks = self._look_at(self._take_over())
        self._beside.append(looks)
        self._scans.append(self._answer(looks))
        yield

    def _look_at(self, pending: Pending) -> Steps:
        territory = self._territory
        for job in pending.looks:
            yield from job
        for (node, name), arrival in pending.directories.items():
            yield from enter(territory, node, name, arrival)
            yield
        while pending.names:
            for rest in look_together(territory, pending.names):
                yield from rest
            yield

    def _answer(self, looks: Steps) -> Steps:
        """`looks`: at what was pending when the sync began, as far as they are not made yet."""
        territory = self._territory
        yield from looks
        yield from list_unlinked(territory)
        for _ in sweep(territory) if territory.sweeps else ():
            if not self._tokens.under_way:
                return  # nobody waits for it any more, and what is swept is swept again
            yield
        if territory.doubts:
            yield from retry_doubts(territory)
        yield from look_at_links(territory)
        if territory.ignores is not None:
            territory.ignores.look_outside()
            yield from follow_ignore_files(territory)
        for place in territory.places:  # they stay, since nothing is passed on in between
            if is_to_be_scanned(territory, place):  # a look went astray: the anchor was away
                yield from scan_anchor(territory, place)
        self.answered += 1
        for token in self._tokens.answer():
            self._stream.add(Synced(token, *territory.doubts.unreadable(_DOUBTS_TOLD, silent=territory.heirs.indexes)))
        yield
