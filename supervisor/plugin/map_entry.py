"""What supervisord's loop asks of an entry in its socket map. Runs inside supervisord."""

from __future__ import annotations

import math
from typing import Any


class MapEntry:
    """An entry that only reads: a base class. What it does must not raise, which would end supervisord (see wake.py)."""

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return False

    def handle_read_event(self) -> None:
        raise NotImplementedError

    def handle_error(self) -> None:
        pass

    def next_due(self) -> float:
        """When `on_time` has something to do, monotonic seconds: `wake` ends the sleep then. Infinite: never."""
        return math.inf

    def on_time(self, now: float) -> None:
        """That time has come."""

    def forget(self) -> None:
        """Its descriptor was closed behind its back: the number may be another's by now."""


def drop_closed(socket_map: dict[int, Any], kind: type[MapEntry]) -> None:
    """Takes what is left of the last reload out of the map: supervisord closes descriptors by number, and leaves the entries."""
    for fd, entry in list(socket_map.items()):
        if isinstance(entry, kind):
            entry.forget()
            del socket_map[fd]
