"""One connection of a door: what has arrived, and what is still to be sent. Used by `door`, which decides what happens to it."""

from __future__ import annotations

import selectors
import socket
from collections import deque
from typing import Final, Generic, TypeVar

from shardwatch.shard.contract.limits import FRAME_BYTES_MAX
from shardwatch.shard.contract.wire import zmtp

READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE
#: Messages that are read ahead.
INBOX_MAX: Final = 16
#: Bytes that one turn reads: about as many as the kernel keeps for it, so that what a shard has sent while the aggregator was
#: busy is one transaction.
_READ_BYTES: Final = 1 << 18
#: Bytes that the peer has not read yet. Above the first limit nothing is read from it. Above the second nothing is sent to it.
UNREAD_BYTES_PAUSE: Final = 1 << 18
UNREAD_BYTES_MAX: Final = 1 << 20
#: Subscriptions, and bytes of each.
_TOPICS_MAX: Final = 16
_TOPIC_BYTES_MAX: Final = 256

#: What a caller gives with an answer, to be given back if the answer is not sent.
R = TypeVar("R")


class PeerConnection(Generic[R]):
    """What a door knows of one peer. Nothing here blocks."""

    __slots__ = (
        "away",
        "closing",
        "decoder",
        "events",
        "held",
        "inbox",
        "key",
        "moved_at",
        "mute",
        "out",
        "owed",
        "sock",
        "topics",
        "unread",
    )  # fmt: skip

    def __init__(self, sock: socket.socket, key: bytes, now: float, *, away: bool) -> None:
        self.sock = sock
        self.key = key
        self.decoder = zmtp.Decoder(FRAME_BYTES_MAX)
        self.inbox: deque[list[bytes]] = deque()
        #: What it has not read yet, each with the receipt of an answer: of one that was sent in part, too, which nobody can read.
        self.out: deque[tuple[memoryview, R | None]] = deque()
        self.unread = 0
        #: Bytes of answers that are made, and not given to it yet.
        self.owed = 0
        #: Bytes of what is not decoded, and of what is not taken.
        self.held = 0
        #: When anything was last read from it, or by it.
        self.moved_at = now
        self.topics: set[bytes] = set()
        self.events = 0
        #: It is beyond the limit: it is told so, and closed.
        self.away = away
        #: Nothing more is read from it. It is closed when its messages are taken.
        self.closing = False
        #: It reads nothing any more.
        self.mute = False

    # -- what it says

    def receive(self, now: float) -> bytes | None:
        """What has arrived; None: nothing. b"" where it has ended: it is closed once its messages are taken, because what it said
        before it went counts."""
        try:
            data = self.sock.recv(_READ_BYTES)
        except BlockingIOError:
            return None
        except OSError:
            data = b""
        if data:
            self.moved_at = now
        else:
            self.closing = True
        return data

    def decode(self, data: bytes) -> list[list[bytes]]:
        """The messages in this and in what was kept before, as many as the inbox has room for. Raises ProtocolError."""
        return self.decoder.feed(data, INBOX_MAX - len(self.inbox))

    def measure(self) -> int:
        """Counts the bytes that are kept of what it has said; gives by how many they have grown."""
        before, self.held = self.held, self.decoder.held + sum([sum(map(len, message)) for message in self.inbox])
        return self.held - before

    def take(self) -> tuple[list[bytes], int]:
        """The next message of the inbox, and its bytes, which are not kept any more."""
        message = self.inbox.popleft()
        size = sum(map(len, message))
        self.held -= size
        return message, size

    @property
    def is_full(self) -> bool:
        """Whether as many messages wait to be taken as are read ahead."""
        return len(self.inbox) >= INBOX_MAX

    def subscribe(self, message: bytes) -> bool:
        """A topic that it wants to hear of, or not any more. Returns whether that is allowed."""
        topic = message[1:]
        if message[:1] == b"\1" and len(topic) <= _TOPIC_BYTES_MAX and len(self.topics) < _TOPICS_MAX:
            self.topics.add(topic)
        elif message[:1] == b"\0":
            self.topics.discard(topic)
        else:
            return False
        return True

    # -- what goes out

    def owe(self, size: int) -> None:
        """An answer of so many bytes is made."""
        self.owed += size

    def pay(self) -> None:
        """What was made is given to it, or will not be."""
        self.owed = 0

    def hears(self, topic: bytes) -> bool:
        """Whether it has subscribed to this topic, and reads."""
        reads = not self.mute and self.unread <= UNREAD_BYTES_PAUSE
        return reads and any(topic.startswith(wanted) for wanted in self.topics)

    def put(self, data: bytes, receipt: R | None = None) -> int:
        """It is to be sent. The number of bytes."""
        self.out.append((memoryview(data), receipt))
        size = len(data)
        self.unread += size
        return size

    def send(self, now: float) -> int:
        """Sends what there is room for; the number of bytes. Where it went away it is mute from then on: what it said before is
        still to be read."""
        before = self.unread
        try:
            while self.out:
                data, receipt = self.out[0]
                sent = self.sock.send(data)
                self.moved_at = now
                self.unread -= sent
                if sent < len(data):
                    self.out[0] = (data[sent:], receipt)
                    break
                self.out.popleft()
        except BlockingIOError:
            pass
        except OSError:
            self.mute = True
        return before - self.unread

    def forget_out(self) -> list[R]:
        """What is still to be sent is not sent; the receipts of it."""
        receipts = [receipt for _, receipt in self.out if receipt is not None]
        self.unread = 0
        self.out.clear()
        return receipts

    # -- what the selector is asked

    def wanted_events(self) -> int:
        """What it may do now: be read, be written to."""
        write = WRITE if self.out else 0
        if self.closing or self.unread > UNREAD_BYTES_PAUSE:
            return write
        if self.inbox and (len(self.inbox) >= INBOX_MAX or self.held > UNREAD_BYTES_PAUSE):
            return write
        return READ | write

    def watch(self, events: int) -> None:
        """The selector waits for these events; 0: it does not know the connection."""
        self.events = events

    # -- its end

    def hang_up(self) -> None:
        """It is closed once it has read what it was sent. What it said does not count any more."""
        self.closing = True
        self.inbox.clear()

    def close(self) -> None:
        self.inbox.clear()
        self.sock.close()
