"""What `ship` does at present, for `shardwatch status`: `run/ship.json` in the state directory. It is not durable."""

from __future__ import annotations

import contextlib
from typing import Final

import msgspec
from msgspec.structs import replace

from shardwatch.shard.contract.errors import ShardwatchError
from shardwatch.shard.contract.state.directory import StateDirectory
from shardwatch.shard.contract.state.layout import Layout

from ..protocol.generations import Target

FILE: Final = "run/ship.json"


class ShipReport(msgspec.Struct, frozen=True):
    """What is known of the process that holds the lock of the notebook. Where nobody holds it, it is what the last one knew."""

    target: Target
    #: Without credentials; "" before the first connection.
    server: str = ""
    #: It ships.
    connected: bool = False
    #: Why it does not, and what helps; "" where nothing is wrong.
    error: str = ""
    remedy: str = ""


class Reporter:
    """Keeps the report true. Only who has the notebook open may have one. Nothing here raises because the disk is full."""

    def __init__(self, layout: Layout, target: Target) -> None:
        self._state_dir = layout.state_dir
        self._written: ShipReport | None = None
        self._report = ShipReport(target)
        self._write()

    def connected(self, server: str) -> None:
        """It ships, to that server."""
        self._change(server=server, connected=True, error="", remedy="")

    def failed(self, error: ShardwatchError) -> None:
        """It does not ship now."""
        self._change(connected=False, error=error.message, remedy=error.hint)

    def _change(self, **fields: object) -> None:
        self._report = replace(self._report, **fields)
        self._write()

    def _write(self) -> None:
        if self._report == self._written:
            return
        with contextlib.suppress(OSError), StateDirectory(self._state_dir) as state:  # shipping goes on without it
            state.write(FILE, msgspec.json.encode(self._report))
            self._written = self._report


def read_report(layout: Layout) -> ShipReport | None:
    """None where there is none, or none that can be read."""
    with contextlib.suppress(OSError, msgspec.MsgspecError), StateDirectory(layout.state_dir, foreign=True) as state:
        return msgspec.json.decode(state.read(FILE), type=ShipReport)
    return None
