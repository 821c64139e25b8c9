"""watchdog's observer for this platform, behind the interface of our backends. For systems without inotify, and for
comparison.

It watches whole anchors, including excluded directories. It also loses events silently: watchdog drops the kernel's
overflow record (gorakhargosh/watchdog#654), and watches trees that are moved in late or not at all (#1094). Therefore
it is marked as `lossy`, and the shard rescans at each sync, and once a minute.

watchdog walks through the whole of a tree before it watches it, also where other filesystems are mounted, and would wait for
one that does not answer. Therefore an anchor at, below or above a filesystem that can hang is refused, and is swept instead; so
is one above a filesystem that the kernel makes up, of which there may be no end.
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable, Iterable
from typing import Final

from watchdog.events import (
    DirCreatedEvent,
    DirDeletedEvent,
    DirMovedEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileModifiedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers import Observer

from ..contract.kernel.mounts import can_hang, holder, is_made_up, read_mounts
from ..tree.nodes import Node, Waypoint
from .base import Arrival, Hints, Second, WithoutInotify

#: What watchdog is asked for. Its default (`WATCHDOG_ALL_EVENTS` in watchdog/observers/inotify_c.py) includes opens. watchdog
#: opens every directory when it walks the tree, so its own walk would fill its queue, and no real change would come through.
_EVENTS: list[type[FileSystemEvent]] = [
    DirCreatedEvent, DirDeletedEvent, DirMovedEvent, FileClosedEvent, FileCreatedEvent, FileDeletedEvent,
    FileModifiedEvent, FileMovedEvent,
]  # fmt: skip
_PATHS_MAX: Final = 500_000


class NativeBackend(WithoutInotify, FileSystemEventHandler):
    """See `Backend`."""

    lossy = True

    def __init__(
        self, *, paths_max: int = _PATHS_MAX, mounts: Callable[[], Iterable[tuple[bytes, str]]] = read_mounts
    ) -> None:
        """
        Args:
            paths_max: hints that are kept until they are taken. What comes beyond it is dropped, and everything is in doubt.
            mounts: reads the table of mounts, in the order of mounting.
        """
        self._paths_max = paths_max
        self._mounts = mounts
        self._observer = Observer()
        self.name = f"native:{type(self._observer).__name__}"
        #: The anchors that watchdog watches, by their paths.
        self._anchors: dict[bytes, Node] = {}
        #: The indices of anchors that it must not walk through, with the reason.
        self._refused: dict[int, str] = {}
        self._lock = threading.Lock()
        self._paths: dict[bytes, bool] = {}
        self._lost = False
        self._count = 0
        self._ready = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._observer.start()

    def fileno(self) -> int:
        return self._ready

    @property
    def refuses(self) -> bool:
        """Whether an anchor is not watched because of a filesystem that can hang."""
        return bool(self._refused)

    def watch(self, fd: int, node: Node, *, names: bool = True) -> Node | None:
        if isinstance(node, Waypoint):
            raise OSError(errno.ENOTSUP, "watchdog knows trees only")
        if node.parent is None:
            if node.name not in self._anchors:
                self._schedule(node)
            self._anchors[node.name] = node
        elif self._refused and (reason := self._refused.get(node.anchor)):
            raise OSError(errno.ENOSPC, reason)
        node.wd = 0
        return None

    def _schedule(self, anchor: Node) -> None:
        """Has watchdog walk through an anchor and watch it. Raises OSError, also if a filesystem there can hang.

        One that is mounted and hangs between the look at the table and the walk keeps this thread waiting: the process is then
        replaced like any that hangs, and the next one refuses the anchor.
        """
        reason = self._danger(anchor.name)
        if reason:
            self._refused[anchor.anchor] = reason
            raise OSError(errno.ENOSPC, reason)
        self._refused.pop(anchor.anchor, None)
        self._observer.schedule(self, os.fsdecode(anchor.name), recursive=True, event_filter=_EVENTS)

    def _danger(self, path: bytes) -> str:
        """What can hang on a walk through a directory, "" if nothing can."""
        mounts = list(self._mounts())
        below = path.rstrip(b"/") + b"/"
        for place in [path, *(point for point, _ in mounts if point.startswith(below))]:
            point, kind = holder(place, mounts)
            if can_hang(kind):
                return f"watchdog would walk into {kind} on {os.fsdecode(point)}, which may hang"
            if is_made_up(kind) and place != path:
                return f"watchdog would walk into {kind} on {os.fsdecode(point)}, which the kernel makes up"
        return ""

    def same(self, fd: int, node: Node) -> bool:
        # Directories are known by their paths only. Those of an anchor that was watched, and is refused by now, are not watched.
        return node.wd >= 0 and not (self._refused and node.anchor in self._refused)

    def forget(self, nodes: list[Node]) -> None:
        for node in nodes:
            if node.parent is None and self._anchors.get(node.name) is node:
                del self._anchors[node.name]
                self._observer.unschedule_all()
                for path, other in list(self._anchors.items()):
                    try:
                        self._schedule(other)
                    except OSError:
                        del self._anchors[path]
                        other.wd = -1  # gone too, or refused: whatever comes there is scanned

    def on_any_event(self, event: FileSystemEvent) -> None:
        """Called in watchdog's thread."""
        with self._lock:
            self._count += 1
            for path in (event.src_path, event.dest_path):
                if path:
                    key = os.fsencode(path)
                    self._paths[key] = event.is_directory or self._paths.get(key, False)
            if len(self._paths) > self._paths_max:
                self._paths.clear()
                self._lost = True
        os.eventfd_write(self._ready, 1)

    def take(self) -> Hints:
        try:
            os.eventfd_read(self._ready)
        except BlockingIOError:
            pass
        hints = Hints()
        with self._lock:
            paths, self._paths = self._paths, {}
            hints.overflow, self._lost = self._lost, False
            hints.count, self._count = self._count, 0
        for path, directory in paths.items():
            self._hint(hints, path, directory)
        return hints

    def _hint(self, hints: Hints, path: bytes, directory: bool) -> None:
        anchor = self._anchors.get(path)
        if anchor is not None:
            # What came in its place is watched by nobody: watchdog goes by paths once only.
            self.forget([anchor])
            anchor.wd = -1
            hints.selves.append(anchor)
            return
        above, name = os.path.split(path)
        while above not in self._anchors:
            up = os.path.dirname(above)
            if up == above:
                return
            above = up
        # From the anchor down, as far as directories are known: what is not known yet is scanned from there.
        node = self._anchors[above]
        names = path[len(above) :].strip(b"/").split(b"/")
        for step in names[:-1]:
            below = node.child(step)
            if below is None:
                hints.directories[(node, step)] = Arrival.CAME
                return
            node = below
        if directory:
            hints.directories[(node, name)] = Arrival.CAME
        else:
            hints.names.setdefault(node, set()).add(name)

    def drain(self) -> None:
        """What watchdog's own threads hold can't be waited for: a sync rescans instead (`lossy`)."""

    def watches(self) -> int:
        return len(self._anchors)

    def second(self) -> Second | None:
        return None

    def close(self) -> None:
        self._observer.stop()
        self._observer.join()
        os.close(self._ready)
