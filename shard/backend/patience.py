"""How long what the kernel has said can be left where it was read, before it is taken. Pure: the caller passes the time in.

Names of files are debounced: nothing is done about them until they have been quiet for a while. So nobody needs to be woken for
them before that; when the time is over, one turn takes them and looks at them. A save consists of several events, and to be
woken for each of them, only to note it, would cost a shard a third of its work for the save.

What tells of directories, of a watch, or of the queue itself, is to be taken at once, and so is what is much.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from .calls import IN_DELETE_SELF, IN_IGNORED, IN_ISDIR, IN_MOVE_SELF, IN_Q_OVERFLOW, IN_UNMOUNT
from .decoding import HEAD_BYTES, head

#: A debounce time that is too short to wait for in this way, and the longest time for which is waited, ns.
_SHORT_NS: Final = 2_000_000
_LONGEST_NS: Final = 500_000_000
#: What is much: bytes of one chunk, some twenty events; and chunks that wait.
_MUCH_BYTES: Final = 1 << 10
_MANY: Final = 16
#: What was read within this part of the debounce time is taken together. The debounce time itself is no more exact.
_GRAINS: Final = 8
#: So much sooner than names are due they are taken, ns: what that needs is done, and awake, when the time is over.
_AHEAD_NS: Final = 300_000
_URGENT: Final = IN_ISDIR | IN_DELETE_SELF | IN_MOVE_SELF | IN_UNMOUNT | IN_Q_OVERFLOW | IN_IGNORED


class Patience:
    """What a shard tells its backend."""

    __slots__ = ("quiet_ns",)

    def __init__(self) -> None:
        #: For how long names have to be quiet, ns. It may be set at any time. 0: everything is to be taken at once.
        self.quiet_ns = 0


class Untaken:
    """What was read and is not taken yet. Not thread-safe. Times are monotonic, ns."""

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        #: Each chunk, and when it was read; 0: it is to be taken at once.
        self._chunks: deque[tuple[int, bytes]] = deque()
        self._urgent = 0
        #: Bytes that are kept.
        self.size = 0

    def __len__(self) -> int:
        """Chunks."""
        return len(self._chunks)

    def add(self, chunk: bytes, now: int) -> None:
        """A chunk of whole events was read by now."""
        waits = self._patience.quiet_ns >= _SHORT_NS and len(chunk) <= _MUCH_BYTES and not _is_urgent(chunk)
        self._chunks.append((now if waits else 0, chunk))
        self._urgent += not waits
        self.size += len(chunk)

    def due(self) -> int:
        """When the oldest of what is kept, something at least, is to be taken; 0: at once."""
        if self._urgent or len(self._chunks) > _MANY:
            return 0
        return self.oldest()[1] + min(self._patience.quiet_ns, _LONGEST_NS) - _AHEAD_NS

    def oldest(self) -> tuple[int, int]:
        """How many chunks from the first one on are to be taken together, and when the last of them was read; 0: it counts as
        read now."""
        count = first = last = 0
        for at, _ in self._chunks:
            if count and (bool(at) != bool(first) or at - first > self._patience.quiet_ns // _GRAINS):
                break
            first, last = first or at, at
            count += 1
        return count, last

    def pop(self) -> bytes:
        """Takes the first chunk."""
        at, chunk = self._chunks.popleft()
        self._urgent -= not at
        self.size -= len(chunk)
        return chunk


def _is_urgent(chunk: bytes) -> bool:
    """Whether it has an event of something else than the name of a file."""
    at, end = 0, len(chunk)
    while at < end:
        _, mask, length = head(chunk, at)
        if mask & _URGENT:
            return True
        at += HEAD_BYTES + length
    return False
