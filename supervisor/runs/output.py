"""The output of runs side by side, passed on unmixed.

One run at a time has the floor: what it writes is passed on at once. What others write meanwhile is kept until it is their turn,
in the order in which they began. What is kept has a bound. A run that reaches it waits until it is its turn, as any program does
whose output is not read.

Most runs end within milliseconds, and what they have written is read at their end, all at once. So a run is listened to only once
it has lasted for HEARD_AFTER_S: until then its pipes cost nothing, and nobody is woken for them.

Nothing here blocks, also if our own output is not read: then nobody's is read any more.
"""

from __future__ import annotations

import fcntl
import os
import select
import sys
import termios
from collections import deque
from typing import Final

from ..terminal.streams import FULL

#: Bytes that are kept of the output of a run that has not the floor.
KEPT_BYTES_MAX: Final = 1 << 20
#: Bytes of the end of a run's output that are reported if it fails.
END_BYTES: Final = 4096
#: Seconds after its beginning from which on a run is listened to. Nobody sees so short a delay.
HEARD_AFTER_S: Final = 0.02
#: Bytes that wait for our own output to be read, at most, before the run is not read any more.
_PENDING_BYTES_MAX: Final = 1 << 16
#: Linux lets a pipe that polls writable take at least this much without blocking (PIPE_BUF, pipe(7)).
_CHUNK_BYTES: Final = 4096
_READ_BYTES: Final = 1 << 16


class _Target:
    """Standard output or standard error of ours."""

    def __init__(self, fd: int, epoll: select.epoll) -> None:
        self.fd = fd
        self.pending = bytearray()
        self._epoll = epoll
        self._awaited = False
        #: A file never makes anybody wait, and can't be waited for.
        self._is_file = False
        self._closed = False
        self._room = select.poll()
        self._room.register(fd, select.POLLOUT)

    def write(self, data: bytes) -> None:
        self.pending += data
        self.flush()

    def flush(self) -> None:
        """Writes what can be written now, and is woken for the rest."""
        while self.pending and not self._closed and (self._is_file or self._room.poll(0)):
            try:
                del self.pending[: os.write(self.fd, self.pending[:_CHUNK_BYTES])]
            except BlockingIOError:
                break
            except OSError as error:  # a run is not to end for that, and a disk that is full may have room for the next one
                self._closed = error.errno not in FULL
                self.pending.clear()
        if self._closed:
            self.pending.clear()
        self._await(bool(self.pending))

    def _await(self, wanted: bool) -> None:
        if wanted == self._awaited:
            return
        if not wanted:
            self._epoll.unregister(self.fd)
        else:
            try:
                self._epoll.register(self.fd, select.EPOLLOUT)
            except PermissionError:
                self._is_file = True
                self.flush()
                return
        self._awaited = wanted


class RunOutput:
    """The two pipes that a run writes to, and what of it was not passed on yet."""

    def __init__(self, prefix: bytes) -> None:
        self._prefix = prefix
        #: (number of the stream, bytes) in the order in which they were read.
        self.kept: deque[tuple[int, bytes]] = deque()
        self.kept_bytes = 0
        #: It is listened to.
        self.heard = False
        self.ended = False
        self._line_begins = [True, True]
        self._end = b""
        #: By number of the stream, as long as it is open.
        self.pipes: dict[int, int] = {}
        self.writers: list[int] = []
        try:
            for stream in (0, 1):
                self.pipes[stream], writer = os.pipe2(os.O_CLOEXEC)
                self.writers.append(writer)
        except OSError:
            for fd in (*self.pipes.values(), *self.writers):
                os.close(fd)
            raise

    def close_writers(self) -> None:
        """The run has them, or will never have."""
        for writer in self.writers:
            os.close(writer)
        self.writers = []

    def end(self) -> str:
        """The last bytes that were read of either pipe, at most END_BYTES, as text: what is not UTF-8 is replaced."""
        return self._end.decode("utf-8", "replace")

    def keep(self, stream: int, data: bytes) -> None:
        self._end = (self._end + data)[-END_BYTES:] if len(data) < END_BYTES else data[-END_BYTES:]
        data = self._prefixed(stream, data)
        self.kept.append((stream, data))
        self.kept_bytes += len(data)

    def end_lines(self) -> None:
        """With a prefix, what was begun is made a whole line: what the next run writes begins with its own prefix."""
        for stream, begins in enumerate(self._line_begins):
            if not begins:
                self.kept.append((stream, b"\n"))

    def take(self) -> deque[tuple[int, bytes]]:
        kept, self.kept, self.kept_bytes = self.kept, deque(), 0
        return kept

    def _prefixed(self, stream: int, data: bytes) -> bytes:
        if not self._prefix:
            return data
        *whole, rest = data.split(b"\n")
        lines = [line + b"\n" for line in whole] + ([rest] if rest else [])
        parts = []
        for line in lines:
            parts += [self._prefix, line] if self._line_begins[stream] else [line]
            self._line_begins[stream] = line.endswith(b"\n")
        return b"".join(parts)


class Relay:
    """The output of all runs. Times are of time.monotonic.

    Args:
        epoll: wakes the caller when there is something to do; then it calls `ready` with the descriptor. It also calls `hear`
            when `due` is over.
    """

    def __init__(self, epoll: select.epoll) -> None:
        self._epoll = epoll
        self._targets = (_Target(1, epoll), _Target(2, epoll))
        #: In the order in which they began; the first one has the floor.
        self._outputs: deque[RunOutput] = deque()
        #: When each of those that are not listened to yet is to be, in the order in which they began.
        self._unheard: deque[tuple[float, RunOutput]] = deque()
        #: Pipes of those that are listened to.
        self._by_fd: dict[int, tuple[RunOutput, int]] = {}
        #: Those of them that are not read for now.
        self._unread: set[int] = set()

    def begin(self, prefix: bytes, now: float) -> RunOutput:
        """The output of a run that is about to begin. Raises OSError where there are no descriptors."""
        output = RunOutput(prefix)
        self._outputs.append(output)
        self._unheard.append((now + HEARD_AFTER_S, output))
        return output

    def due(self) -> float:
        """When there is somebody to be listened to; infinite for never."""
        while self._unheard and self._unheard[0][1].ended:
            self._unheard.popleft()
        return self._unheard[0][0] if self._unheard else float("inf")

    def hear(self, now: float) -> None:
        """Listens to those that have lasted long enough."""
        while self.due() <= now and self._unheard:
            _, output = self._unheard.popleft()
            output.heard = True
            for stream, fd in output.pipes.items():
                os.set_blocking(fd, False)
                self._by_fd[fd] = (output, stream)
                self._epoll.register(fd, select.EPOLLIN)

    def write(self, data: bytes) -> None:
        """Something of ours on standard output. Call it while nobody has the floor."""
        self._targets[0].write(data)

    def owns(self, fd: int) -> bool:
        return fd in self._by_fd or fd in (1, 2)

    def ready(self, fd: int) -> None:
        """The descriptor can be read, or written."""
        if fd in (1, 2):
            self._targets[fd - 1].flush()
        elif fd in self._by_fd:
            self._read(*self._by_fd[fd])
        self._pass_on()

    def end(self, output: RunOutput) -> None:
        """The run has ended: reads what it has left behind, and closes its pipes.

        What it has started may go on writing. So only what is in the pipe now is read, and not all that comes meanwhile.
        """
        for stream, fd in list(output.pipes.items()):
            left = _unread_bytes(fd)
            while stream in output.pipes and left > 0:
                count = self._read(output, stream)
                left = left - count if count else 0
            if stream in output.pipes:
                self._close(output, stream)
        output.close_writers()
        output.end_lines()
        output.ended = True
        self._pass_on()

    def idle(self) -> bool:
        """Whether everything has been passed on."""
        return not self._outputs and not any(target.pending for target in self._targets)

    def _read(self, output: RunOutput, stream: int) -> int:
        """Returns how many bytes there were."""
        try:
            data = os.read(output.pipes[stream], _READ_BYTES)
        except BlockingIOError:
            return 0
        if data:
            output.keep(stream, data)
        else:
            self._close(output, stream)
        return len(data)

    def _close(self, output: RunOutput, stream: int) -> None:
        fd = output.pipes.pop(stream)
        if self._by_fd.pop(fd, None) is not None:
            if fd in self._unread:
                self._unread.discard(fd)
            else:
                self._epoll.unregister(fd)
        os.close(fd)

    def _pass_on(self) -> None:
        """Who has the floor is passed on; who has ended leaves it to the next."""
        while self._outputs:
            first = self._outputs[0]
            for stream, data in first.take():
                self._targets[stream].write(data)
            if not first.ended:
                break
            self._outputs.popleft()
        if not self._by_fd:  # nobody is listened to
            return
        clogged = any(len(target.pending) > _PENDING_BYTES_MAX for target in self._targets)
        for place, output in enumerate(self._outputs):
            full = clogged if place == 0 else output.kept_bytes > KEPT_BYTES_MAX
            if not output.heard or (not full and not self._unread):
                continue
            for fd in output.pipes.values():
                self._listen(fd, wanted=not full)

    def _listen(self, fd: int, *, wanted: bool) -> None:
        if wanted == (fd not in self._unread):
            return
        if wanted:
            self._unread.discard(fd)
            self._epoll.register(fd, select.EPOLLIN)
        else:
            self._unread.add(fd)
            self._epoll.unregister(fd)


def _unread_bytes(fd: int) -> int:
    """Bytes in a pipe (FIONREAD, pipe(7))."""
    return int.from_bytes(fcntl.ioctl(fd, termios.FIONREAD, bytes(4)), sys.byteorder)


def flush(relay: Relay, epoll: select.epoll, timeout_s: float) -> None:
    """Passes on what is left, for so long at most without anybody reading it."""
    while not relay.idle():
        ready = epoll.poll(timeout_s)
        if not ready:
            return
        for fd, _ in ready:
            relay.ready(fd)
