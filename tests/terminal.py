"""Commands on a terminal that nobody sees."""

from __future__ import annotations

import fcntl
import os
import select
import struct
import termios
import time
from collections.abc import Sequence
from pathlib import Path

from cli_process import GUARD_S, command_of, environment


class Terminal:
    """A command on a terminal of 140 by 40 characters, and all that it has written.

    Args:
        arguments: of a command of ours.
        command: a whole command line in place of `arguments`.
    """

    def __init__(self, *arguments: str | Path, command: Sequence[str] = ()) -> None:
        line = [os.fsencode(part) for part in command or command_of(*arguments)]
        self.pid, self._fd = os.forkpty()
        if self.pid == 0:
            os.execvpe(line[0], line, environment(TERM="xterm-256color"))
        fcntl.ioctl(self._fd, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 140, 0, 0))
        self._written = b""

    def shows(self, text: str) -> None:
        """Waits until it has written this since the last key."""
        deadline = time.monotonic() + GUARD_S
        while text.encode() not in self._written:
            ready, _, _ = select.select([self._fd], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, f"{text!r} is not shown: {self._written[-2000:]!r}"
            self._written += os.read(self._fd, 65536)

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
        assert b"\x1b[?1049l" in self._written
        os.close(self._fd)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
