"""Plays the service manager: starts the service, and starts it again whenever supervisord ends."""

from __future__ import annotations

import contextlib
import logging
import random
import subprocess
import threading
from pathlib import Path

from chaos.neglect import Neglect
from chaos.tally import Tally
from shardwatch.shard.contract.errors import InUseError, ShardwatchError
from shardwatch.shard.contract.state.settings import Settings
from shardwatch.shard.contract.state.ship_section import ShipSection
from shardwatch.supervisor.service import service
from shardwatch.supervisor.service.child import command
from shardwatch.supervisor.service.state_dir import prepare

log = logging.getLogger("chaos.keeper")


class Keeper:
    """A loop in a thread, like systemd's Restart=always with a short RestartSec.

    Args:
        ship: what the service ships, if it does.
    """

    def __init__(
        self, state_dir: Path, settings: Settings, mark: str, tally: Tally, random_: random.Random, ship: ShipSection | None
    ) -> None:
        self._settings = settings
        self._ship = ship
        self._tally = tally
        self._random = random_
        self.layout = prepare(state_dir, settings, ship=ship).layout
        self._neglect = Neglect(state_dir, mark, tally, random_)
        self._process = self._start()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="keeper")
        self._thread.start()

    def _start(self) -> subprocess.Popen[bytes]:
        with self.layout.log("start").open("ab") as out:
            return subprocess.Popen(
                command(self.layout), stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True
            )

    def _run(self) -> None:
        while not self._stopping.is_set():
            code = self._process.wait()
            if self._stopping.is_set():
                return
            log.info("supervisord ended with %s", code)
            self._tally.add("restarts of the service")
            self._stopping.wait(self._random.choice((0.0, 0.05, 0.5, 2.0)))
            removed = self._neglect.once() if self._random.random() < 0.6 else []
            if removed:
                log.info("removed from the state directory: %s", ", ".join(removed))
            if removed or self._random.random() < 0.5:  # `up` prepares the directory anew, a bare `run` does not
                with contextlib.suppress(InUseError):
                    prepare(self.layout.state_dir, self._settings, ship=self._ship)
            self._process = self._start()

    @property
    def pid(self) -> int:
        return self._process.pid

    def stop(self) -> float:
        """Ends the service in order; returns the seconds it took. Raises ShardwatchError if something stays."""
        import time

        self._stopping.set()
        began = time.monotonic()
        try:
            service.stop(self.layout)
        except ShardwatchError:
            self._process.kill()
            raise
        finally:
            self._process.wait(30)
            self._thread.join(30)
        return time.monotonic() - began
