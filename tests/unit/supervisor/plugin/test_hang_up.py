"""SIGHUP has the configuration read again, by two processes at most."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest
from waiting import eventually

from shardwatch.supervisor.plugin import hang_up
from shardwatch.supervisor.plugin.hang_up import HangUpHandler, Reaction


def test_two_hang_ups_are_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that reads, and one that waits and reads later; when they have ended, others follow."""
    fifo, started = tmp_path / "fifo", tmp_path / "started"
    os.mkfifo(fifo)
    code = f"open({str(started)!r}, 'a').write('x'); open({str(fifo)!r}).read()"
    monkeypatch.setattr(hang_up, "_RELOAD", ("-c", code))
    handler = HangUpHandler(Reaction.RELOAD)
    for _ in range(5):
        handler._reload(signal.SIGHUP, None)
    eventually(lambda: started.exists() and started.read_text() == "xx")
    writer = os.open(fifo, os.O_WRONLY)
    os.close(writer)
    (first, second) = handler._reloads
    os.waitpid(first, 0)  # as supervisord does
    eventually(lambda: os.waitid(os.P_PID, second, os.WEXITED | os.WNOWAIT | os.WNOHANG))
    handler._reload(signal.SIGHUP, None)
    (third,) = handler._reloads
    os.close(os.open(fifo, os.O_WRONLY))
    os.waitpid(third, 0)
    assert started.read_text() == "xxx"


def test_without_a_process_nothing_is_read(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    """It is said, and supervisord lives on."""
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    HangUpHandler(Reaction.RELOAD)._reload(signal.SIGHUP, None)
    assert "the configuration can't be read again: No such file or directory" in capfd.readouterr().err
