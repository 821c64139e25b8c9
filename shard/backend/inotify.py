"""The backend for inotify(7), written for speed: one instance per shard, one watch per directory, and a thread that only
empties the queue. What was read is decoded when it is taken (`decoding`).

A thread that does nothing but read loses no event at the default queue length of 16,384, even while the rest of the process
stands still for 200 ms at 45,000 files a second.
"""

from __future__ import annotations

import errno
import os
import threading
import time
from typing import Final

from ..compiled.choice import native
from ..tree.nodes import Node
from . import calls, decoding
from .base import Arrival, Hints, Second
from .calls import (
    IN_ATTRIB,
    IN_CLOSE_WRITE,
    IN_CREATE,
    IN_DELETE,
    IN_DELETE_SELF,
    IN_IGNORED,
    IN_MODIFY,
    IN_MOVE_SELF,
    IN_MOVED_FROM,
    IN_MOVED_TO,
    IN_ONLYDIR,
    IN_Q_OVERFLOW,
    IN_UNMOUNT,
)
from .decoding import Names
from .drain import Drain
from .held import Held
from .patience import Patience, Untaken
from .watches import Watches

#: Never IN_EXCL_UNLINK: what is written by a descriptor whose name was removed may have another name (`shard/tree/unlinked.py`).
#: Never IN_OPEN, IN_ACCESS, IN_CLOSE_NOWRITE: reading the tree would then be events.
_MASK: Final = (
    IN_MODIFY | IN_ATTRIB | IN_CLOSE_WRITE | IN_MOVED_FROM | IN_MOVED_TO | IN_CREATE | IN_DELETE
    | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR
)  # fmt: skip
#: Of a directory that only leads somewhere: whether it is still where it was.
_MASK_SELF: Final = IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR

_READ_BYTES: Final = 1 << 18
#: An event with the longest name (inotify(7)).
_EVENT_BYTES_MAX: Final = 16 + 255 + 1
_BACKLOG_BYTES_MAX: Final = 64 << 20

_decode = native(decoding.decode)
_watch_open = native(calls.watch_open)


class InotifyBackend:
    """See `Backend`."""

    name = "inotify"
    lossy = False

    def __init__(
        self, *, watches_max: int = 0, backlog_bytes_max: int = _BACKLOG_BYTES_MAX, patience: Patience | None = None
    ) -> None:
        """Makes an inotify instance.

        Args:
            watches_max: watches that this instance may hold; 0 for as many as the kernel gives.
            backlog_bytes_max: undecoded bytes that are kept. What comes beyond it is dropped, and it is an overflow like the
                kernel's own.
            patience: until when names of files need not be taken; None: everything is to be taken at once.

        Raises OSError: EMFILE when `fs.inotify.max_user_instances` is reached.
        """
        self._fd = calls.init()
        #: May be set to another value at any time.
        self.watches_max = watches_max
        self._backlog_bytes_max = backlog_bytes_max
        self._nodes = Watches()
        self._held = Held(self._nodes)
        self._kept = Untaken(Patience() if patience is None else patience)
        self._lost = False
        self._reading = threading.Lock()
        self._drain = Drain(self._fd, self._read)
        self._drain.start()

    # -- registration

    def watch(self, fd: int, node: Node, *, names: bool = True) -> Node | None:
        if self.watches_max and len(self._nodes) >= self.watches_max:
            raise OSError(errno.ENOSPC, "the plan's share of the watches is used up")
        wd = node.wd = self._add(fd, _MASK if names else _MASK_SELF)
        return None if self._nodes.setdefault(wd, node) is node else self._held.add(wd, node)

    def same(self, fd: int, node: Node) -> bool:
        if node.wd < 0:
            return False
        try:
            wd = self._add(fd)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.ENOMEM):
                return False  # no room for another watch: so it is another directory
            raise
        self.give_back(wd)
        return wd == node.wd

    def instance(self, node: Node) -> int:
        return self._fd

    def instance_for(self, count: int) -> tuple[int, int]:
        if self.watches_max and len(self._nodes) + count > self.watches_max:
            return -1, 0
        return self._fd, _MASK

    def hold(self, watch: int, node: Node) -> bool:
        if self._nodes.setdefault(watch, node) is not node:
            return False
        node.wd = watch
        return True

    def give_back(self, watch: int) -> None:
        if watch not in self._nodes:
            calls.rm_watch(self._fd, watch)

    def _add(self, fd: int, mask: int = _MASK) -> int:
        return _watch_open(self._fd, fd, mask)

    def forget(self, nodes: list[Node]) -> None:
        for node in nodes:
            wd = self._held.remove(node)
            if wd >= 0:
                calls.rm_watch(self._fd, wd)  # EINVAL where the directory is gone already: just as well

    def directories(self) -> tuple[int, Node | None]:
        """How many directories are watched, and one of them."""
        return len(self._nodes), self._nodes.any()

    def watches(self) -> int:
        return len(self._nodes)

    # -- hints

    def fileno(self) -> int:
        return self._drain.ready

    def drain(self) -> None:
        self._read()

    def _read(self) -> int:
        """Reads until the kernel's queue is empty; returns the size of the largest read."""
        largest = 0
        with self._reading:
            while True:
                try:
                    chunk = os.read(self._fd, _READ_BYTES)
                except BlockingIOError:
                    break
                largest = max(largest, len(chunk))
                if self._kept.size > self._backlog_bytes_max:
                    self._lost = True
                    continue
                self._kept.add(chunk, time.monotonic_ns())
                if len(chunk) <= _READ_BYTES - _EVENT_BYTES_MAX:
                    break  # there was room for another event, so there was none
            if largest:
                self._ring()
        return largest

    def _ring(self) -> None:
        """Something was read."""
        self._drain.ring(0 if self._lost else self._kept.due())

    def take(self) -> Hints:
        self._drain.hush()
        hints = Hints()
        names, came, left = Names(), Names(), Names()
        with self._reading:
            some, hints.at = self._kept.oldest()
            hints.more = len(self._kept) - some
            hints.overflow, self._lost = self._lost, False
        for _ in range(some):
            with self._reading:
                chunk = self._kept.pop()
            count, specials = _decode(chunk, names, came, left)
            hints.count += count
            for wd, mask, name in specials:
                self._special(wd, mask, name, hints)
        for found, into in ((names, hints.names), (came, hints.came), (left, hints.left)):
            self._held.place(found, into)
        return hints

    def _special(self, wd: int, mask: int, name: bytes, hints: Hints) -> None:
        if mask & IN_Q_OVERFLOW:
            hints.overflow = True
            return
        places = self._held.places(wd)
        if not places:
            return
        if mask & IN_IGNORED:
            self._held.drop(wd)  # the kernel dropped the watch: the directory is gone, or its filesystem is
        elif name:
            arrival = Arrival.RENAMED if mask & IN_MOVED_TO else Arrival.MADE if mask & IN_CREATE else Arrival.NONE
            for place in places:
                key = (place, name)
                hints.directories[key] = max(arrival, hints.directories.get(key, Arrival.NONE))
            return
        if mask & (IN_IGNORED | IN_DELETE_SELF | IN_MOVE_SELF | IN_UNMOUNT):
            hints.selves.extend(places)

    def second(self) -> Second | None:
        return None

    def close(self) -> None:
        self._drain.close()
        os.close(self._fd)
