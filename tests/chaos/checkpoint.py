"""A moment of rest in a run: everybody lives, a sync, and then index and mirrors must equal a walk."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from running import walk

from chaos.consumer import read_mirror, read_wrong
from chaos.consumers import Consumers
from chaos.fleet import Fleet
from chaos.index import in_pages, read_files
from chaos.processes import marked, watched_twice
from chaos.tally import Tally
from shardwatch.aggregator.client.blocking import ExtractClient
from shardwatch.shard.contract.errors import ShardwatchError
from shardwatch.shard.contract.state.layout import Layout
from shardwatch.shard.contract.state.settings import Settings
from shardwatch.supervisor.cli.commands.ship import GROUP as SHIPS

log = logging.getLogger("chaos.checkpoint")

#: Seconds after which a sync that did not succeed is a failure.
SYNC_S = 120.0
#: Seconds that consumers get to apply what is in the index.
MIRROR_S = 90.0

Files = Mapping[bytes, tuple[int, int]]


@dataclass
class Verdict:
    """What a checkpoint found. `failures` empty: all is well."""

    files: int = 0
    #: Of them in pages of the index.
    in_pages: int = 0
    sync_s: float = 0.0
    mirror_s: float = 0.0
    fleet_s: float = 0.0
    misses: int = 0
    failures: list[str] = field(default_factory=list)


def differences(there: Files, known: Files) -> list[str]:
    """One line each, in the order of paths."""
    lines = []
    for path in sorted(there.keys() | known.keys()):
        if there.get(path) != known.get(path):
            lines.append(f"{path!r}: the tree has {there.get(path)}, known is {known.get(path)}")
    return lines


class Checkpoint:
    """Looks at a service whose tree is at rest."""

    def __init__(
        self, layout: Layout, root: Path, settings: Settings, consumers: Consumers, fleet: Fleet | None, tally: Tally, mark: str
    ) -> None:
        self._layout = layout
        self._root = root
        self._settings = settings
        self._consumers = consumers
        self._fleet = fleet
        self._tally = tally
        self._mark = mark

    def take(self) -> Verdict:
        """Blocks until all is equal, or until it is clear that it will not be."""
        verdict = Verdict()
        with ExtractClient(self._layout.state_dir, timeout_s=5.0) as client:
            if not self._sync(client, verdict):
                return verdict
            known, there = read_files(self._layout.index_db), walk(self._root, self._settings)
            verdict.files, verdict.in_pages = len(there), in_pages(self._layout.index_db)
            self._judge(verdict, "index", differences(there, known))
            self._mirrors(client, there, verdict)
            if self._fleet is not None:
                self._remote(client, self._fleet, there, verdict)
        twice = watched_twice(list(marked(self._mark)))
        if twice:
            verdict.failures.append(f"{twice} directories have two living watchers")
        return verdict

    def _sync(self, client: ExtractClient, verdict: Verdict) -> bool:
        began = time.monotonic()
        while True:
            try:
                client.sync(30.0, patience_s=30.0)
                break
            except ShardwatchError as error:
                log.info("sync: %s %s", error, getattr(error, "fields", ""))
                self._tally.add("syncs without an answer")
                if time.monotonic() - began > SYNC_S:
                    verdict.failures.append(f"no sync succeeded within {SYNC_S:g} s: {error}")
                    return False
                time.sleep(0.2)
        verdict.sync_s = time.monotonic() - began
        return True

    def _mirrors(self, client: ExtractClient, there: Files, verdict: Verdict) -> None:
        began = time.monotonic()
        for team in self._consumers.teams:
            database = self._consumers.database(team)
            while differences(there, read_mirror(database)) and time.monotonic() - began < MIRROR_S:
                self._hand_out_what_was_set_aside(client, team.name)
                time.sleep(0.2)
            self._judge(verdict, f"group {team.name}", differences(there, read_mirror(database)))
            wrong = read_wrong(database)
            verdict.misses += len(wrong)
            verdict.failures += [f"group {team.name}, worker {line}" for line in wrong[:20]]
        verdict.mirror_s = time.monotonic() - began

    def _remote(self, client: ExtractClient, fleet: Fleet, there: Files, verdict: Verdict) -> None:
        began = time.monotonic()
        while differences(there, fleet.mirror()) and time.monotonic() - began < MIRROR_S:
            self._hand_out_what_was_set_aside(client, SHIPS)
            time.sleep(0.2)
        self._judge(verdict, "workers elsewhere", differences(there, fleet.mirror()))
        verdict.fleet_s = time.monotonic() - began
        wrong = fleet.wrong()
        verdict.misses += len(wrong)
        verdict.failures += [f"a worker elsewhere, {line}" for line in wrong[:20]]

    def late(self) -> Verdict:
        """What somebody is told who reads the stream from its beginning now, when everything else is equal."""
        verdict = Verdict()
        if self._fleet is not None:
            self._judge(verdict, "who begins late", differences(walk(self._root, self._settings), self._fleet.late_mirror()))
        return verdict

    def _hand_out_what_was_set_aside(self, client: ExtractClient, group: str) -> None:
        """A path whose batches were killed with their workers, time and again, is set aside, as is documented."""
        try:
            if any(g["name"] == group and g["parked_paths"] for g in client.groups()):
                self._tally.add("paths set aside", client.retry(group))
        except ShardwatchError as error:
            log.info("groups: %s", error)

    @staticmethod
    def _judge(verdict: Verdict, what: str, lines: list[str]) -> None:
        verdict.misses += len(lines)
        verdict.failures += [f"{what}: {line}" for line in lines[:20]]
        if len(lines) > 20:
            verdict.failures.append(f"{what}: and {len(lines) - 20} more")
