"""What a shard cannot read, find or watch: kept for another attempt, and reported in the status."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from enum import Enum, auto
from typing import Final, NamedTuple

from msgspec import Struct

from ..backend.base import Second
from ..contract.causes import READ, WATCH, cause, reason_of
from ..contract.limits import LINKED_MAX, PATH_BYTES_MAX, WAYS_MAX
from ..contract.wire.frames import Doubt
from ..disk.slow import Unanswered
from ..tree.nodes import Node
from .place import Place
from .swept import Swept

_REMOTE = "its filesystem{} tells nothing of changes made elsewhere"
_UNANSWERED = "see to the server of that mount, or unmount it (umount -l); all else goes on, and it is tried again by itself"
_ASKED = "polling was asked for"
_BOUND = f"links lead to it by more than {WAYS_MAX} ways of two links or more, or more than {LINKED_MAX:,} directories are linked"
_VIRTUAL = "a link leads to a filesystem that the kernel makes up ({})"
_BARRED = "remove the link, or exclude its name"
_MADE_UP = "the kernel makes up what is there, as in /proc"


class Instead(Enum):
    """What is at the path of a root that is missing as a directory."""

    NOTHING = auto()
    #: A link: what it leads to was not named, and links are resolved when a service starts.
    LINK = auto()
    OTHER = auto()
    #: A file, which is watched as one: the root may be either.
    NAMED = auto()
    #: A filesystem that the kernel makes up and on which no root may lie: it was mounted there since the service started.
    VIRTUAL = auto()


_AGAIN = "make it again, or take it out of the roots"
#: (reason, remedy)
_MISSING: Final = {
    Instead.NOTHING: ("the directory does not exist", _AGAIN),
    Instead.LINK: ("there is a link in its place, and links are resolved when the service starts", "restart the service"),
    Instead.OTHER: ("what is there is not a directory", f"restart the service to watch that, or {_AGAIN}"),
    Instead.VIRTUAL: ("a filesystem that the kernel makes up is mounted over it", "unmount that, or take it out of the roots"),
}


class Subject(NamedTuple):
    """A subject that can be in doubt: a directory, given by its path, its name and the node of its parent directory; or an
    anchor, whose `parent` is None.
    """

    path: bytes
    place: Place
    parent: Node | None = None
    name: bytes = b""


class Unreadable(Struct, frozen=True):
    """Where the next attempt is made: at an anchor (`parent` is None), or at a name in a directory."""

    place: Place
    parent: Node | None
    name: bytes
    reason: str
    state: str = "unreadable"
    remedy: str = ""
    #: Whether changes may be hidden in it. False: it could not be read once since the start.
    known: bool = True


class Doubts:
    """The directories that cannot be read, by path. No record is made about them, and their rows stay."""

    def __init__(
        self, watch_remedy: Callable[[int], str], *, asked: bool = False, standing_in: tuple[str, str] | None = None
    ) -> None:
        """`asked`: the user wants everything polled. `standing_in`: (reason, remedy) where everything is swept by a stand-in for
        the watcher."""
        self._watch_remedy = watch_remedy
        self._planned = _ASKED if asked else _REMOTE.format("")
        self._unreadable: dict[bytes, Unreadable] = {}
        #: Whether the baseline is not finished yet.
        self._from_start = True
        #: The paths that could not be read once since the start.
        self._never: set[bytes] = set()
        #: The number of names that are left out because their paths are too long, by directory.
        self.deep: dict[Node, int] = {}
        self._standing_in = standing_in
        #: Why no further directory can be watched, as the backend last reported it.
        self.no_room = ""

    def __len__(self) -> int:
        return len(self._unreadable)

    def end_baseline(self) -> None:
        """From now on, a directory that cannot be read may hide changes."""
        self._from_start = False

    def holds(self, path: bytes) -> bool:
        """Whether this path is in doubt."""
        return path in self._unreadable

    def add(self, subject: Subject, error: OSError) -> None:
        """Records that a subject could not be read. If a filesystem does not answer, this is one doubt for everything on it. But
        if it is mounted at a name in the directory, which was to be listed, all of this directory is in doubt.
        """
        path, place, parent, name = subject
        if isinstance(error, Unanswered):
            if place.meets(error.point) and path != os.path.dirname(error.point):  # otherwise a link leads there
                path, parent, name = place.spot(error.point)  # one doubt for all that is mounted there
            found = Unreadable(place, parent, name, str(error.strerror), "unanswered", _UNANSWERED)
        else:
            if parent is not None and parent.child(name) is None and self._from_start:
                self._never.add(path)
            known = path not in self._never or parent is None or parent.child(name) is not None
            why = cause(error, READ)
            found = Unreadable(place, parent, name, why.what, remedy=why.remedy, known=known)
        self._unreadable[path] = found

    def no_watch(self, error: OSError) -> None:
        """Records that directories are swept from now on, because the backend has no room for another watch, or can have none at
        all.
        """
        self.no_room = reason_of(error, WATCH)  # the kernel's words for want of a watch speak of disks

    def add_unmounted(self, place: Place) -> None:
        reason = "its filesystem is not mounted"
        self._unreadable[place.anchor.path] = Unreadable(place, None, b"", reason, "unmounted", "mount it again")

    def too_long(self, node: Node, names: int) -> None:
        """Notes how many names in a directory were left out at the last look, because their paths are too long."""
        if names:
            self.deep[node] = names
        elif self.deep:
            self.deep.pop(node, None)

    def remove(self, path: bytes) -> bool:
        """Ends a doubt. Returns whether the path was in doubt."""
        return self._unreadable.pop(path, None) is not None

    def keep(self, is_ours: Callable[[bytes, Place], bool]) -> None:
        """Ends the doubts about what is another shard's by now. `is_ours`: tells whether a path that belonged to an anchor still
        does."""
        for path, what in self.items():
            if not is_ours(path, what.place):
                self.remove(path)
        for node in [node for node in self.deep if not node.alive]:
            del self.deep[node]

    def items(self) -> list[tuple[bytes, Unreadable]]:
        return list(self._unreadable.items())

    def unreadable(self, most: int, *, silent: Collection[int] = ()) -> tuple[list[bytes], list[bytes]]:
        """Returns the paths in which changes may be hidden, and those that could not be read once since the start. There are at
        most `most` of each. `silent`: as for `report`.
        """
        ours = [(path, what.known) for path, what in self._unreadable.items() if what.place.index not in silent]
        known = [path for path, is_known in ours if is_known]
        never = [path for path, is_known in ours if not is_known]
        return known[:most], never[:most]

    def report(
        self,
        places: list[Place],
        swept: Swept,
        most: int = 20,
        *,
        left_out: tuple[int, bytes] = (0, b""),
        barred: Sequence[tuple[bytes, str]] = (),
        remotes: Sequence[tuple[bytes, str]] = (),
        instead: Mapping[bytes, Instead] | None = None,
        second: Second | None = None,
        silent: Collection[int] = (),
        virtual: Sequence[bytes] = (),
    ) -> list[Doubt]:
        """For the status: the first `most` of each kind. `left_out`, `barred`: as `LinkBounds` and `Barred` list them; `instead`:
        what is there in place of roots that are missing (default: nothing); `remotes`: `SlowMounts.remotes`; `second`:
        `Backend.second`; `silent`: the indexes of places of which their owners tell; `virtual`: where filesystems that the kernel
        makes up are mounted, the last one told with the number of all that are not.
        """
        places = [place for place in places if place.index not in silent]
        ours = [(path, what) for path, what in self.items() if what.place.index not in silent]
        found = [Doubt(path, what.state, what.reason, what.remedy) for path, what in ours[:most]]
        missing = [p.anchor.path for p in places if p.is_missing_root]
        there = instead or {}
        told = [(path, there.get(path, Instead.NOTHING)) for path in missing]
        found += [Doubt(path, "missing", *_MISSING[what]) for path, what in told if what is not Instead.NAMED][:most]
        planned = [p for p in places if p.polled and p.node is not None]
        state, (reason, remedy) = ("stand-in", self._standing_in) if self._standing_in else ("polled", (self._planned, ""))
        found += [Doubt(p.anchor.path, state, reason, remedy, swept.of_anchor(p.index)) for p in planned[:most]]
        self.deep = {node: names for node, names in self.deep.items() if node.alive}
        deep = [(node, names) for node, names in self.deep.items() if not silent or node.anchor not in silent]
        for node, names in deep[:1]:
            others = f", and names in {len(deep) - 1} other directories," if len(deep) > 1 else ""
            reason = f"{names} names in it{others} have paths of more than {PATH_BYTES_MAX} bytes and are left out"
            found.append(Doubt(node.path(), "too deep", reason, "nest directories less deeply", len(deep)))
        for path, kind in [remote for remote in remotes if remote[0] not in self._unreadable][:most]:
            known = [(place, at) for place in places if not place.polled and (at := place.find(path)) is not None and at.wd < 0]
            for place, at in known[:1]:
                count = swept.of_anchor(place.index) if at.parent is None else sum(1 for _ in at.subtree())
                found.append(Doubt(path, "polled", _REMOTE.format(f" ({kind})"), "", count))
        one, wanting = swept.first_wanting(silent)
        if self.no_room and one is not None:
            found.append(Doubt(one.path(), "polled", self.no_room, self._watch_remedy(wanting), wanting))
        if second is not None:
            remedy = self._watch_remedy(second.directories) if second.name == "fanotify" else ""
            found.append(Doubt(second.example.path(), second.name, second.reason, remedy, second.directories))
        if left_out[0]:
            found.append(Doubt(left_out[1], "not followed", _BOUND, "make what it leads to a root of its own", left_out[0]))
        found += [Doubt(path, "not followed", _VIRTUAL.format(kind), _BARRED, 1) for path, kind in barred[:most]]
        untold = max(0, len(virtual) - most)
        counts = [1 + untold * (number == most) for number in range(1, most + 1)]
        found += [Doubt(path, "virtual", _MADE_UP, "", count) for path, count in zip(virtual, counts, strict=False)]
        return found
