"""inotify and fanotify beside each other: what the first of them refuses for want of room is watched by the other. Or inotify
alone, of which no instance is left for now."""

from __future__ import annotations

import errno
import logging
import select
import time
from collections.abc import Callable
from typing import Final, Protocol

from ..contract import causes
from ..contract.causes import cause, reason_of
from ..tree.nodes import Node
from .base import Backend, Hints, Second

log = logging.getLogger("shardwatch.shard")

INOTIFY: Final = "inotify"
FANOTIFY: Final = "fanotify"
_DOING: Final = {INOTIFY: causes.WATCH, FANOTIFY: causes.FANOTIFY}
#: errno with which a backend refuses a directory that the other one may take.
_REFUSED: Final = frozenset({errno.ENOSPC, errno.ENOMEM, errno.EMFILE})
#: errno of opening a backend when a limit is reached, which can be raised, or be reached no more.
_LIMITED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})
#: It is tried again after so long, ns.
_AGAIN_NS: Final = 10_000_000_000
#: By its number it is known who watches a directory: those of handles are at least this, those of inotify's watches below 2**31.
_HANDLES: Final = 1 << 64


class Counting(Backend, Protocol):
    """A backend that knows the directories which it watches."""

    def directories(self) -> tuple[int, Node | None]:
        """How many there are, and one of them."""
        ...


class BesideBackend:
    """See `Backend`. Each backend is opened when the first directory is for it.

    Args:
        inotify, fanotify: open them; raise OSError if that is impossible. If it was for want of instances, it is tried again
            after a while, when a directory is to be watched. None for fanotify: it is not wanted.
        fanotify_first: otherwise it only gets what inotify has no room for.
        clock: monotonic, ns.
    """

    lossy = False

    def __init__(
        self,
        inotify: Callable[[], Counting],
        fanotify: Callable[[], Counting] | None,
        *,
        fanotify_first: bool = False,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._openers = {INOTIFY: inotify} if fanotify is None else {INOTIFY: inotify, FANOTIFY: fanotify}
        #: The one that comes first, and then what takes what that refuses.
        self._order = (FANOTIFY, INOTIFY) if fanotify_first else tuple(self._openers)
        self._opened: dict[str, Counting] = {}
        #: Why one can't be opened. The reason, and not the error: one that is raised again and again gets a longer traceback each
        #: time, with all that its frames hold.
        self._impossible: dict[str, str] = {}
        #: When it may be possible again.
        self._again_at: dict[str, int] = {}
        self._clock = clock
        self._ready = select.epoll()
        #: Why the first one refused the last directory that the second one has taken.
        self._reason = ""

    @property
    def name(self) -> str:
        """Those that watch something, joined by `+`; if there are none, the one that comes first."""
        return "+".join(name for name in self._order if name in self._opened and self._opened[name].watches()) or self._order[0]

    def is_impossible(self, name: str) -> bool:
        """Whether this backend could not be opened."""
        return name in self._impossible

    @property
    def limited(self) -> Backend | None:
        """The backend with a watch for each directory; None while it watches nothing."""
        return self._opened.get(INOTIFY)

    @property
    def refuses_all(self) -> bool:
        """Whether a directory that is refused tells that others will be refused as well. fanotify refuses by filesystem."""
        return FANOTIFY not in self._opened

    def watch(self, fd: int, node: Node, *, names: bool = True) -> Node | None:
        refused: dict[str, OSError] = {}
        for name in self._order:
            try:
                other = self._open(name).watch(fd, node, names=names)
            except OSError as error:
                if error.errno not in _REFUSED:
                    raise
                refused[name] = error
                continue
            for first, refusal in refused.items():
                self._reason = reason_of(refusal, _DOING[first])
            return other
        raise refused[INOTIFY]  # its limits can be raised

    def _open(self, name: str) -> Counting:
        backend = self._opened.get(name)
        if backend is not None:
            return backend
        if name in self._impossible and (name not in self._again_at or self._clock() < self._again_at[name]):
            raise OSError(errno.ENOSPC, self._impossible[name])
        try:
            backend = self._openers[name]()
        except OSError as error:
            if name not in self._impossible:
                log.warning("%s can't be used: %s", name, cause(error, _DOING[name]).what)
            if error.errno in _LIMITED:
                self._again_at[name] = self._clock() + _AGAIN_NS
            self._impossible[name] = cause(error, _DOING[name]).what
            raise OSError(errno.ENOSPC, self._impossible[name]) from error
        if self._impossible.pop(name, None) is not None:
            log.warning("%s can be used again", name)
        self._opened[name] = backend
        self._ready.register(backend.fileno(), select.EPOLLIN)
        return backend

    def same(self, fd: int, node: Node) -> bool:
        holder = self._holder(node)
        return holder is not None and holder.same(fd, node)

    def instance(self, node: Node) -> int:
        holder = self._holder(node)
        return -1 if holder is None else holder.instance(node)

    def instance_for(self, count: int) -> tuple[int, int]:
        first = self._opened.get(INOTIFY) if self._order[0] == INOTIFY else None
        return (-1, 0) if first is None else first.instance_for(count)

    def hold(self, watch: int, node: Node) -> bool:
        return INOTIFY in self._opened and self._opened[INOTIFY].hold(watch, node)

    def give_back(self, watch: int) -> None:
        if INOTIFY in self._opened:
            self._opened[INOTIFY].give_back(watch)

    def _holder(self, node: Node) -> Counting | None:
        """Who watches the directory of a node."""
        return None if node.wd < 0 else self._opened.get(INOTIFY if node.wd < _HANDLES else FANOTIFY)

    def forget(self, nodes: list[Node]) -> None:
        if len(self._opened) == 1:
            for backend in self._opened.values():
                backend.forget(nodes)
            return
        for node in nodes:
            holder = self._holder(node)
            if holder is not None:
                holder.forget([node])

    def fileno(self) -> int:
        return self._ready.fileno()

    def take(self) -> Hints:
        hints = Hints()
        for backend in self._opened.values():
            hints.add(backend.take())
        return hints

    def drain(self) -> None:
        for backend in self._opened.values():
            backend.drain()

    def watches(self) -> int:
        return sum(backend.watches() for backend in self._opened.values())

    def second(self) -> Second | None:
        for name in self._order[1:]:
            count, example = self._opened[name].directories() if name in self._opened else (0, None)
            if example is not None:
                return Second(name, self._reason, count, example)
        return None

    def close(self) -> None:
        for backend in self._opened.values():
            backend.close()
        self._ready.close()
