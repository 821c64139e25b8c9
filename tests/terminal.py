"""Commands on a terminal that nobody sees."""

from __future__ import annotations

import fcntl
import itertools
import os
import re
import select
import struct
import termios
import time
from collections.abc import Sequence
from pathlib import Path

from cli_process import GUARD_S, command_of, environment
from waiting import eventually

#: So long nothing is written once the screen is painted, seconds. Where it takes longer, it is painted once more.
_PAINTED_S = 0.5


class Terminal:
    """A command on a terminal of so many characters, and all that it has written.

    Args:
        arguments: of a command of ours.
        command: a whole command line in place of `arguments`.
    """

    def __init__(self, *arguments: str | Path, command: Sequence[str] = (), lines: int = 40, columns: int = 140) -> None:
        line = [os.fsencode(part) for part in command or command_of(*arguments)]
        self._lines, self._columns = lines, columns
        self.pid, self._fd = os.forkpty()
        if self.pid == 0:
            self._resize(columns, 0)  # before it asks for its size
            os.execvpe(line[0], line, environment(TERM="xterm-256color"))
        self._written = b""

    def _resize(self, columns: int, fd: int | None = None) -> None:
        size = struct.pack("HHHH", self._lines, columns, 0, 0)
        fcntl.ioctl(self._fd if fd is None else fd, termios.TIOCSWINSZ, size)

    def paints(self, *texts: str) -> None:
        """Waits until it has painted all these texts: all is painted anew now and then, because the width changes."""
        self._written = b""
        narrower = itertools.cycle((1, 0))

        def painted() -> bool:
            self._resize(self._columns - next(narrower))
            while self._read(_PAINTED_S):
                pass
            screen = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", self._written.decode(errors="replace"))
            assert all(text in screen for text in texts), f"{texts}: {screen[-10_000:]}"
            return True

        eventually(painted, GUARD_S, what=f"{texts} on the screen")

    def _read(self, timeout_s: float) -> bool:
        """Whether something came in time. Fails where it has ended."""
        ready, _, _ = select.select([self._fd], [], [], timeout_s)
        if ready:
            try:
                self._written += os.read(self._fd, 65536)
            except OSError:
                raise AssertionError(f"it has ended: {self._written[-4000:].decode(errors='replace')}") from None
        return bool(ready)

    def shows(self, text: str) -> None:
        """Waits until it has written this since the last key."""
        deadline = time.monotonic() + GUARD_S
        while text.encode() not in self._written:
            assert self._read(max(0.0, deadline - time.monotonic())), f"{text!r} is not shown: {self._written[-2000:]!r}"

    def press(self, key: str) -> None:
        self._written = b""
        os.write(self._fd, key.encode())

    def end(self) -> int:
        """Its exit code, once it has ended, and has left the terminal as it was found: not on the alternate screen."""
        while True:
            try:
                written = os.read(self._fd, 65536)
            except OSError:  # nobody is at the other end
                break
            if not written:
                break
            self._written += written
        code = self.reap()
        assert b"\x1b[?1049l" in self._written
        return code

    def reap(self) -> int:
        """The exit code of one that has ended, or was killed."""
        os.close(self._fd)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
