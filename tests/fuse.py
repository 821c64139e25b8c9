"""A FUSE filesystem (bindfs) whose files can be changed from elsewhere, and whose server can be made to hang. Undone whatever
happens: a server that hangs is let go on and ended before it is unmounted, so that nobody is left waiting for it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

from waiting import eventually


class Fuse:
    """`below`, seen at `at`. What is changed below by its own path raises no event at the mount."""

    def __init__(self, below: Path, at: Path) -> None:
        self.below = below
        self.at = at
        self._server: subprocess.Popen[bytes] | None = None

    def mount(self) -> None:
        # fuse 2 refuses a directory with something in it, unless it is told; fuse 3 never does, and need not be told.
        argv: list[str | Path] = ["bindfs", "-f", "-o", "nonempty,attr_timeout=0,entry_timeout=0", self.below, self.at]
        self._server = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        eventually(lambda: os.path.ismount(self.at) and self._alive(), 30, what="a mount of bindfs")

    def _alive(self) -> bool:
        assert self._server is not None and self._server.poll() is None, "bindfs ended"
        return True

    def hang(self) -> None:
        """From now on nothing on it is answered."""
        assert self._server is not None
        self._server.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        if self._server is not None:
            self._server.send_signal(signal.SIGCONT)

    @contextlib.contextmanager
    def going_on(self) -> Iterator[None]:
        """It does not hang any more at the end, whatever happened."""
        try:
            yield
        finally:
            self.go_on()

    def unmount(self) -> None:
        """Idempotent. Never asks the filesystem anything, and gives back its process."""
        self.go_on()
        subprocess.run(["umount", "-l", self.at], check=False, capture_output=True, timeout=60)
        if self._server is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._server.wait(5)
            self._server.kill()
            self._server.wait(30)
            self._server = None


@contextlib.contextmanager
def fuse(below: Path, at: Path) -> Iterator[Fuse]:
    """Mounted; needs root and bindfs."""
    for directory in (below, at):
        directory.mkdir(parents=True, exist_ok=True)
    it = Fuse(below, at)
    try:
        it.mount()
        yield it
    finally:
        it.unmount()
