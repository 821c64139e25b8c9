"""What may end a command from outside: a signal, or a standard output that nobody reads any more.

Running code is never interrupted. A signal only sets a flag and wakes the poll, so that cleaning up is never cut short.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import signal
import stat
from types import FrameType, TracebackType

#: Linux lets a pipe that polls writable take at least this much without blocking (PIPE_BUF, pipe(7)).
_CHUNK_BYTES = 4096


class Ended(Exception):
    """The command was asked to end: by a signal, or because standard output is closed."""

    def __init__(self, signum: int | None) -> None:
        super().__init__(signum)
        #: None: standard output was closed.
        self.signum = signum


class Ends:
    """While entered, SIGINT, SIGTERM and SIGHUP are noted instead of obeyed, and standard output is watched.

    One per process, in the main thread. A signal that was ignored at the start (nohup) stays ignored.
    """

    SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def __init__(self, stdout_fd: int = 1) -> None:
        self.signum: int | None = None
        self.closed = False
        self._stdout = stdout_fd
        self._old: dict[int, object] = {}

    def __enter__(self) -> Ends:
        self.wake_fd, self._wake = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        #: Whether a closed reader can be noticed by poll: a pipe, a socket or a terminal, not a file.
        mode = os.fstat(self._stdout).st_mode
        self.output_fd = self._stdout if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or os.isatty(self._stdout) else None
        self._closing = select.poll()
        if self.output_fd is not None:
            self._closing.register(self.output_fd, 0)
        for signum in self.SIGNALS:
            if signal.getsignal(signum) is not signal.SIG_IGN:
                self._old[signum] = signal.signal(signum, self._note)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for signum, handler in self._old.items():
            signal.signal(signum, handler)  # type: ignore[arg-type]
        os.close(self.wake_fd)
        os.close(self._wake)

    def _note(self, signum: int, frame: FrameType | None) -> None:
        if self.signum is None:
            self.signum = signum
        with contextlib.suppress(OSError):
            os.write(self._wake, b"s")

    def check(self) -> None:
        """Raises Ended if the command was asked to end, or if standard output is closed. Does not block."""
        if self.signum is not None:
            raise Ended(self.signum)
        if self.output_fd is not None and not self.closed:
            self.closed = bool(self._closing.poll(0))
        if self.closed:
            raise Ended(None)

    def write(self, data: bytes) -> None:
        """Writes all of `data` to standard output. Raises Ended if the command is asked to end in the meantime, however slow the
        reader is.
        """
        view = memoryview(data)
        poller = select.poll()
        poller.register(self._stdout, select.POLLOUT)
        poller.register(self.wake_fd, select.POLLIN)
        while view:
            self.check()
            ready = dict(poller.poll()) if self.output_fd is not None else {self._stdout: select.POLLOUT}
            if not ready.get(self._stdout, 0) & select.POLLOUT:
                continue
            try:
                view = view[os.write(self._stdout, view[:_CHUNK_BYTES] if self.output_fd is not None else view) :]
            except BlockingIOError:
                continue
            except BrokenPipeError:
                self.closed = True
            except OSError as error:
                if self.output_fd is None or error.errno == errno.ENOSPC:  # a full disk is an error, a vanished terminal an end
                    error.filename = "standard output"
                    raise
                self.closed = True
