"""Decides what a shard does next: between the hints that arrive and the stream that is sent.

It uses no socket: the main loop passes in hints and calls it. There are five kinds of work, and in each turn each kind
gets a slice of time, so that none can block another:

- directories that appeared or disappeared (`arrivals`): they are entered at once, because their contents are not watched yet;
- names whose debounce time is over (`due_looks`);
- names that the aggregator asks for;
- looks at what has no watch (`chores`);
- scans (`scans`): for a baseline, a rescan or a sync. They may be held back.

When none of this waits, it looks once more at what was seen before (`rechecks`).
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Final, NamedTuple

from ..backend.base import Backend, Hints
from ..contract.limits import ACKS_LATER_FRAMES_MAX, PENDING_NAMES_MAX
from ..disk.mounts import Mounts
from ..stream.send import Stream
from ..territory.again import look_again
from ..territory.territory import Steps, Territory
from ..territory.verify import Verifier
from ..tree.nodes import Node
from .arrivals import Arrivals, enter
from .baselines import Baselines
from .busiest import Busiest
from .chores import Chores
from .debounce import Debounce
from .due_looks import DueLooks
from .handover import Handover
from .mount_changes import MountChanges
from .polling import Poller
from .rechecks import Rechecks
from .rota import Rota
from .scan_rate import ScanRate
from .scans import Scans
from .steps import next_step
from .sync_answers import Pending, SyncAnswers


class Bounds(NamedTuple):
    """How long a watcher does one kind of work, and how much of each kind may wait."""

    #: Time that each kind of work gets in a turn, ns. One step, of one directory or of several, may take it beyond that.
    slice_ns: int = 10_000_000
    #: Names that are debounced before they are merged into their directories.
    names_max: int = PENDING_NAMES_MAX
    #: Hints of directories that are kept before everything is rescanned instead.
    directories_max: int = 50_000
    #: Jobs that are kept when the aggregator asks for more while there is no credit. It asks again with its next beat.
    asked_max: int = 1_000
    #: Anchors whose identity is looked at in one turn, at least.
    anchors_min: int = 64


BOUNDS: Final = Bounds()


class Watcher:
    """Runs in one thread. Whoever asks for a sync, a recheck or another plan asks the part that is made for it: `syncs`,
    `rechecks`, `handover`. The clock is monotonic, ns.
    """

    def __init__(
        self,
        territory: Territory,
        backend: Backend,
        stream: Stream,
        debounce: Debounce[Node],
        *,
        poller: Poller,
        mounts: Mounts | None = None,
        verifier: Verifier | None = None,
        rate: ScanRate | None = None,
        bounds: Bounds = BOUNDS,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._territory = territory
        self._backend = backend
        self._stream = stream
        self._bounds = bounds
        self._clock = clock
        self.debounce = debounce
        self.poller = poller
        self.arrivals = Arrivals(partial(enter, territory))
        self._mount_changes = MountChanges(territory, mounts, self.arrivals)
        self._looks = DueLooks(territory, debounce, self.arrivals)
        #: What the aggregator, a sync, another plan, or the verification asks for.
        self._asked: deque[Steps] = deque()
        self.scans = Scans(territory, ScanRate() if rate is None else rate, clock)
        self.pace = self.scans.pace
        self._chores = Chores(
            territory, backend, self.scans, poller=poller, mount_changes=self._mount_changes, rota=Rota(bounds.anchors_min),
            clock=clock,
        )  # fmt: skip
        self.times = self._chores.times
        self.rechecks = Rechecks(
            territory, debounce, self._asked, verifier, rests=self._rests, busy=self._is_busy,
            owes=lambda: self.pace.owed, clock=clock,
        )  # fmt: skip
        self.syncs = SyncAnswers(territory, stream, self.scans, self._asked, self._take_over)
        self._baselines = Baselines(territory, stream, self.scans, self.rechecks)
        self.handover = Handover(territory, stream, self.scans, self._asked, self.syncs, self._baselines)
        #: Whether something else is under way for the user.
        self._occupied = False
        #: Of the queue of the kernel, or of a backend, since the start.
        self.overflows = 0
        #: What the backend has reported since the start, before debouncing.
        self.hints = 0
        self.busiest = Busiest()

    # -- what comes in

    def begin(self) -> None:
        """Begins a new epoch: watches, then lists everything that is owned, then reports that the baseline is done."""
        self.arrivals.clear()
        self._looks.clear()
        self._asked.clear()
        self.syncs.clear()
        self._chores.clear()
        self.rechecks.clear()
        self.handover.clear()
        self._baselines.begin()

    def take_hints(self) -> bool:
        """Takes over what the backend has read by now: all of it, because only then is it known which names are quiet. What is
        read meanwhile has its turn later, or a storm of changes would leave time for nothing else. Returns what `absorb` does."""
        hints = self._backend.take()
        only_names = self.absorb(hints)
        for _ in range(hints.more):
            hints = self._backend.take()
            only_names &= self.absorb(hints)
            if not hints.more:
                break
        return only_names

    def absorb(self, hints: Hints) -> bool:
        """Takes hints over. Returns whether they are of nothing but names, which are debounced: nothing else is due sooner."""
        now = self._clock()
        self.hints += hints.count
        self._territory.links.ways.translate(hints)
        self.debounce.add(hints.at or now, hints.names)
        self.busiest.note(hints.names, hints.directories)
        directories = self._territory.directories
        if directories.swept.wanting:
            directories.activity.note([*hints.names, *(node for node, _ in hints.directories)], now)
        else:
            directories.activity.end()
        self._territory.renames.add(hints.came)
        self._territory.unlinked.left(hints.left)
        self.rechecks.hinted(hints)
        for (node, name), arrival in hints.directories.items():
            self.arrivals.hint(node, name, arrival)
        if hints.selves and any(node.parent is None for node in hints.selves):
            self.scans.check(self._territory.places)
        for node in hints.selves:
            if node.parent is not None and node.alive:  # its parent may have no watch to tell
                self.arrivals.hint(node.parent, node.name)
        if hints.overflow:
            self.overflows += 1
        if hints.overflow or self.arrivals.hinted > self._bounds.directories_max:
            self._lost(now)
        if len(self.debounce) > self._bounds.names_max:
            self.debounce.collapse(now)
        return not (hints.directories or hints.selves or hints.overflow)

    def _lost(self, now: int) -> None:
        """Reports that hints were lost. A rescan follows at once, or later if rescans only lead to the next overflow."""
        self.scans.lost(now)
        if not self.pace.owed or self.pace.due(now) or self.arrivals.hinted > self._bounds.directories_max:
            self.arrivals.forget_hints()
        self.scans.begin_owed(now)

    def look_again(self, directory: bytes, names: list[bytes]) -> None:
        """The aggregator asks for another look at these names (all names, if the list is empty)."""
        owner = self._territory.owner_of(directory)
        if owner is not None and len(self._asked) < self._bounds.asked_max:
            self._asked.append(look_again(self._territory, owner, directory, names))

    def occupy(self, occupied: bool) -> None:
        """Whether something else is under way for the user, so that the verification waits."""
        self._occupied = occupied

    # -- how things are

    @property
    def baseline_done(self) -> bool:
        """Whether everything that is owned has been looked at in this epoch."""
        return self._baselines.done

    @property
    def pending(self) -> int:
        """How much that hints tell of, or that the aggregator asks for, has not been looked at yet."""
        return len(self.debounce) + len(self.arrivals) + len(self._looks) + len(self._asked) + self.pace.owed

    @property
    def idle(self) -> bool:
        """Whether no look is waiting to be made, apart from those of names that are debounced."""
        return not (self.scans or self._chores.owes_ignores or self._works)

    @property
    def _works(self) -> bool:
        """Whether a look that is no scan waits to be made."""
        return bool(self.arrivals or self._looks or self._asked or self._chores.polls)

    @property
    def pauses(self) -> bool:
        """Whether nothing but scans wait to be made, and these are held back for the time being (`next_due` says until when)."""
        return bool(self.scans) and not self._works and self.scans.pauses

    def next_due(self) -> int:
        """When `work` has something to do by itself, on the same clock; not later than the next look at the anchors."""
        times = (self._chores.next_due(), self.debounce.next_due(), self.rechecks.next_due(), self.scans.next_due())
        return min([at for at in times if at is not None])

    # -- what is done

    def work(self) -> None:
        """Makes looks for a slice of time, as long as there is credit."""
        now = self._clock()
        self._chores.begin_due(now, baseline_done=self._baselines.done)
        self.debounce.widen(not self.pace.calm(now))
        if self.arrivals:
            self._give_turn(self.arrivals.step)
        if not self._stream.full:
            self._looks.take_due(self._clock())
        if self._looks:
            self._give_turn(self._looks.step)
        if self._asked:
            self._give_turn(partial(next_step, self._asked))
        if self._chores.polls:
            self._give_turn(self._chores.poll)
        if self.scans:
            self._give_turn(self.scans.step)
        self.rechecks.note_racy(now)
        if self.idle and not self._stream.full:
            self.rechecks.work(now)

    def _give_turn(self, step: Callable[[], bool]) -> None:
        """Has steps of one kind made for a slice of time, as long as there is credit. `step` returns False if there was none to
        be made.
        """
        end = self._clock() + self._bounds.slice_ns
        while not self._stream.full and step():
            if self._clock() >= end:
                break

    def _take_in(self) -> None:
        """All hints that there are by now."""
        self._backend.drain()
        self.take_hints()

    def _rests(self) -> bool:
        """Whether no look is waiting to be made, once all hints that there are by now were taken in."""
        self._take_in()
        return self.idle

    def _is_busy(self, now: int) -> bool:
        """Whether there is other work than the verification, which waits for it."""
        others = self.scans or self._chores.polls or len(self.debounce)
        return bool(others) or self._stream.unacked > ACKS_LATER_FRAMES_MAX or self._occupied or not self.pace.calm(now)

    def _take_over(self) -> Pending:
        """Of a sync that begins: takes out everything that is pending by now. What requires scans is queued."""
        self._take_in()
        self._mount_changes.report()
        self.scans.check(self._territory.places)
        begun, directories = self.arrivals.take()
        looks, names = self._looks.take()
        earlier = [*begun, *looks, *self._asked]
        self._asked.clear()
        if self._backend.lossy or self.pace.owed:
            self.scans.rescan()
        return Pending(earlier, directories, names)
