"""A listening Unix socket at a path of its own. Used by `door` only.

It can be paused, and it is made again where its file was removed. It knows nothing of the connections that
came through it, and decides nothing about them.
"""

from __future__ import annotations

import contextlib
import errno
import os
import selectors
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Final

from shardwatch.shard.contract.process.life import is_absent

#: Connections that wait in the kernel's queue at most.
BACKLOG: Final = 1024
_NO_ROOM: Final = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS)


class NoRoomError(Exception):
    """The kernel has no descriptor, or no memory, for another connection."""


class Listener:
    """Listens at `path`, where whatever was there before is removed. Owned by one thread. Raises OSError.

    Args:
        path: of the socket.
        selector: the socket is registered here for reading, except while it is paused.
        data: given to the selector with the socket.
    """

    def __init__(self, path: Path, selector: selectors.BaseSelector, data: object) -> None:
        self.path = path
        #: When it will have been paused for long enough (monotonic seconds; infinity: nobody knows); None: it is not paused.
        self.paused_until: float | None = None
        self._selector = selector
        self._data = data
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
        self._sock = _listening(path)
        selector.register(self._sock, selectors.EVENT_READ, data)

    def accept(self) -> socket.socket | None:
        """The next connection. None if none waits, or the next one went away before it was let in. Raises NoRoomError. Neither
        this nor what is returned blocks.
        """
        try:
            sock, _ = self._sock.accept()
        except BlockingIOError:
            return None
        except OSError as error:
            if error.errno in _NO_ROOM:
                raise NoRoomError(error.strerror) from error
            return None
        sock.setblocking(False)
        return sock

    def pause(self, until: float) -> None:
        """Does not tell of new connections, which wait in the kernel's queue, until `resume` is called. Idempotent."""
        if self.paused_until is None:
            self._selector.unregister(self._sock)
        self.paused_until = until

    def resume(self) -> None:
        """Tells of new connections again. Idempotent."""
        if self.paused_until is not None:
            self.paused_until = None
            self._selector.register(self._sock, selectors.EVENT_READ, self._data)

    def restore(self, drain: Callable[[], None]) -> bool:
        """Listens at a new socket if its file was removed, so that nobody finds it. Returns whether it was.

        `drain` is called before the former socket is closed, to accept those that wait in its queue; it may pause the listener.
        Those that are left are hung up on, and find the new socket. Raises OSError where that can't be made; the former one
        stays then.
        """
        if not is_absent(self.path):
            return False
        other = _listening(self.path)
        drain()
        if self.paused_until is None:
            self._selector.unregister(self._sock)
            self._selector.register(other, selectors.EVENT_READ, self._data)
        self._sock.close()
        self._sock = other
        return True

    def close(self) -> None:
        """Closes the socket, and removes its file."""
        with contextlib.suppress(KeyError):
            self._selector.unregister(self._sock)
        self._sock.close()
        with contextlib.suppress(OSError):
            self.path.unlink()


def _listening(path: Path) -> socket.socket:
    """A socket that listens at this path, where nothing is yet. Raises OSError."""
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    before = os.umask(0o177)  # a socket is made with what the umask leaves: 0600
    try:
        made.bind(os.fspath(path))
        made.listen(BACKLOG)
    except OSError:
        made.close()
        raise
    finally:
        os.umask(before)
    return made
