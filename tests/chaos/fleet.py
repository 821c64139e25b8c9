"""Where the service of a run ships to: one nats-server or three, and workers elsewhere. Each is started again when it ends."""

from __future__ import annotations

import logging
import os
import random
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import nats.errors
from jetstream import LATER_NATS_SERVER, NATS_SERVER, NatsCluster, NatsServer

from chaos.consumer import read_counts, read_wrong
from chaos.remote import read_remote_mirror
from chaos.tally import Tally
from shardwatch.bridge.protocol.names import STREAM
from shardwatch.fleet import FleetClient
from shardwatch.shard.contract.state.ship_section import ShipSection

log = logging.getLogger("chaos.fleet")

#: The later one, where it is: Debian's loses what it has confirmed when it is killed (docs/fleet.md).
_SERVER = LATER_NATS_SERVER if LATER_NATS_SERVER.exists() else NATS_SERVER
#: Workers elsewhere, which share a mirror.
_WORKERS = 2
#: Part of the deaths of a single server with which everything that it had is lost.
_LOST_PART = 0.1


def servers_max() -> int:
    """To how many servers a run can ship here: three need a later nats-server than Debian's."""
    if LATER_NATS_SERVER.exists():
        return 3
    return 1 if shutil.which(NATS_SERVER) else 0


class Fleet:
    """Servers and workers, with a thread that starts them again.

    Args:
        servers: 1, or 3 that keep the stream together.
    """

    def __init__(self, base: Path, servers: int, tally: Tally, random_: random.Random) -> None:
        self._base = base
        self._tally = tally
        self._random = random_
        self._cluster = NatsCluster(base / "nats") if servers > 1 else None
        self._servers = self._cluster.servers if self._cluster is not None else [NatsServer(base / "nats", program=_SERVER)]
        self._url = ",".join(server.url for server in self._servers)
        arguments = ("--source", "chaos", "--create", "--replicas", str(servers), self._url)
        self.section = ShipSection(arguments=arguments)
        path = [os.fspath(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
        self._environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, path))}
        self._workers = [self._start(number) for number in range(_WORKERS)]
        self._stopping = threading.Event()
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="fleet")
        self._thread.start()

    # -- what they have

    @property
    def _database(self) -> Path:
        return self._base / "remote.db"

    def mirror(self) -> dict[bytes, tuple[int, int]]:
        """What the workers elsewhere have: path -> (size, mtime_ns)."""
        return read_remote_mirror(self._database)

    def wrong(self) -> list[str]:
        """Broken promises that they saw."""
        return read_wrong(self._database)

    def counts(self) -> dict[str, int]:
        return read_counts(self._database)

    def late_mirror(self) -> dict[bytes, tuple[int, int]]:
        """What a worker has that begins now, and reads everything that the stream has."""
        files: dict[bytes, tuple[int, int]] = {}
        with FleetClient(self._base / "late.db", self._url, away_s=5.0) as client:
            for batch in client.batches("late", follow=False):
                for event in batch.events:
                    path = os.fsencode(event.path)
                    if event.event_type == "deleted":
                        files.pop(path, None)
                    else:
                        files[path] = event.size or 0, event.mtime_ns or 0
                batch.ack()
        return files

    def leader(self) -> str:
        """The name of the server through which everything goes that is published; "" where it is not known."""
        if self._cluster is None:
            return self._servers[0].name
        try:
            info = self._cluster.ask(lambda js: js.stream_info(STREAM))
        except (nats.errors.Error, OSError):  # somebody is about to be elected, or started again
            return ""
        return (info.cluster.leader if info.cluster is not None else None) or ""

    # -- what happens to them

    def _start(self, number: int) -> subprocess.Popen[bytes]:
        worker = f"remote{number}"
        command: list[str | Path] = [sys.executable, "-P", "-m", "chaos.remote", self._url, self._database, "--worker", worker]
        with (self._base / f"{worker}.log").open("ab") as out:
            return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=self._environment)

    def _run(self) -> None:
        try:
            while not self._stopping.wait(0.1):
                for server in self._servers:
                    if not server.is_running:
                        self._start_again(server)
                for number, process in enumerate(self._workers):
                    if process.poll() is not None:
                        if process.returncode != -9:
                            self._tally.add(f"fleet workers that ended by themselves with {process.returncode}")
                        self._workers[number] = self._start(number)
        except BaseException as error:
            self.error = error
            raise

    def _start_again(self, server: NatsServer) -> None:
        self._stopping.wait(self._random.choice((0.0, 0.0, 0.5, 3.0)))
        if self._cluster is None and self._random.random() < _LOST_PART:
            log.info("the stream is lost")
            self._tally.add("fleet streams lost")
            server.lose_everything()
        server.start()
        self._tally.add("fleet servers started again")

    def close(self) -> None:
        self._stopping.set()
        self._thread.join(60)
        for process in self._workers:
            process.kill()
            process.wait(30)
        for server in self._servers:
            server.kill()
