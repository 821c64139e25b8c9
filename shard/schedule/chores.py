"""Begins the work that comes back again and again when it is due (`timetable`). Does no input or output itself: the steps that
are made here look at the disk.

Looks at what has no watch have their turn beside scans, which may be held back for long. All other work waits for its turn among
the scans.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

from ..backend.base import Backend
from ..contract.limits import ANCHOR_CHECK_S, next_beat
from ..territory.ignoring import follow_ignore_files
from ..territory.room import RETRY_NS
from ..territory.sweep import list_unlinked, retry_doubts, retry_links
from ..territory.territory import Steps, Territory
from .mount_changes import MountChanges
from .polling import Poller
from .rota import Rota
from .scans import Scans
from .steps import next_step
from .timetable import Recurring, Timetable

_DOUBT_RETRY_NS: Final = 2_000_000_000
#: A backend that may lose hints silently is rescanned this often.
_AUDIT_NS: Final = 60_000_000_000
#: Shortest pause between listings of directories for names that are not there, and the least part of the time that is pause.
_UNLINKED_NS: Final = 1_000_000_000
_UNLINKED_PAUSE_FACTOR: Final = 20


class Chores:
    """Owned by one thread.

    Args:
        scans: where the work waits for its turn.
        rota: the anchors that are compared each time.
        clock: monotonic, ns.
    """

    def __init__(
        self,
        territory: Territory,
        backend: Backend,
        scans: Scans,
        *,
        poller: Poller,
        mount_changes: MountChanges,
        rota: Rota,
        clock: Callable[[], int],
    ) -> None:
        self._territory = territory
        self._backend = backend
        self._scans = scans
        self._poller = poller
        self._mount_changes = mount_changes
        self._rota = rota
        self._clock = clock
        self.times = Timetable()
        #: Looks at what has no watch, which wait to be made.
        self.polls: deque[Steps] = deque()
        #: Whether a job that follows changed ignore files waits for its turn.
        self._ignores_queued = False

    @property
    def owes_ignores(self) -> bool:
        """Whether ignore files have changed, and this is not followed yet."""
        ignores = self._territory.ignores
        return ignores is not None and ignores.has_changed

    def clear(self) -> None:
        """Gives up what is under way, for a new epoch."""
        self.polls.clear()
        self._ignores_queued = False
        self.times.drop()

    def next_due(self) -> int | None:
        """When the next work is due, not later than the next look at the anchors; None while all of it is under way."""
        return min([at for work in self._wanted() if (at := work.next_due()) is not None], default=None)

    def _wanted(self) -> list[Recurring]:
        """The work for which there is anything to do: the anchors are compared in any case."""
        times, territory = self.times, self._territory
        wanted = [times.anchors]
        if territory.sweeps:
            wanted.append(times.sweep)
        if territory.directories.swept.wanting:
            wanted.append(times.room)
        if territory.doubts:
            wanted.append(times.doubts)
        if territory.links.bounds.freed:
            wanted.append(times.links)
        if territory.unlinked:
            wanted.append(times.unlinked)
        if self._backend.lossy:
            wanted.append(times.audit)
        return wanted

    def begin_due(self, now: int, *, baseline_done: bool) -> None:
        """Begins whatever is due. Before the baseline is done, nothing is polled, and there is no audit."""
        times, territory = self.times, self._territory
        if times.anchors.due(now):
            self._compare_anchors(now)
        if self.owes_ignores and not self._ignores_queued:
            self._ignores_queued = True
            self._scans.append(self._follow_ignores())
        self._scans.begin_owed(now)
        self._scans.pace.relax(now)
        if territory.doubts and times.doubts.due(now):
            times.doubts.begin()
            self._scans.append(self._retry())
        if territory.links.bounds.freed and times.links.due(now):
            times.links.put_off(now + _DOUBT_RETRY_NS)
            self._scans.append(retry_links(territory))
        if territory.unlinked and times.unlinked.due(now):
            times.unlinked.begin()
            self._scans.append(self._list_unlinked())
        if self._backend.lossy and times.audit.due(now):
            times.audit.put_off(now + _AUDIT_NS)
            if baseline_done:
                self._scans.rescan()
        if territory.sweeps and baseline_done and times.sweep.due(now):
            times.sweep.begin()
            self.polls.append(self._sweep())
        if territory.directories.swept.wanting and baseline_done and times.room.due(now):
            times.room.begin()
            self.polls.append(self._watch_more())

    def _compare_anchors(self, now: int) -> None:
        """Compares the table of mounts, the ignore files that lie outside of the roots, and the identities of anchors."""
        self.times.anchors.put_off(next_beat(now, int(ANCHOR_CHECK_S * 1e9)))
        self._mount_changes.report()
        if self._territory.ignores is not None:
            self._territory.ignores.look_outside(thorough=False)
        self._scans.check(self._rota.take(self._territory.places))

    def poll(self) -> bool:
        """Makes one step of the looks at what has no watch. Returns False if there is none."""
        return next_step(self.polls)

    def _follow_ignores(self) -> Steps:
        self._ignores_queued = False
        yield from follow_ignore_files(self._territory)

    def _retry(self) -> Steps:
        yield from retry_doubts(self._territory)
        self.times.doubts.end(self._clock() + _DOUBT_RETRY_NS)

    def _list_unlinked(self) -> Steps:
        """Of directories with hints about names that are not there. Who writes to such a file all the time costs little."""
        begun = self._clock()
        yield from list_unlinked(self._territory)
        now = self._clock()
        self.times.unlinked.end(now + max(_UNLINKED_NS, _UNLINKED_PAUSE_FACTOR * (now - begun)))

    def _sweep(self) -> Steps:
        yield from self._poller.run()
        self.times.sweep.end(self._poller.next_due())

    def _watch_more(self) -> Steps:
        self._territory.directories.activity.begin(self._clock())
        yield from self._poller.watch_more()
        self.times.room.end(next_beat(self._clock(), RETRY_NS))
