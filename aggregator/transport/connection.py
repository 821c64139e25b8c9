"""One connection of a door: what has arrived, and what is still to be sent. Used by `door`, which does all that happens to it."""

from __future__ import annotations

import socket
from collections import deque
from typing import Generic, TypeVar

from shardwatch.shard.contract.limits import FRAME_BYTES_MAX
from shardwatch.shard.contract.wire import zmtp

#: What a caller gives with an answer, to be given back if the answer is not sent.
R = TypeVar("R")


class PeerConnection(Generic[R]):
    """What a door knows of one peer. Only the door sets its attributes."""

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
