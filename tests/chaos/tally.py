"""What happened, in numbers: counted by the threads of a run, and sampled from the service, whose counters die with it."""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from pathlib import Path

from shardwatch.aggregator.client.blocking import ExtractClient
from shardwatch.shard.contract.errors import ShardwatchError
from shardwatch.shard.contract.state.layout import Layout
from shardwatch.supervisor.service import service

#: Counters of a shard that start at 0 with its process.
_OF_SHARD = ("overflows", "rescans", "hints", "looks")
#: Counters of the aggregator that start at 0 with its process.
_OF_AGGREGATOR = ("frames", "duplicates", "gaps", "dropped", "refused", "rows_written")
#: What became of pages of the index: they were made by a listing, or rows were folded into one; all in one was new (renewed),
#: some left it (shrunk), and nothing or too little was left (gone). No page is ever split, or merged with another.
OF_PAGES = ("made", "folded", "renewed", "shrunk", "gone")


class Tally:
    """Thread-safe counters with names."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()

    def add(self, name: str, by: int = 1) -> None:
        with self._lock:
            self._counts[name] += by

    def __getitem__(self, name: str) -> int:
        with self._lock:
            return self._counts[name]

    def of(self, prefix: str) -> dict[str, int]:
        """Counters whose names begin with `prefix`, without it."""
        with self._lock:
            return {name[len(prefix) :]: n for name, n in sorted(self._counts.items()) if name.startswith(prefix)}


class Sampler:
    """Asks the service for its counters once in a while and adds them up over the lives of its processes.

    What a process counted between the last question and its death is not known: the sums are lower bounds.
    """

    def __init__(self, state_dir: Path, every_s: float = 0.5) -> None:
        self._layout = Layout(state_dir)
        self._client = ExtractClient(state_dir, timeout_s=2.0)
        self._every_s = every_s
        #: (counter, the life it belongs to) -> highest value seen.
        self._highest: dict[tuple[str, object], int] = {}
        self._life = 0
        self._frames = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sampler")
        self._thread.start()

    def total(self, name: str) -> int:
        return sum(value for (counter, _), value in list(self._highest.items()) if counter == name)

    def _run(self) -> None:
        while not self._stop.wait(self._every_s):
            with contextlib.suppress(ShardwatchError):
                self._take(self._client.status())
            for row in service.programs(self._layout, 1.0):
                # A new supervisord counts from 0 too; its age tells its lives apart well enough: hung is a small number.
                self._note("hung", (row["name"], row["hung"]), int(row["hung"] > 0))

    def _take(self, status: dict[str, object]) -> None:
        for shard in status["shards"]:  # type: ignore[attr-defined]
            for name in _OF_SHARD:
                if name in shard:
                    self._note(name, (shard["id"], shard["pid"]), shard[name])
            self._note("resent", (shard["id"], shard["epoch"]), shard.get("resent", 0))
        frames = int(status["frames"])  # type: ignore[call-overload]
        self._life += frames < self._frames
        self._frames = frames
        for name in _OF_AGGREGATOR:
            self._note(name, self._life, int(status[name]))  # type: ignore[call-overload]
        for name in OF_PAGES:
            self._note(f"pages {name}", self._life, status["pages"][name])  # type: ignore[index]

    def _note(self, name: str, life: object, value: int) -> None:
        self._highest[name, life] = max(value, self._highest.get((name, life), 0))

    def close(self) -> None:
        self._stop.set()
        self._thread.join(30)
        self._client.close()
