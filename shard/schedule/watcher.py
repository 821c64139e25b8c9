"""Decides what a shard does next: the queue of looks, between the hints that arrive and the stream that is sent.

It uses no socket: the main loop passes in hints and calls it. There are five kinds of work, and in each turn each kind
gets a slice of time, so that none can block another:

- directories that appeared or disappeared: they are entered at once, because their contents are not watched yet;
- names whose debounce time is over;
- names that the aggregator asks for;
- looks at what has no watch;
- scans (baseline, rescan, sync), which may be held back (`scan_rate`).

All syncs that arrive while one waits for its turn are answered by that one. It takes over what is pending when it
begins, so that changes that come later cannot delay it.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Final, NamedTuple

from ..backend.base import Arrival, Backend, Hints
from ..contract.files.identity import RACY_NS_MAX
from ..contract.limits import ACKS_LATER_FRAMES_MAX, ANCHOR_CHECK_S, PENDING_NAMES_MAX, next_beat
from ..contract.state.planfile import PartChange
from ..contract.wire.frames import Baseline, Synced, Verifying
from ..disk.mounts import Mounts
from ..stream.send import Stream
from ..territory.again import look_again
from ..territory.anchors import is_to_be_scanned, scan_anchor
from ..territory.ignoring import follow_ignore_files
from ..territory.looking import reconcile
from ..territory.passing_on import pass_on
from ..territory.place import Place
from ..territory.room import RETRY_NS
from ..territory.sweep import list_unlinked, look_at_links, retry_doubts, retry_links, sweep
from ..territory.territory import Steps, Territory
from ..territory.together import Waiting, look_together
from ..territory.verify import Verifier, confirm
from ..tree.nodes import Node
from .arrivals import Arrivals, Hinted
from .busiest import Busiest
from .debounce import Debounce
from .mount_changes import MountChanges
from .pace import RescanPace
from .polling import Poller
from .rota import Rota
from .scan_rate import ScanRate
from .steps import step
from .syncs import SyncTokens
from .timetable import Recurring, Timetable

#: A racy look is followed by another after so long; the second in excess is for system calls that take their time.
_SECOND_LOOK_NS: Final = RACY_NS_MAX + 1_000_000_000
_DOUBT_RETRY_NS: Final = 2_000_000_000
#: A backend that may lose hints silently is rescanned this often.
_AUDIT_NS: Final = 60_000_000_000
#: Unreadable subtrees that an answer to a sync names.
_DOUBTS_TOLD: Final = 20
#: Shortest pause between listings of directories for names that are not there, and the least part of the time that is pause.
_UNLINKED_NS: Final = 1_000_000_000
_UNLINKED_PAUSE_FACTOR: Final = 20


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
    """Runs in one thread. `clock` is monotonic, ns."""

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
        self.debounce = debounce
        self._clock = clock
        self._bounds = bounds
        self.poller = poller
        self._mount_changes = MountChanges(territory, mounts)
        self._verifier = verifier
        self._rate = ScanRate() if rate is None else rate
        #: Names that must be looked at once more, when their last look cannot be racy any more.
        self._second_looks: Debounce[Node] = Debounce(_SECOND_LOOK_NS, _SECOND_LOOK_NS)
        self._occupied = False
        self.arrivals = Arrivals(self._follow)
        #: Names whose debounce time is over, by directory.
        self._due: deque[Waiting] = deque()
        self._looks: deque[Steps] = deque()
        #: What the aggregator asks for.
        self._asked: deque[Steps] = deque()
        self._scans: deque[Steps] = deque()
        #: Looks at what has no watch. They have their turn beside scans, which may be held back for long.
        self._polls: deque[Steps] = deque()
        #: Places whose scan is queued but not begun.
        self._queued: set[Place] = set()
        #: Whether another plan waits for its turn.
        self.passes_on = False
        self._syncs = SyncTokens()
        #: Whether a job that begins a sync waits for its turn.
        self._sync_queued = False
        #: Whether a job that follows changed ignore files waits for its turn, or is under way.
        self._ignores_queued = False
        self._rota = Rota(bounds.anchors_min)
        self.times = Timetable()
        self.pace = RescanPace()
        self.baseline_done = False
        self.overflows = 0
        self.rescans = 0
        self.hints = 0
        self.busiest = Busiest()

    # -- what comes in

    def begin(self) -> None:
        """Begins a new epoch: watches, then lists everything that is owned, then reports that the baseline is done."""
        self.baseline_done = False
        self._due.clear()
        for jobs in (self._looks, self._asked, self._scans, self._polls):
            jobs.clear()
        self._queued.clear()
        self._syncs.clear()
        self._sync_queued = False
        self._ignores_queued = self.passes_on = False
        self.arrivals.clear()
        self.debounce.flush()
        self._second_looks.flush()
        self._territory.begin_epoch()
        self.times.drop()
        self.pace.forget()
        for place in self._territory.places:
            self._queue_scan(place)
        self._scans.append(self._baseline())

    def absorb(self, hints: Hints) -> bool:
        """Takes hints over. Returns whether they are of nothing but names, which are debounced: nothing else is due sooner."""
        now = self._clock()
        self.hints += hints.count
        self._territory.links.translate(hints)
        self.debounce.add(now, hints.names)
        self.busiest.note(hints.names, hints.directories)
        directories = self._territory.directories
        if directories.swept.wanting:
            directories.activity.note([*hints.names, *(node for node, _ in hints.directories)], now)
        else:
            directories.activity.end()
        self._territory.renames.add(hints.came)
        self._territory.unlinked.left(hints.left)
        if self._verifier is not None:
            self._verifier.hinted(hints)
        for (node, name), arrival in hints.directories.items():
            self.arrivals.hint(node, name, arrival)
        if hints.selves and any(node.parent is None for node in hints.selves):
            self._check_anchors(self._territory.places)
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
        if len(self._queued) < len(self._territory.places):  # else the scans that wait cover it
            self.pace.overflow(now)
        if not self.pace.owed or self.pace.due(now) or self.arrivals.hinted > self._bounds.directories_max:
            self.arrivals.forget_hints()
        if self.pace.due(now):
            self.rescan()

    def rescan(self) -> None:
        """Looks again at everything that this shard owns."""
        self.rescans += 1
        self.pace.begun()
        for place in self._territory.places:
            self._queue_scan(place)
        self._scans.append(self._rescanned())

    def _rescanned(self) -> Steps:
        self.pace.ended(self._clock())
        yield

    def sync(self, token: int) -> None:
        """Answers `token` in the stream once everything that was queued in the kernel by now has been looked at."""
        if self._syncs.knows(token):
            return
        self._syncs.ask(token)
        if not self._sync_queued:
            self._sync_queued = True
            self._scans.append(self._sync_job())

    def wanted(self, tokens: Collection[int]) -> None:
        """Forgets the syncs that are not among these, because their callers have given up."""
        self._syncs.keep(tokens)

    def look_again(self, directory: bytes, names: list[bytes]) -> None:
        """The aggregator asks for another look at these names (all names, if the list is empty)."""
        owner = self._territory.owner_of(directory)
        if owner is not None and len(self._asked) < self._bounds.asked_max:
            self._asked.append(look_again(self._territory, owner, directory, names))

    def go_by(self, generation: int, change: PartChange, stops: frozenset[bytes]) -> None:
        """Goes on with another plan, after the scans that wait by now; then the stream has its generation. What is kept is not
        looked at again. What is given to this shard is scanned, and then a baseline is reported once more. A new epoch forgets
        this until it was done (`passes_on`), and it is to be asked again.

        Args:
            generation: of the other plan.
            change: what is to be let go, and taken on (`part_change`).
            stops: every anchor of that plan.
        """
        self.passes_on = True
        self._scans.append(self._pass_on(generation, change, stops))

    def occupy(self, occupied: bool) -> None:
        """Whether something else is under way for the user, so that the verification waits."""
        self._occupied = occupied

    # -- what is done

    @property
    def pending(self) -> int:
        looks = len(self._due) + len(self._looks) + len(self._asked)
        return len(self.debounce) + len(self.arrivals) + looks + self.pace.owed

    @property
    def syncing(self) -> bool:
        """Whether a sync is to be answered yet."""
        return bool(self._syncs)

    @property
    def idle(self) -> bool:
        """Whether no look is waiting to be made, apart from those of names that are debounced."""
        return not (self._scans or self._owes_ignores or self._works)

    @property
    def _works(self) -> bool:
        """Whether a look that is no scan waits to be made."""
        return bool(self.arrivals or self._due or self._looks or self._asked or self._polls)

    @property
    def pauses(self) -> bool:
        """Whether nothing but scans wait to be made, and these are held back for the time being (`next_due` says until when)."""
        return bool(self._scans) and not self._works and self._rate.pauses(self._clock())

    @property
    def _owes_ignores(self) -> bool:
        """Whether ignore files have changed, and this is not followed yet."""
        ignores = self._territory.ignores
        return ignores is not None and ignores.has_changed

    def next_due(self) -> int:
        """When `work` has something to do by itself, on the same clock; not later than the next look at the anchors."""
        times = [self.times.anchors.next_due(), self.debounce.next_due(), self._second_looks.next_due(), self.pace.next_due()]
        times += [work.next_due() for work in self._recurring()]
        if self._verifier is not None and self.baseline_done:
            times.append(self._verifier.next_due())
        if self._scans:
            times.append(self._rate.ends_at)
        return min(at for at in times if at is not None)

    def _recurring(self) -> Iterator[Recurring]:
        """The work that comes back, of each kind for which there is anything to do."""
        times, territory = self.times, self._territory
        if territory.sweeps:
            yield times.sweep
        if territory.directories.swept.wanting:
            yield times.room
        if territory.doubts:
            yield times.doubts
        if territory.links.freed:
            yield times.links
        if territory.unlinked:
            yield times.unlinked
        if self._backend.lossy:
            yield times.audit

    def work(self) -> None:
        """Makes looks for a slice of time, as long as there is credit."""
        now = self._clock()
        self._timers(now)
        self._enter(now + self._bounds.slice_ns)
        self._look(self._clock() + self._bounds.slice_ns)
        for jobs in (self._asked, self._polls, self._scans):
            end = self._clock() + self._bounds.slice_ns
            while jobs and not self._stream.full and not (jobs is self._scans and self._rate.pauses(self._clock())):
                step(jobs)
                if self._clock() >= end:
                    break
        self._second_looks.add(now, self._territory.racy.take())
        if self.idle and not self._stream.full:
            self._look_once_more(now)

    def _enter(self, end: int) -> None:
        """Enters directories that appeared, or finds them gone."""
        while not self._stream.full and self.arrivals.step():
            if self._clock() >= end:
                break

    def _look(self, end: int) -> None:
        """Looks at names whose debounce time is over. Those that have not had their turn yet stay where each is kept once."""
        if not (self._due or self._looks or self._stream.full):
            self._due.extend(self.debounce.due(self._clock()).items())
        while (self._due or self._looks) and not self._stream.full:
            if not self._looks:
                self._looks.extend(look_together(self._territory, self._due))
            elif not step(self._looks):
                self.arrivals.find(self._looks.popleft())
            if self._clock() >= end:
                break

    def _look_once_more(self, now: int) -> None:
        """Makes looks without a hint. It does so only while no look that follows a hint is waiting, because its results would be
        sent later.
        """
        due = self._second_looks.due(now)
        if due:
            self._take_in()
        for node, names in due.items():
            changing = self.debounce.pending(node)
            if names is not None and changing is not None and self.idle:
                confirm(self._territory, node, names - changing)
        verifier = self._verifier
        if verifier is None or not self.baseline_done:
            return
        if verifier.suspects_due(now):
            self._take_in()
            if self.idle:
                verifier.resolve_suspects(now, self._take_in)
        if verifier.due(now) and not (self._busy(now) and verifier.postpone(now)):
            verifier.step(now)

    def _take_in(self) -> None:
        """All hints that there are by now."""
        self._backend.drain()
        self.absorb(self._backend.take())

    def _busy(self, now: int) -> bool:
        others = self._scans or self._polls or len(self.debounce)
        return bool(others) or self._stream.unacked > ACKS_LATER_FRAMES_MAX or self._occupied or not self.pace.calm(now)

    def check_again(self, path: bytes, after: bytes | None, upto: bytes | None) -> None:
        """The aggregator's rows of this range of names differ from what the verification saw."""
        if self._verifier is not None:
            self._verifier.ask((path, after, upto), self._clock(), self.debounce.pending)

    @property
    def verifying(self) -> Verifying:
        return Verifying() if self._verifier is None else self._verifier.state()

    def _follow(self, node: Node, name: bytes, arrival: Arrival) -> Steps:
        return reconcile(self._territory, node, name, arrived=arrival > Arrival.MADE, renamed=arrival is Arrival.RENAMED)

    def _timers(self, now: int) -> None:
        times, territory = self.times, self._territory
        if times.anchors.due(now):
            times.anchors.put_off(next_beat(now, int(ANCHOR_CHECK_S * 1e9)))
            self._mount_changes.report(self.arrivals)
            if territory.ignores is not None:
                territory.ignores.look_outside(thorough=False)
            self._check_anchors(self._rota.take(self._territory.places))
        if self._owes_ignores and not self._ignores_queued:
            self._ignores_queued = True
            self._scans.append(self._follow_ignores())
        if self.pace.due(now):
            self.rescan()
        self.pace.relax(now)
        self.debounce.widen(not self.pace.calm(now))
        if territory.doubts and times.doubts.due(now):
            times.doubts.begin()
            self._scans.append(self._retry())
        if territory.links.freed and times.links.due(now):
            times.links.put_off(now + _DOUBT_RETRY_NS)
            self._scans.append(retry_links(territory))
        if territory.unlinked and times.unlinked.due(now):
            times.unlinked.begin()
            self._scans.append(self._list_unlinked())
        if self._backend.lossy and times.audit.due(now):
            times.audit.put_off(now + _AUDIT_NS)
            if self.baseline_done:
                self.rescan()
        if territory.sweeps and self.baseline_done and times.sweep.due(now):
            times.sweep.begin()
            self._polls.append(self._sweep())
        if territory.directories.swept.wanting and self.baseline_done and times.room.due(now):
            times.room.begin()
            self._polls.append(self._watch_more())

    def _check_anchors(self, places: Sequence[Place]) -> None:
        for place in places:
            if place not in self._queued and is_to_be_scanned(self._territory, place):
                self._queue_scan(place)

    def _queue_scan(self, place: Place) -> None:
        if place not in self._queued:
            self._queued.add(place)
            self._scans.append(self._scan(place))

    def _scan(self, place: Place) -> Steps:
        self._queued.discard(place)
        reader, before = self._territory.reader, self._territory.reader.looks
        for _ in scan_anchor(self._territory, place):
            self._rate.spent(reader.looks - before + 1, self._clock())
            yield
            before = reader.looks  # others have looked meanwhile

    def _baseline(self) -> Steps:
        self.baseline_done = True
        self._territory.end_baseline()
        if self._verifier is not None:
            self._verifier.begin(self._clock())
        yield from self._look_done()

    def _look_done(self) -> Steps:
        """Reports that everything that is owned has been looked at."""
        self._stream.add(Baseline(self._stream.generation, len(self._territory.directories), self._territory.files))
        yield

    def _pass_on(self, generation: int, change: PartChange, stops: frozenset[bytes]) -> Steps:
        self.passes_on = False
        territory = self._territory
        self._stream.go_by(generation)
        self._syncs.forget_answers()
        new = pass_on(territory, change, stops)
        territory.files = max(0, territory.files - sum(anchor.files for anchor in (*change.left, *change.cut)))
        for place in new:
            self._queue_scan(place)
        if new:
            self._scans.append(self._taken_on(territory.reader.looks))
        yield

    def _taken_on(self, looks: int) -> Steps:
        """Everything that was given to this shard is scanned. `looks`: how many there had been before."""
        self._territory.files += self._territory.reader.looks - looks
        yield from self._look_done()

    def _retry(self) -> Steps:
        yield from retry_doubts(self._territory)
        self.times.doubts.end(self._clock() + _DOUBT_RETRY_NS)

    def _follow_ignores(self) -> Steps:
        self._ignores_queued = False
        yield from follow_ignore_files(self._territory)

    def _list_unlinked(self) -> Steps:
        """Of directories with hints about names that are not there. Who writes to such a file all the time costs little."""
        begun = self._clock()
        yield from list_unlinked(self._territory)
        now = self._clock()
        self.times.unlinked.end(now + max(_UNLINKED_NS, _UNLINKED_PAUSE_FACTOR * (now - begun)))

    def _sweep(self) -> Steps:
        yield from self.poller.run()
        self.times.sweep.end(self.poller.next_due())

    def _watch_more(self) -> Steps:
        self._territory.directories.activity.begin(self._clock())
        yield from self.poller.watch_more()
        self.times.room.end(next_beat(self._clock(), RETRY_NS))

    def _sync_job(self) -> Steps:
        """Takes over what is pending, for all syncs that wait by now, and has it done after the scans that it requires."""
        self._sync_queued = False
        self._syncs.begin()
        if not self._syncs.under_way:
            return
        self._take_in()
        self._mount_changes.report(self.arrivals)
        self._check_anchors(self._territory.places)
        begun, directories = self.arrivals.take()
        earlier = [*begun, *self._looks, *self._asked]
        names = deque([*self._due, *self.debounce.flush().items()])
        self._due.clear()
        self._looks.clear()
        self._asked.clear()
        if self._backend.lossy or self.pace.owed:
            self.rescan()
        self._scans.append(self._answer(earlier, directories, names))
        yield

    def _answer(
        self,
        earlier: list[Steps],
        directories: Hinted,
        names: deque[Waiting],
    ) -> Steps:
        territory = self._territory
        for job in earlier:
            yield from job
        for (node, name), arrival in directories.items():
            yield from self._follow(node, name, arrival)
            yield
        while names:
            for rest in look_together(territory, names):
                yield from rest
            yield
        yield from list_unlinked(territory)
        for _ in sweep(territory) if territory.sweeps else ():
            if not self._syncs.under_way:
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
        for token in self._syncs.answer():
            self._stream.add(Synced(token, *territory.doubts.unreadable(_DOUBTS_TOLD)))
        yield
