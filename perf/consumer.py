"""The other end: a consumer in a process of its own, which notes when it was handed which path.

`use_*.py` are its kinds, one a product; each runs in the Python that has its library. They all speak the same lines of
JSON on standard input and output, so that a suite treats all sides alike. Imports the standard library only.

Commands: {"do": "reset"}, {"do": "wait", "distinct": n, "quiet_s": q, "timeout_s": t}, {"do": "report"}.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

#: The trees' files; whatever else a product reports (directories, temporary names) is counted, not noted.
SUFFIX = ".ast.json"


class Consumer:
    """Counts events and notes, for each path, when it was last handed over. `take` may be called by any one thread."""

    def __init__(self) -> None:
        self.last: dict[str, float] = {}
        self.events = 0
        #: When a path was handed over that had not been before; when anything was.
        self.grew_at = 0.0
        self.taken_at = 0.0
        #: (path, when it was handed over, when its side says it was observed, in wall-clock seconds), if a log is kept.
        self.log: list[tuple[str, float, float]] | None = None
        #: What the side itself says of losses.
        self.overflows = 0
        self._changed = threading.Condition()
        self._fatal = ""

    def take(self, paths: Iterable[str], observed: Sequence[float] = ()) -> None:
        now = time.monotonic()
        kept = [path for path in paths if path.endswith(SUFFIX)]
        with self._changed:
            before = len(self.last)
            self.last.update(dict.fromkeys(kept, now))
            self.events += len(kept)
            if kept:
                self.taken_at = now
            if len(self.last) > before:
                self.grew_at = now
            if self.log is not None:
                self.log += zip(kept, [now] * len(kept), observed, strict=True)
            self._changed.notify()

    def take_all(self, batches: Iterable[Any], **ack: object) -> None:
        """Notes batch after batch of a client of ours, and acknowledges each. `ack`: arguments of that."""
        for batch in batches:
            self.take([event.path for event in batch.events], [event.observed_at for event in batch.events])
            batch.ack(**ack)

    def run(self, follow: Callable[[], None]) -> None:
        """Follows in a thread; this thread serves commands until standard input ends."""

        def guarded() -> None:
            try:
                follow()
            except Exception as error:  # noqa: BLE001 - told to the suite with the next answer
                self._fatal = f"{type(error).__name__}: {error}"
                with self._changed:
                    self._changed.notify()

        gc.disable()
        threading.Thread(target=guarded, daemon=True).start()
        for line in sys.stdin:
            self._say(self._do(json.loads(line)))
        os._exit(0)

    def ready(self, **more: object) -> None:
        """Says that from now on nothing may be missed."""
        self._say({"ready": time.monotonic(), **more})

    def _say(self, what: dict[str, Any]) -> None:
        sys.stdout.write(json.dumps(what) + "\n")
        sys.stdout.flush()

    def _do(self, command: dict[str, Any]) -> dict[str, Any]:
        if command["do"] == "reset":
            with self._changed:
                self.last, self.events, self.grew_at, self.taken_at = {}, 0, 0.0, 0.0
                self.log = [] if command.get("log") else None
            return {}
        if command["do"] == "wait":
            return self._wait(command["distinct"], command["quiet_s"], command["timeout_s"])
        with self._changed:
            return {"last": self.last, "log": self.log}

    def _wait(self, distinct: int, quiet_s: float, timeout_s: float) -> dict[str, Any]:
        """Until so many paths came and nothing more did for `quiet_s`; or until the time is up."""
        deadline = time.monotonic() + timeout_s
        with self._changed:
            while not self._fatal:
                now = time.monotonic()
                quiet_at = self.taken_at + quiet_s
                enough = len(self.last) >= distinct
                if now >= deadline or (enough and now >= quiet_at):
                    break
                self._changed.wait(min(deadline, quiet_at if enough else deadline) - now)
            return {
                "distinct": len(self.last), "events": self.events, "grew_at": self.grew_at, "taken_at": self.taken_at,
                "overflows": self.overflows, "fatal": self._fatal,
            }  # fmt: skip
