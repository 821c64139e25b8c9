"""Sends the stream of a shard: numbers the frames, keeps them until they are acknowledged, and sends again what may be
lost.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Final

from ..contract.files.packed import Seen
from ..contract.limits import FRAME_ENTRIES_MAX, SILENT_S, WINDOW_BYTES_MAX, WINDOW_FRAMES_MAX, WIRE_VERSION
from ..contract.wire.frames import Frame, Listing, Looks, Record, Reply, encode

#: A record costs about as much as this many entries, however few it has, and one entry more for each of these many bytes of its
#: path.
_RECORD_COST: Final = 2
_PATH_COST_BYTES: Final = 100
#: Silence after which everything unacked is sent again, doubled each time up to the maximum, ns. The acknowledgement of a small
#: frame may come with the next beat only.
_RESEND_NS: Final = int(SILENT_S * 1e9)
_RESEND_NS_MAX: Final = 30_000_000_000
_RESEND_GAP_NS: Final = 50_000_000


def listings(path: bytes, at: int, seen: Seen, births: dict[bytes, int] | None = None) -> Iterator[Listing]:
    """Splits the listing of a large directory into parts, each of which covers a range of names."""
    after: bytes | None = None
    count = len(seen.names)
    for begin in range(0, max(count, 1), FRAME_ENTRIES_MAX):
        end = begin + FRAME_ENTRIES_MAX
        part = seen.part(begin, end)
        upto = part.names[-1] if end < count else None
        yield Listing(path, at, *part, after, upto, _of(part, births))
        after = upto


def looks(
    path: bytes, at: int, seen: Seen, absent: list[bytes], births: dict[bytes, int] | None = None
) -> Iterator[Looks]:
    """Splits looks at many names of one directory in the same way."""
    for begin in range(0, max(len(seen.names), len(absent)), FRAME_ENTRIES_MAX):
        end = begin + FRAME_ENTRIES_MAX
        part = seen.part(begin, end)
        yield Looks(path, at, *part, absent[begin:end], _of(part, births))


def _of(part: Seen, births: dict[bytes, int] | None) -> dict[bytes, int]:
    return {name: births[name] for name in part.names if name in births} if births else {}


class Stream:
    """The stream of one shard, one epoch at a time. It uses no socket: `push` takes a frame and returns whether it was accepted.
    `push` must not block.
    """

    def __init__(self, shard: str, epoch: int, generation: int, push: Callable[[bytes], bool], *, service: str = "") -> None:
        self.shard = shard
        self._service = service
        self.generation = generation
        self._push = push
        self.begin(epoch)

    def begin(self, epoch: int) -> None:
        """Begins a new epoch. Its frames are numbered from 1, and everything that was sent or kept in the previous one is
        discarded.
        """
        self.epoch = epoch
        self._records: list[Record] = []
        self._cost = 0
        self._seq = 0
        #: Encoded frames not yet acked, the lowest number first; the first `_sent` of them have been pushed.
        self._unacked: deque[bytes] = deque()
        self._bytes = 0
        self._sent = 0
        self.acked = 0
        self._life = 0
        self._resend_at: int | None = None
        self._resend_wait = _RESEND_NS
        self._resent_at = 0
        #: Frames sent more than once, each time counted.
        self.resent = 0

    @property
    def full(self) -> bool:
        """Whether looks must wait for acknowledgements. Pending work then stays in the form of hints."""
        return len(self._unacked) >= WINDOW_FRAMES_MAX or self._bytes >= WINDOW_BYTES_MAX

    @property
    def unacked(self) -> int:
        return len(self._unacked)

    @property
    def kept_bytes(self) -> int:
        """Of the frames that are not acknowledged."""
        return self._bytes

    @property
    def unsent(self) -> bool:
        return self._sent < len(self._unacked)

    def add(self, record: Record) -> None:
        """Appends a record in the order of looking. Large ones are split first (`parts`)."""
        self._records.append(record)
        cost = self._cost + _RECORD_COST
        if isinstance(record, Looks):
            cost += len(record.path) // _PATH_COST_BYTES + len(record.names) + len(record.absent)
        elif isinstance(record, Listing):
            cost += len(record.path) // _PATH_COST_BYTES + len(record.names)
        self._cost = cost
        if cost >= FRAME_ENTRIES_MAX:
            self._seal()

    def _seal(self) -> None:
        self._seq += 1
        body = encode(Frame(WIRE_VERSION, self.shard, self.epoch, self.generation, self._seq, self._records, self._service))
        self._records = []
        self._cost = 0
        self._unacked.append(body)
        self._bytes += len(body)

    def go_by(self, generation: int) -> None:
        """The records that are added from now on are made under the plan of this generation."""
        if self._records:
            self._seal()
        self.generation = generation

    def flush(self, now: int) -> None:
        """Sends as many frames as the socket accepts."""
        if self._records:
            self._seal()
        while self._sent < len(self._unacked) and self._push(self._unacked[self._sent]):
            self._sent += 1
        if self._unacked and self._resend_at is None:
            self._resend_at = now + self._resend_wait
        if self._resend_at is not None and now >= self._resend_at and not self.unsent:
            self._resend_wait = min(self._resend_wait * 2, _RESEND_NS_MAX)
            self._resend_at = now + self._resend_wait
            self._again(now)

    def _again(self, now: int) -> None:
        self.resent += self._sent
        self._sent = 0
        self._resent_at = now

    def reply(self, reply: Reply, now: int) -> bool:
        """Handles an acknowledgement. Returns False if this epoch cannot continue, because the aggregator knows a later one or
        has lost this one.
        """
        restarted = reply.life != self._life != 0
        self._life = reply.life
        if reply.epoch > self.epoch:
            return False
        if reply.epoch == self.epoch:
            if reply.committed < self.acked or reply.committed > self._seq:
                return False  # it lost some of them, or means those of another life with this number
            if reply.committed > self.acked:
                for _ in range(min(reply.committed - self.acked, len(self._unacked))):
                    self._bytes -= len(self._unacked.popleft())
                    self._sent = max(0, self._sent - 1)
                self.acked = reply.committed
                self._resend_wait = _RESEND_NS
                self._resend_at = now + self._resend_wait if self._unacked else None
        elif self.acked:
            return False  # it had acked frames of this epoch, and knows nothing of it now
        if restarted or (reply.resend and now - self._resent_at >= _RESEND_GAP_NS):
            self._again(now)
        return True

    def next_resend(self) -> int | None:
        return self._resend_at
