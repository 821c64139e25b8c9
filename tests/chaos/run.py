"""One run: builds everything, lets it rage, takes checkpoints, tears down, looks what is left, and reports."""

from __future__ import annotations

import contextlib
import logging
import os
import random
import shutil
import signal
import socket
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import session
from running import settings_for

from chaos.checkpoint import Checkpoint, Verdict
from chaos.consumer import read_counts
from chaos.consumers import Consumers
from chaos.fleet import Fleet
from chaos.keeper import Keeper
from chaos.killer import Killer
from chaos.prober import Prober
from chaos.processes import MARK, marked
from chaos.tally import OF_PAGES, Sampler, Tally
from chaos.tree import Tree
from chaos.weight import Scale
from chaos.writers import KINDS, Gate, Writer, storm
from shardwatch.shard.contract.errors import ShardwatchError
from shardwatch.shard.contract.state.directory import StateDirectory

log = logging.getLogger("chaos.run")


@dataclass(frozen=True)
class Plan:
    """What a run is to be."""

    seed: int
    minutes: float = 4.0
    files: int = 20_000
    shards: int = 4
    #: Seconds between checkpoints.
    rage_s: float = 20.0
    #: Mean seconds between two deeds of the killer.
    kill_s: float = 2.0
    #: nats-servers to which the service ships: none, one, or three that keep the stream together.
    servers: int = 1
    #: Lower `max_queued_events` for moments, where this user may.
    queues: bool = False
    spared: tuple[str, ...] = ()
    #: The work directory is made here. On a disk, inodes are used again; in memory, more happens.
    where: Path = Path("/tmp")
    #: Keep the work directory even if all is well.
    keep: bool = False


class Run:
    """Everything of one run. `go` returns the failures; none: the promise held."""

    def __init__(self, plan: Plan, say: Callable[[str], None]) -> None:
        self.plan = plan
        self._say = say
        self.failures: list[str] = []
        self.misses = 0
        self.tally = Tally()
        self._mark = uuid.uuid4().hex
        os.environ[MARK] = self._mark
        self.base = session.outside("sw-chaos-", plan.where)
        self._log = logging.FileHandler(self.base / "chaos.log")
        self._log.setFormatter(logging.Formatter("%(asctime)s %(threadName)s %(message)s"))
        root = logging.getLogger("chaos")
        root.addHandler(self._log)
        root.setLevel(logging.INFO)
        root.propagate = False

    def _random(self, name: str) -> random.Random:
        return random.Random(f"{self.plan.seed}/{name}")

    def go(self) -> list[str]:
        self._say(f"seed {self.plan.seed}, {self.plan.minutes:g} minutes, {self.plan.files} files, in {self.base}")
        self._say(self._shipping())
        try:
            with contextlib.ExitStack() as stack:
                self._set_up(stack)
                if not self.failures:
                    self._rage()
                self._tear_down()
            self.failures += self._left()
            self.failures += self._scale.grown()
        finally:
            os.environ.pop(MARK, None)
            logging.getLogger("chaos").removeHandler(self._log)
            self._log.close()
        self._report()
        if self.failures or self.plan.keep:
            session.keep(self.base)
            self._say(f"everything is kept in {self.base}: chaos.log, state/logs, the tree, the mirrors")
        else:
            shutil.rmtree(self.base, ignore_errors=True)
        return self.failures

    # -- before

    def _set_up(self, stack: contextlib.ExitStack) -> None:
        plan, tally = self.plan, self.tally
        tree = Tree(self.base, plan.files, self._random("tree"))
        state_dir = self.base / "state"
        settings = settings_for(tree.root, shards=plan.shards, settle_ms=20, lease_ms=5000, attempts_max=20)
        stack.callback(self._kill_what_is_left)
        self._fleet: Fleet | None = None
        if plan.servers:
            self._fleet = Fleet(self.base, plan.servers, tally, self._random("fleet"))
            stack.callback(self._fleet.close)
        ship = self._fleet.section if self._fleet is not None else None
        self._keeper = Keeper(state_dir, settings, self._mark, tally, self._random("keeper"), ship)
        stack.callback(self._end_the_service)
        self._sampler = Sampler(state_dir)
        stack.callback(self._sampler.close)
        self._consumers = Consumers(state_dir, self.base, tally, self._random("consumers"))
        stack.callback(self._consumers.close)
        self._gate = Gate()
        self._tree = tree
        self._writers: list[Writer] = [kind(tree, self._gate, tally, self._random(kind.__name__)) for kind in KINDS]
        self._scale = Scale(self._mark)
        self._checkpoint = Checkpoint(
            self._keeper.layout, tree.root, settings, self._consumers, self._fleet, tally, self._mark
        )
        self._judge(self._checkpoint.take(), "start")
        self._prober = Prober(state_dir, tree.root / "probe", tally, self._random("prober"))
        stack.callback(self._prober.close)
        self._killer = Killer(
            self._mark, tally, self._random("killer"), lambda: self._storm(tree), pause_s=plan.kill_s, queues=plan.queues,
            spared=plan.spared, leader=self._fleet.leader if self._fleet is not None else None,
        )  # fmt: skip
        stack.callback(self._killer.close)
        for writer in self._writers:
            writer.thread.start()
        stack.callback(self._end_the_writers)

    def _storm(self, tree: Tree) -> None:
        with self._gate.deed() as going:
            if going:
                storm(tree, self.tally)

    # -- meanwhile

    def _rage(self) -> None:
        random_ = self._random("checkpoints")
        end = time.monotonic() + self.plan.minutes * 60
        number = 0
        while not self.failures and time.monotonic() < end:
            number += 1
            time.sleep(max(0.0, min(self.plan.rage_s * random_.uniform(0.8, 1.4), end - time.monotonic())))
            self._rest(number, kill=random_.random() < 0.5 and not self.plan.spared)
        if not self.failures:
            self._rest(number + 1, kill=False)
            self._late()

    def _rest(self, number: int, *, kill: bool) -> None:
        """A checkpoint; with `kill` somebody dies in the very moment of the sync."""
        self._killer.pause()
        self._gate.shut()
        self._prober.pause()
        if kill:
            self._killer.once()
        self._judge(self._checkpoint.take(), f"checkpoint {number}")
        if self.failures:
            return
        self._prober.go_on()
        self._gate.open()
        self._killer.go_on()

    def _late(self) -> None:
        self._killer.pause()
        self._gate.shut()
        self._prober.pause()
        late = self._checkpoint.late()
        self.failures += late.failures
        self.misses += late.misses

    def _judge(self, verdict: Verdict, name: str) -> None:
        self.failures += [f"{name}: {line}" for line in verdict.failures]
        self.misses += verdict.misses
        if hasattr(self, "_prober"):
            self.misses += len(self._prober.stale)
            self.failures += [f"{name}: a sync lied: {line}" for line in self._prober.stale]
            threads: list[Any] = [*self._writers, self._killer, self._prober, *([self._fleet] if self._fleet else [])]
            self.failures += [f"{name}: our own {t.__class__.__name__} broke: {t.error!r}" for t in threads if t.error]
        self._scale.weigh()
        self._say(
            f"{name}: {verdict.files} files ({verdict.in_pages} in pages), sync {verdict.sync_s:.1f} s,"
            f" mirrors {verdict.mirror_s:.1f} s, elsewhere {verdict.fleet_s:.1f} s, {self._figures()}"
        )

    # -- afterwards

    def _end_the_writers(self) -> None:
        self._gate.end()
        for writer in self._writers:
            if writer.thread.ident:
                writer.thread.join(120)

    def _end_the_service(self) -> None:
        with contextlib.suppress(ShardwatchError):
            self._keeper.stop()

    def _kill_what_is_left(self) -> None:
        for process in marked(self._mark):
            if process.role != "other":
                process.send(signal.SIGKILL)

    def _tear_down(self) -> None:
        self._end_the_writers()
        self._killer.close()
        self._prober.close()
        self._consumers.close()
        if self._fleet is not None:
            self._fleet.close()
        self._sampler.close()
        if self.failures:
            return  # as it is, for whoever looks into it
        try:
            took_s = self._keeper.stop()
        except ShardwatchError as error:
            self.failures.append(f"the service can't be stopped: {error}")
        else:
            self._say(f"stopping took {took_s:.1f} s")

    def _left(self) -> list[str]:
        layout = self._keeper.layout
        until = time.monotonic() + 30
        while list(marked(self._mark)) and time.monotonic() < until:
            time.sleep(0.1)
        found = [f"process {p.pid} ({p.name}) is left" for p in marked(self._mark)]
        found += [f"socket {path} is left" for path in layout.run.rglob("*") if path.is_socket()]
        with StateDirectory(layout.locks, foreign=True) as locks:
            found += [f"lock {path} is held" for path in layout.locks.glob("*.lock") if locks.held(path.name)]
        found += [f"temporary file {path} is left" for path in layout.state_dir.glob(".*.[0-9]*")]
        return [] if self.failures else found

    # -- words

    def _shipping(self) -> str:
        if not self.plan.servers:
            return "NOTHING IS SHIPPED: there is no nats-server (Debian: nats-server), or it was asked for none"
        return f"ships to {self.plan.servers} nats-server{'s, which keep the stream together' if self.plan.servers > 1 else ''}"

    def _figures(self) -> str:
        tally, sampler = self.tally, self._sampler
        kills, stops = tally.of("kill "), tally.of("stop ")
        consumers = self._counts()
        return (
            f"operations {sum(tally.of('op ').values())}, kills {sum(kills.values())}, stops {sum(stops.values())}, "
            f"overflows {sampler.total('overflows')}, rescans {sampler.total('rescans')}, "
            f"redeliveries {consumers.get('redelivered', 0)}, frames resent {sampler.total('resent')}, "
            f"hung kills {sampler.total('hung')}, probes {tally['probes answered']}, misses {self.misses}"
        )

    def _counts(self) -> dict[str, int]:
        """Of all groups."""
        total: dict[str, int] = {}
        for team in self._consumers.teams:
            for name, value in read_counts(self._consumers.database(team)).items():
                total[name] = total.get(name, 0) + value
        return total

    def _report(self) -> None:
        tally, sampler, say = self.tally, self._sampler, self._say
        say(f"end of seed {self.plan.seed} on {socket.gethostname()}: {self._figures()}")
        say(f"  operations: {_words(tally.of('op '))}; in vain: {_words(tally.of('vain '))}")
        say(f"  kills: {_words(tally.of('kill '))}; stops: {_words(tally.of('stop '))}; short queues {tally['short queues']}")
        say(f"  removed from the state directory between lives: {_words(tally.of('removed '))}")
        names = ("frames", "duplicates", "gaps", "dropped", "refused", "rows_written", "hints", "looks")
        say(f"  service (at least): {_words({n: sampler.total(n) for n in names})}; restarted {tally['restarts of the service']}")
        pages = {name: sampler.total(f"pages {name}") for name in OF_PAGES}
        say(f"  pages of the index (at least): {_words(pages)}; none is ever split or merged")
        say(f"  consumers: {_words(self._counts())}; paths set aside {tally['paths set aside']}")
        if self._fleet is not None:
            say(f"  shipped to workers elsewhere: {_words(self._fleet.counts())}; {_words(tally.of('fleet '))}")
        say(
            f"  syncs under fire: {tally['probes answered']} answered, {tally['probes without an answer']} not; "
            f"at checkpoints {tally['syncs without an answer']} had to be asked again"
        )
        for line in self._scale.lines():
            say(f"  {line}")
        for line in self.failures:
            say(f"FAILED {line}")
        say("PASSED" if not self.failures else f"FAILED with {self.misses} misses: make chaos SEED={self.plan.seed}")


def _words(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {n}" for name, n in counts.items()) or "none"
