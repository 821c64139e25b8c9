"""What one shard owns: its anchors, the tree of directories that it knows there, and everything that its looks are made
with.

The modules beside this one (`scanning`, `looking`, `anchors`, `sweep`, `again`, `verify`) contain the looks, which are
functions of a territory. Looks that may take long are generators that yield after each directory. So the main loop can
stop when there is no credit or something more urgent to do, and continue later. All of it runs in one thread, and
records are emitted in the order of looking.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from ..backend.base import Backend
from ..contract.files.paths import is_below
from ..contract.state.planfile import Anchor
from ..contract.wire.frames import Doubt, Record
from ..disk.look import Reader
from ..disk.mounts import Mounts
from ..disk.slow import SlowMounts
from ..disk.virtual_mounts import VirtualMounts
from ..tree.nodes import Node
from ..tree.racy import RacyNames
from ..tree.renames import Renames
from ..tree.unlinked import Unlinked
from .directories import Directories
from .doubts import Doubts, Instead
from .heirs import Heirs
from .links import Links
from .opening import Opened, Opener
from .place import Place, Places
from .reports import Reports

#: Directories that a scan enters in one step, at most.
SIBLINGS_MAX: Final = 64
#: The type of a generator that makes looks. It yields after each directory.
Steps = Iterator[None]


class Territory:
    """Owned by one thread.

    Args:
        anchors: this shard's anchors.
        stops: every anchor of the plan: a scan does not go below one that it did not start from.
        reader: reads the disk, and knows which names are ours.
        emit: takes each record, in order.
        mounts: what is mounted; None: that is not asked.
        wall_ns: when a look began, ns since 1970.
        clock: tells how long ago something was looked at: monotonic, ns.
    """

    def __init__(
        self,
        anchors: list[Anchor],
        stops: frozenset[bytes],
        *,
        reader: Reader,
        backend: Backend,
        doubts: Doubts,
        emit: Callable[[Record], None],
        mounts: Mounts | None = None,
        wall_ns: Callable[[], int] = time.time_ns,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self.places = Places(anchors)
        self.stops = stops
        self.reader = reader
        self.disk = reader.disk
        self.follow = reader.follow
        self.doubts = doubts
        self.mounts = mounts
        self.wall_ns = wall_ns
        self.ignores = reader.ignores
        self.slow = SlowMounts(mounts, [anchor.path for anchor in anchors], follow=reader.follow, disk=reader.disk)
        if self.ignores is not None:
            self.ignores.guard_by(self.slow.guard)
        self.virtual = VirtualMounts(mounts, [anchor.path for anchor in anchors], self._virtual_type_at)
        reader.leave_to(self.virtual)
        self._backend = backend
        self.links = Links(backend, reader, self.slow)
        self.directories = Directories(self.places, backend, reader, self.slow, self.links, doubts, clock)
        self.opener = Opener(reader.disk, self.slow, doubts, follow=reader.follow)
        self.renames = Renames(reader.disk, reader.on_progress)
        self.racy, self.unlinked = RacyNames(), Unlinked(told=not backend.lossy)
        self.reports = Reports(emit, self.directories.swept, self.racy, reader.on_progress)
        self.heirs = Heirs(self.reports)
        #: How many directories a scan may enter in one step (`siblings`).
        self.siblings_max = SIBLINGS_MAX
        #: The number of files at the end of the last baseline, or of the last scan of what was given to this shard since.
        self.files = 0

    @property
    def sweeps(self) -> bool:
        """Whether anything has to be swept."""
        return bool(self.directories.swept or self.links.ways.unwatched)

    def exchange(self, left: Sequence[Place], taken: Sequence[Anchor], stops: frozenset[bytes]) -> list[Place]:
        """Lets some anchors go, which are uprooted, and takes others on, under a plan that has the anchors `stops`.

        Returns:
            The places of those that were taken on.
        """
        new = self.places.exchange(left, taken)
        self.stops = stops
        self.directories.assigned()
        self.slow.keep_to([place.anchor.path for place in self.places])
        self.virtual.keep_to([place.anchor.path for place in self.places])
        if self.ignores is not None:
            self.ignores.keep_to([place.anchor.path for place in self.places if place not in new])
        return new

    def place_of(self, node: Node) -> Place:
        """The anchor to which a directory belongs."""
        return self.places.numbered(node.anchor)

    def owner_of(self, directory: bytes) -> Place | None:
        """The nearest anchor at or above a path, or None if there is none."""
        above = [place for place in self.places if place.covers(directory)]
        return max(above, key=lambda place: len(place.anchor.path), default=None)

    def is_away(self, place: Place) -> bool:
        """Whether the filesystem of the root is not mounted, so that what is seen in its place does not belong to the root.

        A filesystem that was mounted after the planning and is gone may have covered what is the root now. So the root counts as
        present if anything lies there.
        """
        root, mounts = place.anchor.root, self.mounts
        if mounts is None:
            return False
        return mounts.gone(root) or (mounts.left(root) and self.disk.is_bare(root, follow=self.follow))

    def knows_below(self, node: Node, path: bytes) -> bool:
        """Whether anything below a directory, whose path that is, was looked at by now."""
        return bool(node.children) or any(
            (place.node is not None or place.missing) and place.anchor.path != path and is_below(place.anchor.path, path)
            for place in self.places
        )

    def _virtual_type_at(self, path: bytes) -> str | None:
        try:
            self.slow.guard(path)
        except OSError:
            return None
        return self.disk.virtual_type_at(path)

    def is_virtual(self, place: Place) -> bool:
        """Whether the anchor lies on a filesystem that the kernel makes up and that nobody has asked for (`VirtualMounts.over`).
        It is then as if there were nothing at the anchor."""
        return bool(self.virtual.over(place.anchor.path, place.anchor.root))

    def hides(self, place: Place) -> bool:
        """Whether an ignore file leaves out the anchor, or a directory between it and its root. It is then as if there were
        nothing at the anchor."""
        anchor = place.anchor
        if self.ignores is None or anchor.path == anchor.root:
            return False
        return self.ignores.hides(anchor.path, anchor.root) is not None

    def accept(self, place: Place) -> None:
        """Accepts what lies at the anchor now as its root, whatever was mounted over it since the planning."""
        root = place.anchor.root
        if self.mounts is not None and self.mounts.left(root):
            self.mounts.stay(root)

    def peek(self, place: Place, node: Node) -> Opened:
        """Opens a directory for a look without a hint. It stays closed if it can't be opened, is not the directory that is
        watched, or is away. Other looks find that out, so nothing is in doubt because of this one.
        """
        opened = self.opener.quietly(node.path())
        if opened.fd >= 0 and not self._is_as_known(place, node, opened.fd):
            os.close(opened.take())
        return opened

    def _is_as_known(self, place: Place, node: Node, fd: int) -> bool:
        try:
            return not (self.is_away(place) or self.directories.is_other(fd, node))
        except OSError:
            return False  # this can't be found out

    def begin_epoch(self) -> None:
        """Begins a new epoch, in which everything is reported anew."""
        self.directories.swept.forget_reports()
        self.virtual.begin_epoch()

    def end_baseline(self) -> None:
        """The baseline is finished: everything has been looked at once."""
        self.files = self.reader.looks
        self.doubts.end_baseline()

    def report(self) -> list[Doubt]:
        """What the status shows: what can't be read, found, watched or followed (`Doubts.report`)."""
        swept, links = self.directories.swept, self.links
        missing = [place for place in self.places if place.is_missing_root and place not in self.heirs.places]
        instead = {place.anchor.path: self._instead(place.anchor.path) for place in missing}
        return self.doubts.report(
            self.places, swept, left_out=links.bounds.left_out(), barred=links.barred.listed(), remotes=self.slow.remotes(),
            instead=instead, second=self._backend.second(), silent=self.heirs.indexes, virtual=self._passed_over(),
        )  # fmt: skip

    def _passed_over(self) -> list[bytes]:
        """Where in the trees filesystems are mounted into which nobody looks, because the kernel makes them up."""
        return [path for path in self.virtual.all_passed() if self._is_ours(path)]

    def _is_ours(self, path: bytes) -> bool:
        """Whether this shard tells what is at a path: it is an anchor, or a name in scope in a directory that the shard knows."""
        if any(place.anchor.path == path for place in self.places):
            return all(place.anchor.root != path for place in self.places)  # a root that is covered is missing
        directory, name = os.path.split(path)
        place = self.owner_of(directory)
        if place is None or place in self.heirs.places or place.find(directory) is None:
            return False
        relative = place.relative(directory)
        return bool(self.reader.watched(directory, relative, [name]) or self.reader.scope.files(directory, relative, [name]))

    def _instead(self, path: bytes) -> Instead:
        """What is there in place of a root that is missing, as far as this can be found out."""
        try:
            self.slow.guard(path)
            mode = self.disk.stat_path(path).st_mode
        except OSError:
            return Instead.NOTHING
        if self.virtual.over(path, path):
            return Instead.VIRTUAL
        named = self.reader.scope.names(path)
        if stat.S_ISLNK(mode):
            return Instead.NAMED if named and self._leads_to_a_file(path) else Instead.LINK
        if stat.S_ISREG(mode) and named:
            return Instead.NAMED
        return Instead.NOTHING if stat.S_ISDIR(mode) else Instead.OTHER

    def _leads_to_a_file(self, path: bytes) -> bool:
        """Whether a link leads to something that is no directory. What can't be found out now may be one."""
        try:
            self.slow.guard_way(path)
            return not stat.S_ISDIR(self.disk.stat_path_target(path).st_mode)
        except OSError:
            return False

    def close(self) -> None:
        """Ends the child processes that ask filesystems whether they answer."""
        self.slow.close()
