"""Which directories that nobody asked about are so busy that the kernel had better not report them. Does no input or output.

A mark of a filesystem reports every change on it. A directory of others in which thousands of files are written each minute
makes its writers slower, fills the kernel's queue and has this process decode what it then passes over.
"""

from __future__ import annotations

from typing import Final

#: Events of one directory within a window that make it noise: below that, they cost less than a thousandth of a core.
LOUD_EVENTS: Final = 10_000
WINDOW_S: Final = 60.0
#: Directories that are counted at a time, about 150 bytes each. Beyond this, counting begins again.
COUNTED_MAX: Final = 4_096
#: Directories that the kernel is asked to pass over at a time.
IGNORED_MAX: Final = 64


class Noise:
    """Counts the events of directories that are not known. A directory is named as the kernel does it, by the id of its
    filesystem and its handle. Not thread-safe.

    Args:
        events: of one directory within `WINDOW_S` that make it noise.
    """

    def __init__(self, events: int = LOUD_EVENTS) -> None:
        self._events = events
        #: Events of each directory in this window; whoever decodes them adds to it.
        self.counts: dict[bytes, int] = {}
        self._until = 0.0

    def loud(self, now: float) -> list[bytes]:
        """The directories that have become noise, each once; their counts begin again.

        Args:
            now: seconds of a clock that only advances.
        """
        found = [directory for directory, count in self.counts.items() if count >= self._events]
        if now >= self._until or len(self.counts) > COUNTED_MAX:
            self.counts.clear()
            self._until = now + WINDOW_S
        for directory in found:
            self.counts.pop(directory, None)
        return found
