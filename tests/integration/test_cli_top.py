"""`top` on a terminal, with a running service."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from cli_process import run
from session import deliver
from terminal import Terminal
from waiting import eventually

from shardwatch.shard.contract.state.layout import Layout
from shardwatch.supervisor.service import service as services

pytestmark = pytest.mark.usefixtures("no_leaks")


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


def test_ctrl_c_ends_it(service: Path) -> None:
    """Also while a text is typed that rows are to contain."""
    terminal = Terminal("top", "--state-dir", service)
    terminal.shows("watching")
    terminal.press("/")
    terminal.shows("show only rows")
    terminal.press("\x03")
    assert terminal.end() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it(service: Path, number: signal.Signals) -> None:
    """As the key q does."""
    terminal = Terminal("top", "--state-dir", service)
    terminal.shows("watching")
    deliver(terminal.pid, number)
    assert terminal.end() == 0
