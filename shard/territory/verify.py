"""The verification: looks at every directory once more in the long run, although no hint concerns it.

It finds changes that leave no hint: a hard link made elsewhere, a write through a mapping, a row that a defect or a bad
disk has made wrong. A look is reduced to one number, which the aggregator compares with its rows (`Check`). Only if
they differ is there a second step. The aggregator asks, and the shard looks at the same names twice, some seconds
apart, and reports everything (`Verified`). It also reports which names had a hint in the meantime or differed between
the two looks: these are changes in progress, not findings. Directories that came, went or were exchanged without a hint are
looked at from above then, as after a hint (`Verifier.take_looks`): what is in them is told of, and watched from then on.

Two things determine its pace. One pass takes the configured period (with 0, none is made). And no more than its share of a
processor is used, which is measured. If there are too many files for both, the period becomes longer.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Final

from ..backend.base import Hints
from ..contract.files.packed import DIRECTORY, FILE, LINK, Seen, kinds, racies, same
from ..contract.limits import BEAT_S, FRAME_ENTRIES_MAX, VERIFY_NAMES_MAX, next_beat
from ..contract.wire.fold import folded
from ..contract.wire.frames import Check, Confirmed, Verified, Verifying
from ..disk.look import in_order
from ..tree.nodes import Node
from .looking import reconcile
from .place import Place
from .territory import Steps, Territory

#: What it costs to open and read a directory, expressed as a number of names.
_DIRECTORY_COST: Final = 4
#: How many names of a large directory are remembered while it is looked at in parts.
_WINDOW: Final = 10_000
#: Processor time of shard and aggregator together, for each of the shard's (measured: 1.5).
_BOTH: Final = 1.6
#: The time between the two looks at what differed. No look is racy for longer, and no write(2) takes longer.
_AGAIN_NS: Final = 3_000_000_000
#: How many ranges may wait for their second look at a time.
_SUSPECTS_MAX: Final = 100
#: It works at multiples of this time, at which the process wakes in any case.
_GRID_NS: Final = int(BEAT_S * 1e9)
#: How often it is postponed in favour of other work, for one beat each time. Then a part of it is done in any case.
_POSTPONED_MAX: Final = 15

#: Part of a processor core for all shards and the aggregator together, where nothing else is said (`verify_cpu_percent`).
_SHARE: Final = 0.0005

Range = tuple[bytes, bytes | None, bytes | None]


class _Suspect:
    """A range of names that differed from the rows."""

    __slots__ = ("first", "hinted", "node", "place", "since")

    def __init__(self, place: Place, node: Node, since: int, first: dict[bytes, bytes], hinted: set[bytes]) -> None:
        self.place = place
        self.node = node
        self.since = since
        #: The packed stats of its names.
        self.first = first
        self.hinted = hinted


class Verifier:
    """The verification of one shard. It runs in the thread of the shard, between other work.

    Args:
        period_ns: what a pass should take; it takes longer where the share of a processor does not suffice. 0: none is made.
        share: part of a processor core for this shard and what it makes the aggregator do.
        cpu: processor time of this thread, ns.
    """

    def __init__(
        self, territory: Territory, *, period_ns: int, share: float = _SHARE, cpu: Callable[[], int] = time.thread_time_ns
    ) -> None:
        self._territory = territory
        self._period_ns = period_ns
        self._share = share
        self._cpu = cpu
        self._pass: Iterator[int] | None = None
        self._suspects: dict[Range, _Suspect] = {}
        #: Names in directories at which there is another directory than the shard knows, or one that it doesn't know, or none.
        self._astray: dict[tuple[Node, bytes], None] = {}
        self._next_at = 0
        self._postponed = 0
        #: The processor time that one name takes, in ns, as measured and smoothed.
        self._cost = 0.0
        self._names = 0
        self._passes = 0

    # -- when

    def begin(self, now: int) -> None:
        """Begins the first pass, one step later, because a baseline has just looked at everything."""
        self._pass = None
        self._names = self._passes = 0
        self._suspects.clear()
        self._astray.clear()
        self._next_at = next_beat(now + self._pause(min(VERIFY_NAMES_MAX, self._total()), 0), _GRID_NS)

    def take_over(self, now: int, *, period_ns: int, share: float) -> None:
        """Goes on at another pace: the next step is made when one of the new pace is."""
        self._period_ns, self._share = period_ns, share
        self._next_at = next_beat(now + self._pause(min(VERIFY_NAMES_MAX, self._total()), 0), _GRID_NS)

    def next_due(self) -> int | None:
        """When there is something to do; None: never, by itself."""
        due = [suspect.since + _AGAIN_NS for suspect in self._suspects.values()]
        if self._period_ns:
            due.append(self._next_at)
        return min(due, default=None)

    def due(self, now: int) -> bool:
        return self._period_ns > 0 and now >= self._next_at

    def postpone(self, now: int) -> bool:
        """Postpones the verification in favour of other work, but not for ever. Returns whether it was postponed."""
        if self._postponed >= _POSTPONED_MAX:
            return False
        self._postponed += 1
        self._next_at = next_beat(now, _GRID_NS)
        return True

    def _total(self) -> int:
        return max(1, self._territory.files + _DIRECTORY_COST * len(self._territory.directories))

    def _pause(self, done: int, cpu_ns: int) -> int:
        return max(self._period_ns * done // self._total(), int(cpu_ns * _BOTH / self._share))

    def state(self) -> Verifying:
        """The state that the beat reports."""
        if not self._period_ns:
            return Verifying()
        took = max(self._period_ns, self._total() * self._cost * _BOTH / self._share)
        return Verifying(self._names, self._passes, int(took / 1e9 + 0.5) or 1)

    # -- a pass

    def step(self, now: int) -> None:
        """Looks at the next few directories, and sets the time at which it continues."""
        self._postponed = 0
        begun, done = self._cpu(), 0
        if self._pass is None:
            self._pass = self._looks()
        while done < VERIFY_NAMES_MAX:
            cost = next(self._pass, None)
            if cost is None:
                self._pass = None
                self._names = 0
                self._passes += 1
                break
            done += cost
        spent = self._cpu() - begun
        if done:
            self._cost = self._cost * 0.9 + spent / done * 0.1 if self._cost else spent / done
        self._next_at = next_beat(now + self._pause(max(done, 1), spent), _GRID_NS)

    def _looks(self) -> Iterator[int]:
        """Goes through everything that is owned, each directory once. Yields the cost of each range of names."""
        for place in list(self._territory.places):  # others may come and go meanwhile
            nodes = [place.node] if place.node is not None and not self._territory.is_away(place) else []
            while nodes:
                node = nodes.pop()
                if node.alive:
                    yield from self._check(place, node)
                nodes.extend(node.each_child())

    def _check(self, place: Place, node: Node) -> Iterator[int]:
        """Looks at a directory at once, or in parts if it is large. What can't be read produces no record, and is in
        doubt in any case.

        Whether it is the directory that is watched is not asked here (that is a system call for each): if it is another, its fold
        differs, and `_range` asks.
        """
        after: bytes | None = None
        rest: list[tuple[bytes, bool]] = []
        whole = False
        while True:
            path, cost, at = node.path(), 0, self._territory.wall_ns()
            if not node.alive:
                return
            seen: Seen | None = None
            with self._territory.opener.quietly(path) as opened:
                if opened.fd < 0:
                    return
                if not rest:
                    rest, whole = self._names_after(place, path, opened.fd, after)
                    cost = _DIRECTORY_COST
                chunk, rest = rest[:VERIFY_NAMES_MAX], rest[VERIFY_NAMES_MAX:]
                upto = None if whole and not rest else chunk[-1][0]
                seen = self._look(place, path, opened.fd, chunk)
            if seen is None:
                return
            self._names += len(seen.names)
            self._territory.reports.emit(Check(path, at, folded(seen), len(seen.names), after, upto))
            yield cost + len(chunk)
            if upto is None:
                return
            after = upto

    def _names_after(self, place: Place, path: bytes, fd: int, after: bytes | None) -> tuple[list[tuple[bytes, bool]], bool]:
        """Returns the next names in a directory, whether each is a directory, and whether these are all. Raises OSError."""
        reader = self._territory.reader
        files, directories = reader.listed(path, fd, place.relative(path))
        names = files + directories
        if after is not None:
            names = [name for name in names if name > after]
        names = in_order(names, reader.on_progress)
        below = set(directories)
        return [(name, name in below) for name in names[:_WINDOW]], len(names) <= _WINDOW

    def _look(self, place: Place, path: bytes, fd: int, names: list[tuple[bytes, bool]]) -> Seen:
        """Raises OSError."""
        files, directories = [n for n, d in names if not d], [n for n, d in names if d]
        reader = self._territory.reader
        self._territory.slow.demand(path, files)
        return reader.looked(path, fd, place.relative(path), files, directories, reader.disk.coarse_ns())[0]

    # -- what differed

    def ask(self, range_: Range, now: int, pending: Callable[[Node], set[bytes] | None]) -> None:
        """Looks at a range whose rows differ now, and again in some seconds. Idempotent.

        `pending`: returns the names of a directory whose hints have not been followed yet, or None for all of them.
        """
        path, after, upto = range_
        if range_ in self._suspects or len(self._suspects) >= _SUSPECTS_MAX:
            return
        for place in self._territory.places:
            node = place.find(path)
            hinted = pending(node) if node is not None else None
            if node is None or hinted is None:
                continue
            first = self._range(place, node, after, upto)
            if first is not None:
                self._suspects[range_] = _Suspect(place, node, now, first.by_name(), hinted)
            return

    def _range(
        self, place: Place, node: Node, after: bytes | None, upto: bytes | None, *, notes: bool = False
    ) -> Seen | None:
        """What there is in a range of names, or None if it can't be found out. `notes`: that there is another directory now than
        the one that is watched is noted."""
        if not node.alive:
            return None
        path = node.path()
        with self._territory.opener.quietly(path) as opened:
            if opened.fd >= 0 and not self._territory.is_away(place):
                if notes and self._territory.directories.is_other(opened.fd, node):
                    self._note_exchange(place, node)
                names, whole = self._names_after(place, path, opened.fd, after)
                if whole or (upto is not None and names[-1][0] >= upto):  # else more have come than are looked at at once
                    return self._look(place, path, opened.fd, [n for n in names if upto is None or n[0] <= upto])
        return None

    def _note_exchange(self, place: Place, node: Node) -> None:
        if node.parent is None:
            place.distrust()
        else:
            self._astray[node.parent, node.name] = None

    def take_looks(self) -> list[Steps]:
        """Looks that are to be made now, since the verification has come upon directories that the shard does not know."""
        astray, self._astray = self._astray, {}
        return [reconcile(self._territory, node, name, arrived=True) for node, name in astray]

    def hinted(self, hints: Hints) -> None:
        """Notes that the names in these hints are changing."""
        if hints.overflow:
            self._suspects.clear()
        for suspect in self._suspects.values():
            suspect.hinted |= hints.names.get(suspect.node, set())
            suspect.hinted.update(name for node, name in hints.directories if node is suspect.node)

    def suspects_due(self, now: int) -> bool:
        return any(now >= suspect.since + _AGAIN_NS for suspect in self._suspects.values())

    def resolve_suspects(self, now: int, absorb: Callable[[], object]) -> None:
        """Looks again at the ranges that differed a while ago, and reports them. `absorb`: takes in all hints that have arrived.
        Call it only while no look that follows a hint is waiting.
        """
        for range_, suspect in [item for item in self._suspects.items() if now >= item[1].since + _AGAIN_NS]:
            at = self._territory.wall_ns()
            seen = self._range(suspect.place, suspect.node, range_[1], range_[2], notes=True)
            absorb()
            if self._suspects.pop(range_, None) is None or seen is None:
                continue  # hints were lost, or there is nothing to report; the next pass checks it again
            if not self._swept_so(suspect.node, range_, seen):
                continue
            now_there = seen.by_name()
            both = now_there.keys() | suspect.first.keys()
            changing = {n for n in both if not same(now_there.get(n, b""), suspect.first.get(n, b""))}
            hinted = sorted(suspect.hinted | changing)
            self._territory.reports.emit(Verified(range_[0], at, *seen, range_[1], range_[2], hinted))
            self._note_directories(suspect.node, range_, seen)

    def _note_directories(self, node: Node, range_: Range, seen: Seen) -> None:
        """Notes which subdirectories are there and not known, or known and not there. Links have looks of their own."""
        _, after, upto = range_
        there = {name for name, kind in zip(seen.names, kinds(seen.stats), strict=True) if kind == DIRECTORY}
        known = {
            child.name: child.linked is not None
            for child in node.each_child()
            if (after is None or child.name > after) and (upto is None or child.name <= upto)
        }
        gone = {name for name, by_link in known.items() if not by_link and name not in there}
        self._astray.update({(node, name): None for name in sorted(gone | (there - known.keys()))})

    def _swept_so(self, node: Node, range_: Range, seen: Seen) -> bool:
        """Whether a directory without a watch was last reported as it is now. Otherwise the next sweep reports what is new."""
        swept = self._territory.directories.swept
        return node not in swept or (range_[1:] == (None, None) and swept.is_reported(node, seen))


def confirm(territory: Territory, node: Node, names: set[bytes]) -> None:
    """Looks once more at names whose last look was racy. By now it can't be racy any more, and no hint came in between."""
    if not node.alive or node in territory.directories.swept:
        return
    path, at = node.path(), territory.wall_ns()
    looked = sorted(names - {name for name, _ in territory.slow.silent(path, names)})
    stats = b""
    with territory.peek(territory.place_of(node), node) as opened:
        if opened.fd < 0:
            return
        stats = territory.reader.stats(path, looked, opened.fd, territory.disk.coarse_ns())
    if not stats:
        return
    there = Seen(looked, stats).chosen([kind in (FILE, LINK) for kind in kinds(stats)])
    territory.racy.note(node, there)  # those that are racy still, since the clock was set back
    certain = there.chosen([not racy for racy in racies(there.stats)])
    for begin in range(0, len(certain.names), FRAME_ENTRIES_MAX):
        territory.reports.emit(Confirmed(path, at, *certain.part(begin, begin + FRAME_ENTRIES_MAX)))
