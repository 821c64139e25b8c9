"""The backend for fanotify(7): one mark for each filesystem, whose events name directories by their handles, and no watch for
any directory.

A directory is known by its handle from the moment at which it is opened to be listed. The mark is older than that, so
whatever happens in the directory after it was listed is reported; what was reported before is passed over, since the listing
shows it. No path is ever asked for: a handle leads to a node of the tree, or the event is nobody's.

A thread empties the queue, and decodes at once: most events of a busy filesystem are about directories of others, and must
not wake the main loop.
"""

from __future__ import annotations

import errno
import logging
import os
import select
import stat
import threading
import time
from typing import Final, NamedTuple

from ..contract.causes import FANOTIFY, cause
from ..contract.kernel import fanotify
from ..contract.kernel.fanotify import FAN_CREATE, FAN_DELETE_SELF, FAN_MOVED_TO, FAN_Q_OVERFLOW
from ..tree.nodes import Node
from .base import Arrival, Hints, Second, WithoutInotify
from .decoding import Names
from .drain import Drain
from .fan_decoding import Damaged, decode, is_on, number_of, parts_of
from .held import Held
from .noise import LOUD_EVENTS, Noise
from .unreported import Unreported

log = logging.getLogger("shardwatch.shard")

_READ_BYTES: Final = 1 << 18
#: Names that are kept until they are taken, and events of directories. Beyond this, it is an overflow like the kernel's own.
_NAMES_MAX: Final = 200_000
_TABLE: Final = "/proc/self/mountinfo"


class _Marked(NamedTuple):
    """A filesystem that has a mark."""

    #: Its id in events.
    id: bytes
    #: Its device, as the kernel writes it.
    device: str


class FanotifyBackend(WithoutInotify):
    """See `Backend`. Refuses the directories of filesystems that can't be marked: ENOSPC, with the reason."""

    name = "fanotify"
    lossy = False

    def __init__(self, *, names_max: int = _NAMES_MAX, loud_events: int = LOUD_EVENTS) -> None:
        """Makes a group.

        Args:
            names_max: names that are kept until they are taken, and events of directories.
            loud_events: events within a minute after which a directory that is not watched is not reported any more.

        Raises OSError: see `fanotify.open_group`; and without /proc.
        """
        self._names_max = names_max
        #: How many events can come until it has to be counted again how many names are kept.
        self._room = names_max
        self._nodes: dict[int, Node] = {}
        self._held = Held(self._nodes)
        self._handles = fanotify.Handles()
        #: By device number, as stat(2) has it.
        self._marked: dict[int, _Marked] = {}
        self._refused: dict[int, str] = {}
        self._deciding = threading.Lock()
        self._names, self._came, self._left = Names(), Names(), Names()
        self._specials: list[tuple[int, int, bytes]] = []
        self._count = 0
        self._lost = False
        self._noise = Noise(loud_events)
        #: Those that have become noise, until they are taken.
        self._loud: list[bytes] = []
        #: Whether something was mounted or unmounted since the marks were compared.
        self._remounted = False
        # One for each thread: the kernel tells each descriptor once of each change.
        self._tables = [os.open(_TABLE, os.O_RDONLY | os.O_CLOEXEC) for _ in range(2)]
        self._fd = self._opened()
        self._unreported = Unreported(self._fd)
        self._mounts = select.poll()
        self._mounts.register(self._tables[0], select.POLLPRI)
        self._drain = Drain(self._fd, self._read, also=self._tables[1], happened=self._remount)
        self._drain.start()

    def _opened(self) -> int:
        try:
            return fanotify.open_group()
        except OSError:
            for table in self._tables:
                os.close(table)
            raise

    # -- registration

    def watch(self, fd: int, node: Node, *, names: bool = True) -> Node | None:
        found = os.fstat(fd)
        if not stat.S_ISDIR(found.st_mode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        marked = self._marked.get(found.st_dev) or self._mark(fd, found.st_dev)
        number = number_of(marked.id, self._handles.of(fd))
        self._unreported.watch(number, fd)
        node.wd = number
        return self._held.add(number, node)

    def _mark(self, fd: int, device: int) -> _Marked:
        """Marks the filesystem of a directory. Raises OSError: ENOSPC if that is impossible."""
        reason = self._refused.get(device)
        if reason is None:
            try:
                return self._try_to_mark(fd, device)
            except OSError as error:
                if error.errno == errno.EACCES:
                    raise  # this directory can't be read
                reason = self._refused[device] = cause(error, FANOTIFY).what
                log.warning("%s can't be watched with fanotify: %s", os.readlink(f"/proc/self/fd/{fd}"), reason)
        raise OSError(errno.ENOSPC, reason)

    def _try_to_mark(self, fd: int, device: int) -> _Marked:
        self._handles.of(fd)  # whether there are any
        found = fanotify.filesystem_id(fd)
        before = fanotify.marked(self._fd)
        fanotify.mark(self._fd, fd)
        fresh = fanotify.marked(self._fd) - before
        if len(fresh) != 1 or any(marked.id == found for marked in self._marked.values()):
            # Another with the same id has been marked: a copy of this filesystem, whose handles can be the same.
            if fresh:
                fanotify.unmark(self._fd, fd)
            raise OSError(errno.ENOTUNIQ, os.strerror(errno.ENOTUNIQ))
        marked = self._marked[device] = _Marked(found, fresh.pop())
        return marked

    def same(self, fd: int, node: Node) -> bool:
        if node.wd < 0:
            return False
        marked = self._marked.get(os.fstat(fd).st_dev)
        return marked is not None and number_of(marked.id, self._handles.of(fd)) == node.wd

    def forget(self, nodes: list[Node]) -> None:
        for node in nodes:
            self._held.remove(node)

    def directories(self) -> tuple[int, Node | None]:
        """How many directories are watched, and one of them."""
        return len(self._nodes), next(iter(self._nodes.values()), None)

    def watches(self) -> int:
        return len(self._marked)

    # -- hints

    def fileno(self) -> int:
        return self._drain.ready

    def drain(self) -> None:
        self._read()
        if self._mounts.poll(0):
            self._remounted = True

    def _remount(self) -> None:
        """Called in the thread that reads."""
        self._remounted = True
        self._drain.ring()

    def _read(self) -> int:
        """Reads until the kernel's queue is empty; returns the size of the largest read."""
        largest = 0
        with self._deciding:
            before = self._kept()
            while True:
                try:
                    chunk = os.read(self._fd, _READ_BYTES)
                except BlockingIOError:
                    break
                largest = max(largest, len(chunk))
                self._decode(chunk)
            if largest:
                self._loud += self._noise.loud(time.monotonic())
            news = self._kept() != before
        if news:
            self._drain.ring()
        return largest

    def _kept(self) -> tuple[int, int, int, bool]:
        return self._count, len(self._specials), len(self._loud), self._lost

    def _decode(self, chunk: bytes) -> None:
        try:
            count, specials = decode(chunk, self._nodes, self._names, self._came, self._left, self._noise.counts)
        except Damaged as damage:
            log.error("fanotify: %s; everything is scanned again", damage)
            self._lost = True
            return
        self._count += count
        self._specials += specials
        self._room -= count
        if self._room < 0:
            self._room = self._names_max - sum(map(len, self._names.values())) - len(self._specials)
        if self._room < 0:
            self._take_kept()
            self._lost = True

    def _take_kept(self) -> tuple[Names, Names, Names, list[tuple[int, int, bytes]], int]:
        kept = self._names, self._came, self._left, self._specials, self._count
        self._names, self._came, self._left = Names(), Names(), Names()
        self._specials, self._count, self._room = [], 0, self._names_max
        return kept

    def take(self) -> Hints:
        self._drain.hush()
        hints = Hints()
        with self._deciding:
            names, came, left, specials, hints.count = self._take_kept()
            hints.overflow, self._lost = self._lost, False
            loud, self._loud = self._loud, []
        for number, mask, name in specials:
            self._special(number, mask, name, hints)
        for some, into in ((names, hints.names), (came, hints.came), (left, hints.left)):
            self._held.place(some, into)
        if self._remounted:
            self._remounted = False
            self._compare_marks(hints)
        for directory in loud:
            self._ignore(directory)
        return hints

    def _ignore(self, directory: bytes) -> None:
        """What happens to the files of a directory that nobody watches is not reported any more."""
        filesystem, handle = parts_of(directory)
        near = next((node for number, node in self._nodes.items() if is_on(number, filesystem)), None)
        if near is not None and number_of(filesystem, handle) not in self._nodes:
            self._unreported.add(directory, near.path())

    def _special(self, number: int, mask: int, name: bytes, hints: Hints) -> None:
        if mask & FAN_Q_OVERFLOW:
            hints.overflow = True
        elif not name:
            hints.selves.extend(self._held.drop(number) if mask & FAN_DELETE_SELF else self._held.places(number))
        else:
            arrival = Arrival.RENAMED if mask & FAN_MOVED_TO else Arrival.MADE if mask & FAN_CREATE else Arrival.NONE
            for place in self._held.places(number):
                key = (place, name)
                hints.directories[key] = max(arrival, hints.directories.get(key, Arrival.NONE))

    def _compare_marks(self, hints: Hints) -> None:
        """The kernel takes a mark back without a word when its filesystem was unmounted everywhere. The same may be mounted again
        by now: all its directories are in doubt."""
        self._refused.clear()  # the number of a device is given again
        living = fanotify.marked(self._fd)
        for device, marked in list(self._marked.items()):
            if marked.device in living:
                continue
            del self._marked[device]
            for number in [number for number in self._nodes if is_on(number, marked.id)]:
                hints.selves.extend(self._held.drop(number))

    def second(self) -> Second | None:
        return None

    def close(self) -> None:
        self._drain.close()
        for fd in (self._fd, *self._tables):
            os.close(fd)
