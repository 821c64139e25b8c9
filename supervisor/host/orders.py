"""What a program is told that was started before it was known what for: its arguments, and descriptors. They come as one message
over a socket, which is its standard input (unix(7), SCM_RIGHTS).

So a program can be loaded while whoever starts it still finds out what it is to do. Light, because both do so at once.
"""

from __future__ import annotations

import os
import socket
from array import array
from collections.abc import Sequence
from typing import Final, NamedTuple

#: Bytes of all arguments, at most: paths of the state directory are far shorter.
BYTES_MAX: Final = 1 << 16
#: Descriptors, at most.
DESCRIPTORS_MAX: Final = 2


class Orders(NamedTuple):
    """One message."""

    arguments: list[str]
    #: In the process that takes them they are others' numbers for the same files, and are not inherited.
    descriptors: list[int]


def line() -> tuple[socket.socket, socket.socket]:
    """Both ends: for the one who gives orders, and for the standard input of the one who takes them. Once they are taken, the
    second one says only whether the first is still open."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def give(to: socket.socket, orders: Orders) -> None:
    """Does not wait until they are taken. Raises OSError: BrokenPipeError where nobody is there to take them."""
    words = b"\0".join(map(os.fsencode, orders.arguments))
    rights = array("i", orders.descriptors)
    to.sendmsg([words], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)], socket.MSG_NOSIGNAL)


def take(fd: int = 0) -> Orders | None:
    """Waits for the orders that come over a socket; None where whoever would give them has ended."""
    with socket.socket(fileno=os.dup(fd)) as end:
        room = socket.CMSG_SPACE(DESCRIPTORS_MAX * 4)
        words, more, _, _ = end.recvmsg(BYTES_MAX, room, socket.MSG_CMSG_CLOEXEC)
    if not words:
        return None
    return Orders([os.fsdecode(word) for word in words.split(b"\0")], _descriptors(more))


def _descriptors(more: Sequence[tuple[int, int, bytes]]) -> list[int]:
    found: list[int] = []
    for level, kind, data in more:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            found += array("i", data)
    return found
