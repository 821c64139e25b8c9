"""The consumers of a run: groups of one or two workers, each worker a process that is started again when it ends.

A worker is a consumer of its own (consumer.py), or an `exec` that runs a command for each batch (command.py).
"""

from __future__ import annotations

import contextlib
import os
import random
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path

from chaos.tally import Tally


@dataclass(frozen=True)
class Team:
    """A group and how its workers work."""

    name: str
    workers: int = 1
    options: tuple[str, ...] = field(default=())
    #: Its workers are `exec`; the options are those of the command.
    by_exec: bool = False


TEAMS = (
    Team("one"),
    Team("pair", 2, ("--max", "200", "--work-s", "0.01")),
    Team("slow", 1, ("--max", "100", "--nack", "0.02", "--work-s", "0.02")),
    Team("exec", 1, ("--fail", "0.03", "--work-s", "0.1"), by_exec=True),
)


class Consumers:
    """Starts every worker, and each one again when it was killed."""

    def __init__(
        self, state_dir: Path, base: Path, tally: Tally, random_: random.Random, teams: tuple[Team, ...] = TEAMS
    ) -> None:
        self.teams = teams
        self._state_dir = state_dir
        self._base = base
        self._tally = tally
        self._random = random_
        path = [os.fspath(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
        self._environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, path))}
        self._stopping = threading.Event()
        self._workers = {(team, n): self._start(team, n) for team in teams for n in range(team.workers)}
        self._thread = threading.Thread(target=self._run, name="consumers")
        self._thread.start()

    def database(self, team: Team) -> Path:
        return self._base / f"{team.name}.db"

    def _start(self, team: Team, number: int) -> subprocess.Popen[bytes]:
        worker = f"{team.name}{number}"
        argv = self._by_exec(team) if team.by_exec else self._by_client(team, worker)
        with (self._base / f"{worker}.log").open("ab") as log:
            return subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self._environment)

    def _by_client(self, team: Team, worker: str) -> list[str | Path]:
        argv: list[str | Path] = [sys.executable, "-P", "-m", "chaos.consumer", self._state_dir, team.name, self.database(team)]
        return [*argv, "--worker", worker, "--seed", str(self._random.randrange(10**6)), *team.options]

    def _by_exec(self, team: Team) -> list[str | Path]:
        argv: list[str | Path] = [sys.executable, "-P", "-m", "shardwatch.supervisor.cli.main", "exec", "--group", team.name]
        argv += ["--initial", "--on", "created,modified,deleted,moved,fresh", "--input", "json", "--jobs", "2"]
        argv += ["--state-dir", self._state_dir, "--", sys.executable, "-P", "-m", "chaos.command", self.database(team)]
        return [*argv, *team.options]

    def _run(self) -> None:
        while not self._stopping.wait(0.1):
            for key, process in self._workers.items():
                if process.poll() is not None:
                    if process.returncode != -9:
                        self._tally.add(f"consumer ended by itself with {process.returncode}")
                    self._workers[key] = self._start(*key)

    def close(self) -> None:
        self._stopping.set()
        self._thread.join(30)
        for process in self._workers.values():
            with contextlib.suppress(OSError):
                process.terminate()
        for process in self._workers.values():
            process.wait(30)
