"""One `watch`: waits until its service is ready, prints batches, and reports problems.

Imported when the service has been started: what this module needs is loaded while supervisord starts.
"""

from __future__ import annotations

import argparse
import os
from base64 import b64encode
from types import TracebackType
from typing import Any

from shardwatch.shard.contract.state.settings import Settings

from ...service.child import ChildService
from ...service.state_dir import Prepared
from ...terminal import render
from ...terminal.ends import Ends
from ...terminal.lines import FORMAT, Printer
from ..filter_text import filter_text
from ..link.in_flight import Reply, hands_out
from .attendant import Attendant, launched_s, say_troubles
from .puller import BATCH_MAX, Puller

#: The group whose position a kept state directory remembers between two watches.
GROUP = "watch"


class Session:
    """One watch, from the start of the service to its end: entered once the service was started."""

    def __init__(
        self,
        options: argparse.Namespace,
        ends: Ends,
        prepared: Prepared,
        settings: Settings,
        child: ChildService,
    ) -> None:
        self._options = options
        self._prepared = prepared
        self._settings = settings
        self._printer = Printer(ends, as_json=options.json)
        self._attendant = Attendant(ends, prepared, child, self._printer.write if options.json else say_troubles)
        self._connection = self._attendant.connection
        self._puller = Puller(self._connection, self._printer, ends, group=GROUP, start=options.start, worker=GROUP)

    def __enter__(self) -> Session:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._puller.release()
        self._attendant.__exit__(kind, error, trace)

    def run(self) -> None:
        """Prints until Ended, or until ServiceError says that the service ended by itself."""
        kept = filter_text(self._prepared.settings)  # compiles patterns, while the service starts
        ready = self._attendant.wait_ready(bar=not self._options.json)
        # What is polled is said before `ready`, and the group's position taken: nothing after that line can be missed.
        first = self._first_pull()
        self._print_ready(ready, kept)
        self._follow(first)

    def _first_pull(self) -> Reply:
        """The answer of a pull that does not wait. Returns when the status has been answered too, so troubles have been reported.

        A status may be answered after a pull that was asked later, because the service describes its groups in steps.
        """
        self._attendant.ask_status()
        if self._prepared.resumed:  # what a watch that was killed had been handed
            self._connection.ask("release", group=GROUP, worker=GROUP)
        asked = self._puller.ask(BATCH_MAX, 0.0, goes_on=True)
        first: Reply | None = None
        while first is None or self._attendant.owes_status:
            for number, reply in self._attendant.wait():
                if number == asked:
                    first = reply
        return first

    def _follow(self, first: Reply) -> None:
        self._puller.go_on(first, BATCH_MAX)
        while True:
            for number, reply in self._attendant.wait():
                if number == self._puller.asked:
                    self._puller.go_on(reply, BATCH_MAX)
                elif hands_out(reply):  # an answer that came twice
                    self._puller.print(reply)

    def _print_ready(self, ready: Reply, kept: str) -> None:
        roots = self._settings.roots
        line: dict[str, Any] = {
            "type": "ready",
            "format": FORMAT,
            "roots": [root.decode("utf-8", "replace") for root in roots],
            "files": ready["files"],
            "directories": ready["directories"],
            "shards": ready["shards"],
            "backend": ready["backend"],
            "filter": kept,
            "ready_s": round(launched_s(), 3),
        }
        if self._options.json:
            if any(not _is_utf8(root) for root in roots):
                line["roots_b64"] = [b64encode(root).decode("ascii") for root in roots]
            self._printer.write([line])
        else:
            where = "temporary" if self._options.state_dir is None else os.fspath(self._prepared.layout.state_dir)
            self._printer.text(render.banner(line, state_dir=where, resumed=self._prepared.resumed))


def _is_utf8(path: bytes) -> bool:
    try:
        path.decode()
    except UnicodeDecodeError:
        return False
    return True
