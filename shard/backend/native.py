"""watchdog's observer for this platform, behind the interface of our backends. For systems without inotify, and for
comparison.

It watches whole anchors, including excluded directories. It also loses events silently: watchdog drops the kernel's
overflow record (gorakhargosh/watchdog#654), and watches trees that are moved in late or not at all (#1094). Therefore
it is marked as `lossy`, and the shard rescans at each sync, and once a minute.
"""

from __future__ import annotations

import errno
import os
import threading
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

from ..tree.nodes import Node, Waypoint
from .base import Arrival, Hints

#: What watchdog is asked for. Its default (`WATCHDOG_ALL_EVENTS` in watchdog/observers/inotify_c.py) includes opens. watchdog
#: opens every directory when it walks the tree, so its own walk would fill its queue, and no real change would come through.
_EVENTS: list[type[FileSystemEvent]] = [
    DirCreatedEvent, DirDeletedEvent, DirMovedEvent, FileClosedEvent, FileCreatedEvent, FileDeletedEvent,
    FileModifiedEvent, FileMovedEvent,
]  # fmt: skip
_PATHS_MAX: Final = 500_000


class NativeBackend(FileSystemEventHandler):
    """See `Backend`."""

    lossy = True

    def __init__(self, *, paths_max: int = _PATHS_MAX) -> None:
        """`paths_max`: hints that are kept until they are taken. What comes beyond it is dropped, and everything is in doubt."""
        self._paths_max = paths_max
        self._observer = Observer()
        self.name = f"native:{type(self._observer).__name__}"
        self._anchors: dict[bytes, Node] = {}
        self._lock = threading.Lock()
        self._paths: dict[bytes, bool] = {}
        self._lost = False
        self._count = 0
        self._ready = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._observer.start()

    def fileno(self) -> int:
        return self._ready

    def watch(self, fd: int, node: Node, *, names: bool = True) -> Node | None:
        if isinstance(node, Waypoint):
            raise OSError(errno.ENOTSUP, "watchdog knows trees only")
        if node.parent is None:
            path = node.name
            if path not in self._anchors:
                self._observer.schedule(self, os.fsdecode(path), recursive=True, event_filter=_EVENTS)
            self._anchors[path] = node
        node.wd = 0
        return None

    def same(self, fd: int, node: Node) -> bool:
        return node.wd >= 0  # directories are known by their paths only

    def forget(self, nodes: list[Node]) -> None:
        for node in nodes:
            if node.parent is None and self._anchors.get(node.name) is node:
                del self._anchors[node.name]
                self._observer.unschedule_all()
                for path, other in list(self._anchors.items()):
                    try:
                        self._observer.schedule(self, os.fsdecode(path), recursive=True, event_filter=_EVENTS)
                    except OSError:
                        del self._anchors[path]
                        other.wd = -1  # gone too: whatever comes there is scanned

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

    def close(self) -> None:
        self._observer.stop()
        self._observer.join()
        os.close(self._ready)
