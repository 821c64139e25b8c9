"""A socket of the aggregator to which others connect, and its connections. Used by `sockets` only; the protocol is in
`shard.contract.wire.zmtp`.

The number of connections, the bytes kept for each, and what one turn takes from each are limited. A connection is read
only while little of its input waits to be taken, and little output waits to be read by it. So a peer that sends without
end, or reads nothing, delays only itself. Messages are taken from all connections in turn.
"""

from __future__ import annotations

import logging
import selectors
import time
from pathlib import Path
from typing import Final, Generic

from shardwatch.shard.contract.process.log import Sparse
from shardwatch.shard.contract.wire import zmtp

from .connection import READ, UNREAD_BYTES_MAX, UNREAD_BYTES_PAUSE, WRITE, PeerConnection, R
from .listener import BACKLOG, Listener, NoRoomError

log = logging.getLogger("shardwatch.aggregator")

#: Bytes kept for all connections of a door. Above this, the connection that has not moved for longest is closed.
HELD_BYTES_MAX: Final = 32 << 20
#: Connections beyond the limit that are accepted to be told so, and for how long, seconds.
TURNED_AWAY_MAX: Final = 16
TURNED_AWAY_S: Final = 1.0
#: Connections accepted in one turn.
_ACCEPTED_MAX: Final = 256
#: Seconds for which no connection is accepted after accept(2) has found no descriptor.
_PAUSE_S: Final = 1.0
#: For a listener that is paused until a connection is closed.
_UNTIL_ONE_CLOSES: Final = float("inf")

_full = Sparse(log)


class Door(Generic[R]):
    """A listening socket. Owned by one thread. Raises OSError.

    Args:
        kind: the kind of socket that peers are told: PULL, PUB, ROUTER.
        most: the most connections at a time.
        crowded: True: a further connection is refused; False: the connection that has not moved for longest is closed.
    """

    def __init__(self, path: Path, kind: bytes, selector: selectors.BaseSelector, most: int, *, crowded: bool) -> None:
        self.path = path
        self.most = most
        self._kind = kind
        self._selector = selector
        self._crowded = crowded
        self._by_key: dict[bytes, PeerConnection[R]] = {}
        self._away: dict[PeerConnection[R], float] = {}
        self._number = 0
        #: Connections of which a message can be taken, in this order.
        self.ready: dict[PeerConnection[R], None] = {}
        #: Whether `next_due` may be a time, and whether `departed` has something to tell: each turn asks.
        self.timed = False
        self.parted = False
        #: Bytes that are kept for those who have not read them, and of messages that are not complete.
        self.held = 0
        #: Since `subscribed` was last called.
        self._subscribed: set[bytes] = set()
        #: Since `departed` was last called.
        self._gone: set[bytes] = set()
        self._unsent: list[R] = []
        self._listener = Listener(path, selector, (self, None))

    def __len__(self) -> int:
        """Connections."""
        return len(self._by_key)

    def restore(self) -> None:
        """Listens anew if its socket was removed, so that nobody finds it. Those that are connected stay, and those that wait in
        the kernel's queue are let in. While no connection is accepted, they are hung up on instead: they find the new one.

        Raises OSError where it can't be made.
        """
        if self._listener.restore(self._accept_all):
            log.warning("%s was removed while the service runs, by a cleaner perhaps: it was made again", self.path)

    def _accept_all(self) -> None:
        for _ in range(BACKLOG // _ACCEPTED_MAX + 1):  # all that can wait in the queue
            if self._listener.paused_until is None:
                self._accept(time.monotonic())

    @property
    def full(self) -> bool:
        """Whether a connection has as many messages that can be taken as are read ahead: no more is read of it."""
        return any(connection.is_full for connection in self.ready)

    def take(self) -> tuple[PeerConnection[R], list[bytes]] | None:
        """The next message, of all connections in turn."""
        if not self.ready:
            return None
        connection = next(iter(self.ready))
        del self.ready[connection]
        message, size = connection.take()
        self.held -= size
        if connection.decoder.held:
            self._decode(connection, b"")  # there is room in the inbox
        self._offer(connection)
        self._watch(connection)
        return connection, message

    def _offer(self, connection: PeerConnection[R]) -> None:
        """Puts the connection at the end of the order in which messages are taken, unless it has too much to read first."""
        if connection.inbox and connection.unread + connection.owed <= UNREAD_BYTES_PAUSE:
            self.ready[connection] = None
        else:
            self.ready.pop(connection, None)

    # -- what the selector says

    def handle(self, connection: PeerConnection[R] | None, events: int, now: float) -> None:
        """Reads what has arrived, and sends what there is room for, within limits."""
        if connection is None:
            self._accept(now)
            return
        if events & WRITE:
            self._send(connection, now)
        if events & READ and connection.key in self._by_key:
            self._read(connection, now)

    def next_due(self) -> float | None:
        """When `tick` has something to do."""
        paused_until = self._listener.paused_until
        if paused_until is None and not self._away:
            return None
        due = [*([] if paused_until is None else [paused_until]), *list(self._away.values())[:1]]
        return min(due, default=None)

    def tick(self, now: float) -> None:
        """Closes connections that were told that they are beyond the limit, and accepts others again."""
        while self._away and next(iter(self._away.values())) <= now:
            self.close_one(next(iter(self._away)))
        paused_until = self._listener.paused_until
        if paused_until is not None and paused_until <= now:
            self._listener.resume()
        self.timed = self._listener.paused_until is not None or bool(self._away)

    def _accept(self, now: float) -> None:
        for _ in range(_ACCEPTED_MAX):
            if self._crowded and len(self._by_key) >= self.most + TURNED_AWAY_MAX:
                self._pause(_UNTIL_ONE_CLOSES)
                return
            try:
                sock = self._listener.accept()
            except NoRoomError as error:
                _full.warning(f"no connection can be taken at {self.path.name}: {error} (ulimit -n)")
                self._pause(now + _PAUSE_S)
                return
            if sock is None:
                return
            if not self._crowded and len(self._by_key) >= self.most:
                self.close_one(min(self._by_key.values(), key=lambda c: c.moved_at))
            self._number += 1
            away = self._crowded and len(self._by_key) >= self.most
            connection: PeerConnection[R] = PeerConnection(sock, self._number.to_bytes(8, "big"), now, away=away)
            self._by_key[connection.key] = connection
            self._selector.register(sock, READ, (self, connection))
            connection.watch(READ)
            if away:
                _full.warning(f"{self.most} connections at {self.path.name} are all that descriptors allow: others are refused")
                self._away[connection] = now + TURNED_AWAY_S
                self.timed = True
            self.held += connection.put(zmtp.GREETING + zmtp.ready(self._kind))
            self._send(connection, now)

    def _pause(self, until: float) -> None:
        self._listener.pause(until)
        self.timed = True

    def _read(self, connection: PeerConnection[R], now: float) -> None:
        data = connection.receive(now)
        if data is None:
            return
        if not data:
            self._watch(connection)
            return
        self._decode(connection, data)
        if connection.out:  # an answer to a command
            self._send(connection, now)
        elif connection.key in self._by_key:
            self._watch(connection)
        self._relieve()

    def _decode(self, connection: PeerConnection[R], data: bytes) -> None:
        """Fills the inbox, as far as it goes."""
        try:
            messages = connection.decode(data)
        except zmtp.ProtocolError:
            self.close_one(connection)
            return
        if connection.decoder.commands:
            self._obey(connection)
        if self._kind == b"PUB":
            for message in messages:
                self._subscribe(connection, message[0])
        if connection.key not in self._by_key:  # it has subscribed to what nobody may: it is closed, and nothing is kept for it
            return
        if self._kind != b"PUB" and messages:
            connection.inbox.extend(messages)
            self._offer(connection)
        self.held += connection.measure()

    def _obey(self, connection: PeerConnection[R]) -> None:
        for name, body in connection.decoder.commands:
            if connection.key not in self._by_key:
                break
            if name == b"PING":
                self.held += connection.put(zmtp.pong(body))
            else:
                self._subscribe(connection, b"\1" + body if name == b"SUBSCRIBE" else b"\0" + body)
        connection.decoder.commands.clear()

    def _subscribe(self, connection: PeerConnection[R], message: bytes) -> None:
        if not connection.subscribe(message):
            self.close_one(connection)
        elif message[:1] == b"\1":
            self._subscribed.add(message[1:])

    # -- what goes out

    def owe(self, key: bytes, size: int) -> None:
        """An answer of so many bytes to one connection is made, and `answer` will be called for it before long. Until then no
        further message of that connection is taken if this is much: else the answers to what it has asked at a time would be
        more than may be kept for it.
        """
        connection = self._by_key.get(key)
        if connection is not None:
            connection.owe(size)
            self._offer(connection)

    def answer(self, key: bytes, parts: list[bytes], now: float, receipt: R | None = None) -> bool:
        """Sends a message to one connection. Returns False if it is gone, or has not read what it was sent before.

        `receipt`: `departed` gives it back if the message cannot be sent after all.
        """
        connection = self._by_key.get(key)
        if connection is None:
            return False
        connection.pay()
        if connection.mute or connection.unread > UNREAD_BYTES_MAX:
            self._offer(connection)
            return False
        self.held += connection.put(zmtp.message(parts), receipt)
        self._send(connection, now)
        self._relieve()
        return True  # or `departed` will tell

    def publish(self, topic: bytes, body: bytes, now: float) -> None:
        """Sends a message to all connections that have subscribed to it and read."""
        whole = zmtp.message([topic, body])
        for connection in list(self._by_key.values()):
            if connection.hears(topic):
                self.held += connection.put(whole)
                self._send(connection, now)
        self._relieve()

    def subscribed(self) -> set[bytes]:
        """What peers have subscribed to since the last call: from then on they hear of it."""
        if not self._subscribed:
            return self._subscribed
        topics, self._subscribed = self._subscribed, set()
        return topics

    def departed(self) -> tuple[set[bytes], list[R]]:
        """Since the last call: keys of connections that went away, and the receipts of answers that were not sent."""
        gone, self._gone = self._gone, set()
        unsent, self._unsent = self._unsent, []
        self.parted = False
        return gone, unsent

    def forget_gone(self) -> None:
        """Nobody knows the connections that went away since the last call of `departed`; the receipts are kept for it."""
        self._gone.clear()
        self.parted = bool(self._unsent)

    def _send(self, connection: PeerConnection[R], now: float) -> None:
        self.held -= connection.send(now)
        if connection.mute and connection.out:
            self._forget_out(connection)
        self._offer(connection)
        self._watch(connection)

    def _forget_out(self, connection: PeerConnection[R]) -> None:
        self.held -= connection.unread
        self._unsent += connection.forget_out()
        self.parted = True

    def _watch(self, connection: PeerConnection[R]) -> None:
        """Listens to what the connection may do now."""
        if connection.closing and not connection.inbox and not (connection.away and connection.out):
            self.close_one(connection)
            return
        events = connection.wanted_events()
        if events == connection.events or connection.key not in self._by_key:
            return
        if not connection.events:
            self._selector.register(connection.sock, events, (self, connection))
        elif not events:
            self._selector.unregister(connection.sock)
        else:
            self._selector.modify(connection.sock, events, (self, connection))
        connection.watch(events)

    def hang_up(self, connection: PeerConnection[R]) -> None:
        """Closes it once it has read what it was sent."""
        connection.hang_up()
        self.ready.pop(connection, None)
        self._watch(connection)

    def _relieve(self) -> None:
        """Closes the connections that have not moved for longest, while too much is kept."""
        while self.held > HELD_BYTES_MAX:
            slow = [c for c in self._by_key.values() if c.unread + c.held]
            self.close_one(min(slow, key=lambda c: c.moved_at))

    def close_one(self, connection: PeerConnection[R]) -> None:
        """Closes the connection at once. Idempotent."""
        if self._by_key.pop(connection.key, None) is None:
            return
        if connection.events:
            self._selector.unregister(connection.sock)
            connection.watch(0)
        self._forget_out(connection)
        self._gone.add(connection.key)
        self.held -= connection.held
        self.ready.pop(connection, None)
        self._away.pop(connection, None)
        connection.close()
        if self._listener.paused_until == _UNTIL_ONE_CLOSES:
            self._listener.resume()

    def flush(self, until: float) -> None:
        """Sends what is left, as far as it is read by then (monotonic seconds)."""
        while any(c.out for c in self._by_key.values()) and time.monotonic() < until:
            for connection in list(self._by_key.values()):
                self._send(connection, time.monotonic())
            time.sleep(0.005)

    def close(self) -> None:
        for connection in list(self._by_key.values()):
            self.close_one(connection)
        self._listener.close()
