"""ZeroMQ's wire protocol: ZMTP 3.0 with the mechanism NULL (rfc.zeromq.org, 23/ZMTP).

Bytes go in and messages come out; there is no input or output here. It is implemented here because libzmq has no limit
for three things: for connections (it aborts when accept(2) finds no descriptor), for the parts of a message, and for
the bytes that it keeps for a peer that reads nothing; and because each shard would pay for the memory that it takes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

_SIGNATURE: Final = b"\xff" + bytes(8) + b"\x7f"
_GREETING_BYTES: Final = 64
#: Signature, version 3.0, mechanism, "no server" (of a mechanism that has one), and zeroes.
GREETING: Final = (_SIGNATURE + b"\x03\x00" + b"NULL").ljust(_GREETING_BYTES, b"\0")
_MORE: Final = 1
_LONG: Final = 2
_COMMAND: Final = 4
#: Bytes of a command, and parts of a message: an honest peer's have a few.
_COMMAND_BYTES_MAX: Final = 4096
PARTS_MAX: Final = 64


class ProtocolError(Exception):
    """The peer uses another protocol, or sends more than is allowed."""


def ready(socket_type: bytes) -> bytes:
    """The command that ends the handshake: what kind of socket this is."""
    fields = (b"Socket-Type", socket_type), (b"Identity", b"")
    metadata = b"".join(bytes([len(name)]) + name + len(value).to_bytes(4, "big") + value for name, value in fields)
    return command(b"READY", metadata)


def command(name: bytes, body: bytes) -> bytes:
    whole = bytes([len(name)]) + name + body
    return bytes([_COMMAND, len(whole)]) + whole


def pong(ping: bytes) -> bytes:
    """The answer to the body of a PING: its context comes back, of which there are 16 bytes at most."""
    return command(b"PONG", ping[2:18])


def subscription(topic: bytes) -> bytes:
    """What a SUB socket says to get the messages whose first part begins like this."""
    return message([b"\1" + topic])


def message(parts: Sequence[bytes]) -> bytes:
    """One message, as it travels."""
    found = []
    for n, part in enumerate(parts, 1):
        flags, size = _MORE * (n < len(parts)), len(part)
        head = bytes([flags, size]) if size < 256 else bytes([flags | _LONG]) + size.to_bytes(8, "big")
        found += [head, part]
    return b"".join(found)


class Decoder:
    """What one peer sends.

    Args:
        bytes_max: largest message, all parts together.
    """

    def __init__(self, bytes_max: int) -> None:
        self._bytes_max = bytes_max
        self._buffer = bytearray()
        self._greeted = False
        self._ready = False
        self._parts: list[bytes] = []
        self._parts_bytes = 0
        #: Commands that want an answer: (name, body).
        self.commands: list[tuple[bytes, bytes]] = []

    @property
    def ready(self) -> bool:
        """Whether the peer has said what kind of socket it is, so that messages may follow."""
        return self._ready

    @property
    def held(self) -> int:
        """Bytes that are kept."""
        return len(self._buffer) + self._parts_bytes

    def feed(self, data: bytes, most: int) -> list[list[bytes]]:
        """The messages that are complete with this input, up to a number; the rest is kept for the next call. Raises
        ProtocolError: the connection cannot be used any more.
        """
        buffer = self._buffer
        buffer += data
        if not self._greeted:
            if buffer[:1] != b"\xff" or (len(buffer) >= 10 and not buffer[9] & 1) or (len(buffer) > 10 and buffer[10] < 3):
                raise ProtocolError("no ZMTP 3")
            if len(buffer) < _GREETING_BYTES:
                return []
            if buffer[12:32].rstrip(b"\0") != b"NULL":
                raise ProtocolError("a mechanism other than NULL")
            del buffer[:_GREETING_BYTES]
            self._greeted = True
        found: list[list[bytes]] = []
        at = 0
        while len(found) < most and (end := self._frame(at, found)) > at:
            at = end
        if at:
            del buffer[:at]
        return found

    def _frame(self, at: int, found: list[list[bytes]]) -> int:
        """Takes one frame from the buffer. Returns the position of the next one, or `at` if the frame is not complete."""
        buffer = self._buffer
        there = len(buffer)
        if there < at + 2:
            return at
        flags = buffer[at]
        if flags & ~(_MORE | _LONG | _COMMAND):
            raise ProtocolError("unknown flags")
        head = 9 if flags & _LONG else 2
        if there < at + head:
            return at
        size = int.from_bytes(buffer[at + 1 : at + head], "big")
        if size + self._parts_bytes > (_COMMAND_BYTES_MAX if flags & _COMMAND else self._bytes_max):
            raise ProtocolError("a message is too large")
        end = at + head + size
        if there < end:
            return at
        body = bytes(memoryview(buffer)[at + head : end])
        if flags & _COMMAND:
            self._command(body)
        elif not self._ready:
            raise ProtocolError("a message before the handshake")
        else:
            self._parts.append(body)
            self._parts_bytes += size
            if len(self._parts) > PARTS_MAX:
                raise ProtocolError("a message of too many parts")
            if not flags & _MORE:
                found.append(self._parts)
                self._parts, self._parts_bytes = [], 0
        return end

    def _command(self, body: bytes) -> None:
        length = body[0] if body else 0
        name, rest = body[1 : 1 + length], body[1 + length :]
        if not self._ready:
            if name != b"READY":
                raise ProtocolError("no READY")
            self._ready = True
        elif name in (b"PING", b"SUBSCRIBE", b"CANCEL"):
            if len(self.commands) >= PARTS_MAX:
                raise ProtocolError("too many commands")
            self.commands.append((name, rest))
