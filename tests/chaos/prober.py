"""Writes a file, syncs, and looks whether the index has it: all the time, while everything else goes on."""

from __future__ import annotations

import logging
import os
import random
import threading
import time
from pathlib import Path

from chaos.index import read_files
from chaos.tally import Tally
from shardwatch.aggregator.client.blocking import ExtractClient
from shardwatch.shard.contract.errors import ShardwatchError
from shardwatch.shard.contract.state.layout import Layout

log = logging.getLogger("chaos.prober")


class Prober:
    """A thread. `stale` holds what a sync vouched for and the index did not have."""

    def __init__(self, state_dir: Path, directory: Path, tally: Tally, random_: random.Random) -> None:
        self.stale: list[str] = []
        self.error: BaseException | None = None
        self._index = Layout(state_dir).index_db
        self._directory = directory
        self._tally = tally
        self._random = random_
        self._client = ExtractClient(state_dir, timeout_s=5.0)
        self._resting = threading.Event()
        self._going = threading.Event()
        self._stopping = threading.Event()
        self._going.set()
        self._thread = threading.Thread(target=self._run, name="prober")
        self._thread.start()

    def pause(self) -> None:
        """Returns when no probe is under way."""
        self._going.clear()
        self._resting.wait()

    def go_on(self) -> None:
        self._resting.clear()
        self._going.set()

    def close(self) -> None:
        self._stopping.set()
        self._going.set()
        self._thread.join(120)
        self._client.close()

    def _run(self) -> None:
        number = 0
        try:
            while not self._stopping.wait(self._random.uniform(0, 0.3)):
                if not self._going.is_set():
                    self._resting.set()
                    self._going.wait()
                    continue
                number += 1
                self._probe(self._directory / f"probe{number % 20}.json", number)
        except BaseException as error:
            self.error = error
            raise
        finally:
            self._resting.set()

    def _probe(self, path: Path, number: int) -> None:
        path.write_text("p" * (number % 1000))
        st = path.stat()
        name = os.fsencode(os.path.realpath(path))
        began = time.monotonic()
        try:
            self._client.sync(10.0, patience_s=10.0)
        except ShardwatchError as error:
            self._tally.add("probes without an answer")
            log.info("sync: %s after %.1f s", error, time.monotonic() - began)
            return
        found = read_files(self._index, name).get(name)
        self._tally.add("probes answered")
        if found != (st.st_size, st.st_mtime_ns):
            self.stale.append(f"{path.name}: wrote {(st.st_size, st.st_mtime_ns)}, the index has {found}")
            log.error("stale: %s", self.stale[-1])
