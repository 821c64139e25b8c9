"""Where a service has its page served as one of its programs, and why it is not: what `web` reports, in `run/web.json`."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from shardwatch.shard.contract.state.directory import StateDirectory
from shardwatch.shard.contract.state.layout import Layout

#: The program, as supervisord calls it (`plugin.names`).
WEB: Final = "web"
_FILE: Final = "run/web.json"


class WebReport(msgspec.Struct, frozen=True):
    """What a process of the program knows."""

    pid: int
    #: Where the page is, as `shardwatch web` prints it; "" while it is not served.
    address: str = ""
    #: Why it is not served, and what helps; "" where nothing is wrong.
    error: str = ""
    remedy: str = ""


class WebReporter:
    """Keeps the report of this process true, which is not durable. A full disk is no reason not to serve."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._report = WebReport(os.getpid())
        self._is_written = True

    def tell(self, **fields: str) -> bool:
        """What holds from now on. Returns whether it is new."""
        now = WebReport(os.getpid(), **fields)
        if now == self._report:
            return False
        self._report, self._is_written = now, False
        self.write()
        return True

    def write(self) -> None:
        """Replaces the report, unless that is done: call it again and again, since there may be room only later."""
        if self._is_written:
            return
        with contextlib.suppress(OSError), StateDirectory(self._layout.state_dir) as state:
            state.write(_FILE, msgspec.json.encode(self._report))
            self._is_written = True


def web_page(layout: Layout, processes: Iterable[Mapping[str, Any]]) -> dict[str, Any] | None:
    """What `status --json` says of it (docs/formats.md); None where the service has no such program.

    Raises UsageError for a state directory that is not ours.
    """
    row = next((row for row in processes if row["name"] == WEB), None)
    if row is None:
        return None
    report = None
    with contextlib.suppress(OSError, msgspec.MsgspecError), StateDirectory(layout.state_dir, foreign=True) as state:
        report = msgspec.json.decode(state.read(_FILE), type=WebReport)
    if report is None or report.pid != row["pid"]:  # of one that has ended
        return {"address": "", "error": "", "remedy": ""}
    return {"address": report.address, "error": report.error, "remedy": report.remedy}
