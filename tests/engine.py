"""The real engine in one process, without sockets: real files, inotify and SQLite; the line and the clock are ours.

A test decides when a shard looks, which frames arrive, in what order, twice or never, and who dies in between.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import sqlite3
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import cast

from index_rows import query
from msgspec.structs import replace

from shardwatch.aggregator.index.index import Index
from shardwatch.aggregator.intake.receive import Receiver
from shardwatch.shard.backend.beside import BesideBackend
from shardwatch.shard.backend.fanotify import FanotifyBackend
from shardwatch.shard.backend.inotify import InotifyBackend
from shardwatch.shard.contract.filter.filter import Filter
from shardwatch.shard.contract.state.planfile import Anchor, Plan, PlanFile
from shardwatch.shard.contract.state.settings import Settings
from shardwatch.shard.contract.wire.frames import Beat, decode_up
from shardwatch.shard.disk.disk import Disk
from shardwatch.shard.disk.ignore_files import IgnoreFiles
from shardwatch.shard.disk.look import Reader
from shardwatch.shard.disk.mounts import Mounts
from shardwatch.shard.process.succession import PlanOverError, Succession
from shardwatch.shard.schedule.debounce import Debounce
from shardwatch.shard.schedule.polling import Poller, PollPace
from shardwatch.shard.schedule.scan_rate import ScanRate
from shardwatch.shard.schedule.watcher import BOUNDS, Bounds, Watcher
from shardwatch.shard.stream.send import Stream
from shardwatch.shard.territory.doubts import Doubts
from shardwatch.shard.territory.territory import Territory
from shardwatch.shard.territory.verify import Verifier
from shardwatch.shard.tree.nodes import Node
from shardwatch.supervisor.planning.continuity import continued

INCLUDE = ("*.json",)
EXCLUDE = ("**/.git/**", "*.tmp")
Kernel = InotifyBackend | FanotifyBackend | BesideBackend
Tree = dict[tuple[bytes, int], tuple[int, ...]]


def walk(root: bytes) -> Tree:
    """What the rows of a tree must be: kept files and links by their lstat, directories by their existence."""
    keep = Filter(INCLUDE, EXCLUDE)
    found: Tree = {}
    if not os.path.isdir(root) or os.path.islink(root):
        return found
    for above, directories, files in os.walk(root):
        relative = above[len(root) + 1 :]
        kept = []
        for name in directories:
            path = os.path.join(above, name)
            if os.path.islink(path):
                files.append(name)
            elif not keep.prunes(relative + b"/" + name if relative else name):
                found[path, 1] = ()
                kept.append(name)
        directories[:] = kept
        for name in keep.keeps_names(relative, files):
            st = os.lstat(os.path.join(above, name))
            found[os.path.join(above, name), 0] = (st.st_ino, st.st_size, st.st_mtime_ns, st.st_ctime_ns, st.st_nlink)
    return found


def rows(index: Index) -> Tree:
    """The living rows, in the same form."""
    sql = "SELECT d.path, e.name, e.directory, e.ino, e.size, e.mtime_ns, e.ctime_ns, e.nlink FROM every e"
    sql += " JOIN directory d ON d.id = e.dir WHERE e.kind <> 0"
    return {(p + b"/" + n, d): () if d else tuple(rest) for p, n, d, *rest in query(index, sql)}


class PlanInMemory:
    """The plan of the engine, as if it were on disk."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @property
    def last(self) -> Plan:
        return self._engine.plan

    def other_than(self, generation: int) -> Plan | None:
        return None if self._engine.plan.generation == generation else self._engine.plan


class Shard:
    """One life of one shard."""

    def __init__(self, engine: Engine, name: str, epoch: int, *, settle_ms: int) -> None:
        self.engine = engine
        self.name = name
        self.epoch = epoch
        plan = engine.plan
        self.backend = cast(InotifyBackend, engine.open_backend())  # what tests look into that don't ask for another
        self.line: deque[bytes] = engine.lines.setdefault(name, deque())
        self.stream = Stream(name, epoch, plan.generation, self._push, service=engine.service)
        self.territory = Territory(
            plan.of(name), frozenset(a.path for a in plan.anchors), backend=self.backend, doubts=Doubts(lambda missing: ""),
            reader=Reader(
                engine.keep, state_dir=b"/nowhere", follow=engine.follow, disk=engine.disk,
                ignores=IgnoreFiles([engine.root], os.fsencode(engine.base / "excludes")) if engine.ignore_files else None,
            ),
            emit=self.stream.add, mounts=engine.mounts, wall_ns=engine.wall_ns, clock=lambda: engine.now,
        )  # fmt: skip
        settle: Debounce[Node] = Debounce(settle_ms * 1_000_000, 10 * settle_ms * 1_000_000)
        verifier = Verifier(self.territory, period_ns=engine.verify_s * 10**9, cpu=lambda: 0) if engine.verify_s else None
        poller = Poller(self.territory, PollPace(10**9), clock=lambda: engine.now, cpu=lambda: 0, chance=lambda: 0.0)
        self.watcher = Watcher(
            self.territory, self.backend, self.stream, settle, poller=poller, mounts=engine.mounts, verifier=verifier,
            rate=ScanRate(engine.files_per_s), bounds=engine.bounds, clock=lambda: engine.now,
        )  # fmt: skip
        self.succession = Succession(
            name, plan, cast(PlanFile, PlanInMemory(engine)),
            engine.settings, fixed=False,
        )  # fmt: skip
        self.watcher.begin()

    def follow_plan(self) -> None:
        """As at a beat. Raises PlanOverError if it has to be started again."""
        handover = self.watcher.handover
        if handover.passes_on:
            return
        if (found := self.succession.look(self.stream.generation)) is not None:
            plan, change = found
            handover.go_by(plan.generation, change, frozenset(anchor.path for anchor in plan.anchors))
        elif (coming := self.succession.coming()).generation != handover.taking_on.generation and self.watcher.baseline_done:
            handover.get_ready(*coming)

    def _push(self, body: bytes) -> bool:
        self.line.append(body)
        return True

    def step(self) -> None:
        """Takes in what the kernel has, looks for a slice, sends."""
        self.backend.drain()
        self.watcher.absorb(self.backend.take())
        self.watcher.work()
        self.stream.flush(self.engine.now)

    def known(self) -> int:
        """How many directories its trees have, counted one by one."""
        nodes = [place.node for place in self.territory.places]
        return sum(sum(1 for _ in node.subtree()) for node in nodes if node is not None and node.alive)

    def lose_hints(self) -> None:
        """What the kernel's queue held is lost, and it says so."""
        self.backend.drain()
        backend: Kernel = self.backend
        for one in backend._opened.values() if isinstance(backend, BesideBackend) else (backend,):
            if isinstance(one, FanotifyBackend):
                with one._deciding:
                    one._take_kept()
            else:
                assert isinstance(one, InotifyBackend)
                with one._reading:
                    while one._kept:
                        one._kept.pop()
            one._lost = True

    def kill(self) -> None:
        """Nothing more is sent; what is on the line may still arrive, after the successor's words."""
        self.backend.close()

    def new_epoch(self, known: int) -> None:
        self.epoch = max(known, self.engine.epochs[self.name]) + 1
        self.engine.epochs[self.name] = self.epoch
        self.stream.begin(self.epoch)
        self.watcher.begin()


class Engine:
    """Shards, the line, the receiver and its index, and a tree."""

    def __init__(
        self, base: Path, anchors: dict[str, str], *, settle_ms: int = 0, watches_max: int = 0, follow: bool = False,
        verify_s: int = 0, disk: Disk | None = None, mounts: Mounts | None = None, keep: Filter | None = None,
        bounds: Bounds = BOUNDS, ignore_files: bool = False, backend: type[Kernel] = InotifyBackend, files_per_s: int = 0,
    ) -> None:  # fmt: skip
        """`anchors`: path relative to the root ("" is the root) -> shard. `verify_s`: what a pass of the verification takes.
        `disk`, `mounts`: what every shard looks at. `keep`: which files are watched. `bounds`: of every shard's watcher.
        `ignore_files`: what they name is left out; `walk` then has to tell what is there. `backend`: of every shard.
        `files_per_s`: what scans of each may look at; 0: as many as they can."""
        self.base = base
        self.root = os.fsencode(base / "tree")
        (base / "tree").mkdir(exist_ok=True)
        self.now = 0
        #: By how much the wall clock of everybody but the kernel is wrong, ns.
        self.wrong_ns = 0
        self.settle_ms = settle_ms
        self.watches_max = watches_max
        self.backend = backend
        self.verify_s = verify_s
        self.follow = follow
        self.disk = disk
        self.keep = keep if keep is not None else Filter(INCLUDE, EXCLUDE)
        self.mounts = mounts
        self.bounds = bounds
        self.ignore_files = ignore_files
        self.files_per_s = files_per_s
        self.settings = Settings(
            roots=(self.root,), include=INCLUDE, exclude=EXCLUDE, follow_symlinks=follow, ignore_files=ignore_files
        )
        self.walk: Callable[[bytes], Tree] = walk
        self.epochs: dict[str, int] = {}
        #: Which running service all of this is.
        self.service = "service 1"
        self.lines: dict[str, deque[bytes]] = {}
        self.shards: dict[str, Shard] = {}
        self.plan = Plan(0, ())
        self.commits = 0
        self.index = Index(base / "index.db", wall_ns=self.wall_ns)
        self.replan(anchors, start=False)
        self.receiver = Receiver(self.index, lambda: self.plan, service=self.service)
        for name in self.plan.shards():
            self.start(name)

    def open_backend(self) -> Kernel:
        if self.backend is FanotifyBackend:
            return FanotifyBackend(loud_events=2)
        if self.backend is BesideBackend:
            return BesideBackend(lambda: InotifyBackend(watches_max=self.watches_max), FanotifyBackend)
        return InotifyBackend(watches_max=self.watches_max)

    def wall_ns(self) -> int:
        return time.time_ns() + self.wrong_ns

    def replan(self, anchors: dict[str, str], *, start: bool = True) -> None:
        """A new generation: every shard is started again, watches what it owns now, and scans it."""
        for name in list(self.shards):
            self.kill(name)
        self.plan = self._plan(anchors)
        if start:
            for name in self.plan.shards():
                self.start(name)

    def replan_running(self, anchors: dict[str, str]) -> None:
        """A new generation, which the shards go by when they notice it. What goes on is not looked at again."""
        self.plan = continued(self.plan, self._plan(anchors), self.settings, self.settings)
        for name in self.plan.shards():
            if name not in self.shards:
                self.start(name)

    def announce(self, anchors: dict[str, str]) -> None:
        """The next plan, for which the shards get ready when they notice it, and which nobody goes by before `exchange_plan`."""
        plan = replace(self.plan, next=None)
        self.plan = replace(plan, next=continued(plan, self._plan(anchors), self.settings, self.settings))

    def exchange_plan(self) -> None:
        """The plan that was announced takes the place of the one in force, if there is one."""
        if self.plan.next is not None:
            self.plan = self.plan.next
            for name in self.plan.shards():
                if name not in self.shards:
                    self.start(name)

    def follow_plan(self, name: str) -> None:
        """The shard has its beat: it goes on with another plan, or is started again for it, or has nothing left to do."""
        if name not in self.plan.shards():
            self.kill(name)
            return
        try:
            self.shards[name].follow_plan()
        except PlanOverError:
            self.kill(name)
            self.start(name)

    def _plan(self, anchors: dict[str, str]) -> Plan:
        made = [Anchor(os.path.join(self.root, os.fsencode(p)) if p else self.root, s, self.root) for p, s in anchors.items()]
        latest = self.plan if self.plan.next is None else self.plan.next
        return Plan(latest.generation + 1, tuple(made))

    @property
    def is_complete(self) -> bool:
        """Whether all shards of the plan are there."""
        return set(self.plan.shards()) <= self.shards.keys()

    def start(self, name: str) -> None:
        self.epochs[name] = self.epochs.get(name, 0) + 1
        self.shards[name] = Shard(self, name, self.epochs[name], settle_ms=self.settle_ms)

    def kill(self, name: str) -> None:
        self.shards.pop(name).kill()

    def restart_aggregator(self, *, commit: bool, lose_index: bool = False) -> None:
        """Killed between two transactions, or within one."""
        if commit:
            self.index.commit(may_defer=self.commits % 2 > 0)
        self.index.abandon()
        if lose_index:
            for name in ("index.db", "index.db-wal", "index.db-shm"):
                (self.base / name).unlink(missing_ok=True)
        self.index = Index(self.base / "index.db", wall_ns=self.wall_ns)
        self.receiver = Receiver(self.index, lambda: self.plan, service=self.service)

    def backup(self) -> None:
        """Of the index, as it is committed now."""
        self.index.commit()
        self.index.commit_deferred()
        with contextlib.closing(sqlite3.connect(self.base / "backup.db")) as copy:
            self.index.file.db.backup(copy)

    def restart_service(self, *, restore: bool, lose_index: bool, lose_plan: bool) -> None:
        """Everything is killed, pieces of the state directory are removed or restored, and another service begins. Numbers of
        epochs and generations begin anew, which is worse than what the real ones do; late frames of the old one still arrive."""
        for name in list(self.shards):
            self.kill(name)
        self.service = f"service {int(self.service.split()[1]) + 1}"
        self.epochs = {}
        if lose_plan:
            self.plan = Plan(1, tuple(replace(anchor, since=0) for anchor in self.plan.anchors))
        self.index.abandon()
        if (restore and (self.base / "backup.db").exists()) or lose_index:
            for name in ("index.db", "index.db-wal", "index.db-shm"):
                (self.base / name).unlink(missing_ok=True)
        if restore and (self.base / "backup.db").exists():
            shutil.copy(self.base / "backup.db", self.base / "index.db")
        self.index = Index(self.base / "index.db", wall_ns=self.wall_ns)
        self.receiver = Receiver(self.index, lambda: self.plan, service=self.service)
        for name in self.plan.shards():
            self.start(name)

    def deliver(self, name: str, random_: random.Random | None = None) -> None:
        """One frame arrives; with `random_` perhaps out of order, twice, or never."""
        line = self.lines.get(name)
        if not line:
            return
        position = 0
        if random_ is not None:
            dice = random_.random()
            if dice < 0.15 and len(line) > 1:
                position = random_.randrange(len(line))
            elif dice < 0.25:
                line.popleft()
                return
            elif dice < 0.35:
                line.append(line[0])
        body = line[position]
        del line[position]
        message = decode_up(body)
        assert not isinstance(message, Beat)
        self.receiver.frame(message, self.now / 1e9)

    def commit(self, *, answer: bool = True) -> None:
        """Commits, and answers the shards (or the answers are lost). Two of three commits may be deferred."""
        self.commits += 1
        self.index.commit(may_defer=self.commits % 3 > 0)
        if self.receiver.searching:
            self.receiver.search()
        self.receiver.finish_syncs(self.now / 1e9)
        for name, reply in self.receiver.replies(touched_only=False, now=self.now / 1e9):
            shard = self.shards.get(name)
            if shard is None or not answer:
                continue
            if not shard.stream.reply(reply, self.now):
                shard.new_epoch(reply.epoch)
                continue
            if reply.generation not in (0, shard.stream.generation):
                self.follow_plan(name)
                if self.shards.get(name) is not shard:
                    continue
            shard.watcher.syncs.keep(reply.syncs)
            for token in reply.syncs:
                shard.watcher.syncs.ask(token)
            for directory, names in reply.looks:
                shard.watcher.look_again(directory, names)
            for path, after, upto in reply.checks:
                shard.watcher.rechecks.check_again((path, after, upto))

    def turn(self, ms: int = 10) -> None:
        """A little time passes, and everybody does what there is to do."""
        self.now += ms * 1_000_000
        for name in list(self.shards):
            self.follow_plan(name)
        for shard in list(self.shards.values()):
            shard.step()
        self.receiver.reload_plan()
        for name in list(self.lines):
            while self.lines[name]:
                self.deliver(name)
        self.commit()

    def until_quiet(self) -> None:
        """Everybody lives; turns until nothing is left to do."""
        for name in self.plan.shards():
            if name not in self.shards:
                self.start(name)
        for _ in range(20):
            self.turn(200)
        for _ in range(2000):
            self.turn(50)
            if (
                all(self.plan.owed(name) <= self.receiver.streams[name].baseline for name in self.plan.shards())
                and all(
                    s.stream.generation == self.plan.generation
                    and s.watcher.idle and not s.watcher.pending and not s.stream.unacked and s.watcher.baseline_done
                    for s in self.shards.values()
                )
                and not self.index.owed
                and not self.receiver.searching
            ):
                return
        raise AssertionError("the engine does not come to rest")

    def sync(self) -> dict[str, object]:
        """A sync, carried out; the time passes in milliseconds only."""
        token = self.receiver.begin_sync(self.now / 1e9 + 3600)
        for _ in range(5000):
            result = self.receiver.sync_result(token)
            if result is not None:
                return result
            self.commit()
            self.turn(1)
        raise AssertionError("the sync is not answered")

    def difference(self) -> tuple[Tree, Tree]:
        """(what the tree has otherwise than the index, and the other way round)."""
        there, known = self.walk(self.root), rows(self.index)
        return ({k: v for k, v in there.items() if known.get(k) != v}, {k: v for k, v in known.items() if there.get(k) != v})

    def close(self) -> None:
        for name in list(self.shards):
            self.kill(name)
        self.index.close()
