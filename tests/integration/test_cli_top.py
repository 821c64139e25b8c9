"""`top` on a terminal, with a running service."""

from __future__ import annotations

import fcntl
import os
import select
import signal
import struct
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_process import GUARD_S, command_of, environment, run
from session import deliver
from waiting import eventually

from shardwatch.shard.contract.state.layout import Layout
from shardwatch.supervisor.service import service as services

pytestmark = pytest.mark.usefixtures("no_leaks")


@pytest.fixture
def service(tree: Path, state_dir: Path) -> Iterator[Path]:
    """The state directory of a detached service that watches `tree`."""
    run("up", "--detach", "--state-dir", state_dir, tree)
    yield state_dir
    run("down", "--state-dir", state_dir, check=False)


class Terminal:
    """A command on a terminal of 140 by 40 characters, and all that it has written."""

    def __init__(self, *arguments: str | Path) -> None:
        self.pid, self._fd = os.forkpty()
        if self.pid == 0:
            command = [os.fsencode(part) for part in command_of(*arguments)]
            os.execve(command[0], command, environment(TERM="xterm-256color"))
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


def test_a_shard_is_restarted(service: Path) -> None:
    """By a key and an answer; the service goes on, and q ends what shows it."""

    def shard() -> int:
        return next(int(row["pid"]) for row in services.programs(Layout(service)) if row["group"] == "shards")

    before = shard()
    terminal = Terminal("top", "--state-dir", service)
    terminal.shows("watching")
    terminal.press("r")
    terminal.shows("(y/n)")
    terminal.press("y")
    terminal.shows("was restarted")
    assert eventually(shard) != before
    terminal.press("q")
    assert terminal.end() == 0
    run("sync", "--state-dir", service)


def test_without_a_terminal_there_is_nothing_to_show(service: Path) -> None:
    """One line that names what there is instead."""
    refused = run("top", "--state-dir", service, check=False)
    assert refused.returncode == 2
    assert "`shardwatch status` prints the same once" in refused.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it(service: Path, number: signal.Signals) -> None:
    """As the key q does."""
    terminal = Terminal("top", "--state-dir", service)
    terminal.shows("watching")
    deliver(terminal.pid, number)
    assert terminal.end() == 0
