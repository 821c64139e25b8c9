"""How long the thread that empties a queue of the kernel leaves it alone after a read. Does no input or output.

While much happens, the kernel is left to collect (and merge) for a moment, so that one read serves many changes.
"""

from __future__ import annotations

from typing import Final

#: A read of so many bytes means a burst.
_BURST_BYTES: Final = 1 << 12
_WAIT_S: Final = 0.002
#: So many reads within so short a time are a stream, however small each is: thousands of wake-ups a second otherwise (measured:
#: half of the shards' processor time at 15,000 changes a second). A single save, some events, is never made to wait.
_STREAM_READS: Final = 6
_STREAM_WINDOW_S: Final = 0.02
#: After so many reads of at least so many bytes, each within that time of the one before, the stream is a steady one. It is left
#: alone for longer, since each turn costs two threads a wake-up with cold caches; but not where more bytes come in one wait than
#: are a small part of the queue, some 250 of 16,384 events.
_STEADY_READS: Final = 8
_STEADY_BYTES: Final = 1 << 10
_STEADY_BYTES_MAX: Final = 1 << 13
_STEADY_WAIT_S: Final = 0.005


class Bursts:
    """Owned by the thread that reads."""

    def __init__(self) -> None:
        self._begun = 0.0
        self._reads = 0
        self._read_at = 0.0
        #: How many reads of a stream there were in a row.
        self._steady = 0

    def wait_s(self, size: int, now: float) -> float:
        """Seconds to wait before the next read; 0.0: none.

        Args:
            size: bytes of the largest read since the last call.
            now: monotonic seconds, after it.
        """
        goes_on = size >= _STEADY_BYTES and now - self._read_at <= _STREAM_WINDOW_S
        self._steady = self._steady + 1 if goes_on else 0
        self._read_at = now
        if now - self._begun > _STREAM_WINDOW_S:
            self._begun, self._reads = now, 0
        self._reads += 1
        if self._steady >= _STEADY_READS:
            return _STEADY_WAIT_S if size <= _STEADY_BYTES_MAX else _WAIT_S
        return _WAIT_S if size >= _BURST_BYTES or self._reads > _STREAM_READS else 0.0
