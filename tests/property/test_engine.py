"""After any schedule of changes, kills, losses and reorderings the index equals the tree. Real files, real inotify."""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import shutil
from unittest.mock import patch

import pytest
import session
from engine import Engine, Kernel, Tree, walk
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from index_rows import query
from repository import git, make_repository

from shardwatch.aggregator.index import page
from shardwatch.aggregator.index.pages import Pages
from shardwatch.shard.backend.beside import BesideBackend
from shardwatch.shard.backend.fanotify import FanotifyBackend
from shardwatch.shard.backend.inotify import InotifyBackend
from shardwatch.shard.territory.sweep import watch_instead

#: Small on purpose: collisions are what is looked for.
DIRECTORIES = ("", "a", "b", "a/x", "a/x/y", "b/x", "b/x/y", "a/x/y/z", "c.json", "c.json/x")
FILES = ("f.json", "g.json", "x", "c.json", "n.tmp")
PLANS: tuple[dict[str, str], ...] = (
    {"": "s0"},
    {"": "s0", "a": "s1"},
    {"": "s0", "a/x/y": "s1", "b": "s2"},
    {"": "s1", "a/x": "s0", "b/x/y": "s0"},
)
#: From one of these to another, subtrees pass from shard to shard, and both keep something.
PASSED_ON: tuple[dict[str, str], ...] = (
    {"": "s0", "a": "s1", "b": "s1"},
    {"": "s0", "a": "s1", "b": "s2"},
    {"": "s0", "a": "s1", "b": "s2", "a/x": "s2"},
    {"": "s0", "a": "s1", "b": "s1", "b/x": "s0", "a/x/y": "s0"},
    {"": "s0", "a": "s0", "b": "s1", "a/x": "s1"},
)

directory = st.sampled_from(DIRECTORIES)
file = st.sampled_from(FILES)


class EngineMachine(RuleBasedStateMachine):
    """Random operations on a tree while parts of the engine run, stall, die, and hear each other badly."""

    backend: type[Kernel] = InotifyBackend
    #: Of each shard; 0: as many as the kernel gives.
    watches_max = 0

    def __init__(self) -> None:
        super().__init__()
        #: A page has one or two rows, so that there are some, and several of one directory.
        self.pages = patch.multiple(page, ENTRIES_MIN=1, ENTRIES_MAX=2)
        self.pages.start()
        #: They are made known by their inodes one by one.
        self.indexed = patch.object(Pages.index_inodes, "__defaults__", (1,))
        self.indexed.start()

    @initialize(plan=st.sampled_from(PLANS), seed=st.integers(0, 2**16), settle_ms=st.sampled_from((0, 50)))
    def begin(self, plan: dict[str, str], seed: int, settle_ms: int) -> None:
        self.base = session.place(where=session.memory())
        self.random = random.Random(seed)
        self.engine = Engine(self.base, plan, settle_ms=settle_ms, backend=self.backend, watches_max=self.watches_max)
        self.root = self.base / "tree"
        (self.base / "out").mkdir()

    # -- the tree

    @rule(where=directory, name=file, size=st.integers(0, 3))
    def write(self, where: str, name: str, size: int) -> None:
        with contextlib.suppress(OSError):
            (self.root / where / name).write_text("x" * size)

    @rule(where=directory, name=file)
    def remove(self, where: str, name: str) -> None:
        with contextlib.suppress(OSError):
            (self.root / where / name).unlink()

    @rule(where=directory)
    def make(self, where: str) -> None:
        with contextlib.suppress(OSError):
            (self.root / where).mkdir(parents=True)

    @rule(where=directory)
    def remove_tree(self, where: str) -> None:
        if where:
            shutil.rmtree(self.root / where, ignore_errors=True)

    @rule(source=directory, onto=directory)
    def move(self, source: str, onto: str) -> None:
        with contextlib.suppress(OSError):
            if source:
                (self.root / source).rename(self.root / onto)

    @rule(source=directory, a=file, onto=directory, b=file)
    def move_file(self, source: str, a: str, onto: str, b: str) -> None:
        with contextlib.suppress(OSError):
            (self.root / source / a).rename(self.root / onto / b)

    @rule(source=directory, a=file, onto=directory, b=file)
    def hard_link(self, source: str, a: str, onto: str, b: str) -> None:
        """A name that is not kept gives no hint of the file (docs/noticing.md): then something else leads to it."""
        with contextlib.suppress(OSError):
            (self.root / onto / b).hardlink_to(self.root / source / a)
            if (os.fsencode(self.root / onto / b), False) not in self.engine.walk(os.fsencode(self.root)):
                os.utime(self.root / source / a)

    @rule(where=directory, to=st.sampled_from(("a", "b", "nowhere", "../out")), name=st.sampled_from(("a", "x", "f.json")))
    def link(self, where: str, to: str, name: str) -> None:
        with contextlib.suppress(OSError):
            (self.root / where / name).symlink_to(to)

    @rule(where=directory)
    def move_out(self, where: str) -> None:
        with contextlib.suppress(OSError):
            if where:
                (self.root / where).rename(self.base / "out" / "kept")

    @rule(where=directory)
    def move_in(self, where: str) -> None:
        with contextlib.suppress(OSError):
            (self.base / "out" / "kept").rename(self.root / where)

    @rule()
    def write_outside(self) -> None:
        with contextlib.suppress(OSError):
            (self.base / "out" / "kept" / "f.json").write_text("outside")

    @rule()
    def root_away_and_back(self) -> None:
        self.root.rename(self.base / "away")
        self.engine.turn(600)
        (self.base / "away" / "g.json").write_text("changed while it was away")
        (self.base / "away").rename(self.root)

    # -- the engine

    @rule(which=st.integers(0, 2), ms=st.sampled_from((0, 5, 60, 600)))
    def step(self, which: int, ms: int) -> None:
        self.engine.now += ms * 1_000_000
        shard = self.engine.shards.get(f"s{which}")
        if shard is not None:
            shard.step()

    @rule()
    def all_step(self) -> None:
        """Everybody looks, and what was sent stays on the line."""
        for which in range(3):
            self.step(which, 600)

    @rule(which=st.integers(0, 2), many=st.integers(1, 5))
    def deliver_badly(self, which: int, many: int) -> None:
        for _ in range(many):
            self.engine.deliver(f"s{which}", self.random)

    @rule(answer=st.booleans())
    def commit(self, answer: bool) -> None:
        self.engine.commit(answer=answer)

    @rule(which=st.integers(0, 2))
    def kill_shard(self, which: int) -> None:
        if f"s{which}" in self.engine.shards:
            self.engine.kill(f"s{which}")

    @rule()
    def start_shards(self) -> None:
        for name in self.engine.plan.shards():
            if name not in self.engine.shards:
                self.engine.start(name)

    @rule(commit=st.booleans())
    def kill_aggregator(self, commit: bool) -> None:
        self.engine.restart_aggregator(commit=commit)

    @rule()
    def lose_index(self) -> None:
        self.engine.restart_aggregator(commit=True, lose_index=True)

    @rule()
    def backup(self) -> None:
        self.engine.backup()

    @rule(restore=st.booleans(), lose_index=st.booleans(), lose_plan=st.booleans())
    def neglect_state(self, restore: bool, lose_index: bool, lose_plan: bool) -> None:
        """Between two lives of the service: its index is lost or older, its plan begins anew."""
        self.engine.restart_service(restore=restore, lose_index=lose_index, lose_plan=lose_plan)

    @rule(which=st.integers(0, 2))
    def overflow(self, which: int) -> None:
        shard = self.engine.shards.get(f"s{which}")
        if shard is not None:
            shard.lose_hints()

    @rule(plan=st.sampled_from(PLANS))
    def replan(self, plan: dict[str, str]) -> None:
        self.engine.replan(plan)

    @rule(plan=st.sampled_from((*PLANS, *PASSED_ON)))
    def replan_running(self, plan: dict[str, str]) -> None:
        """What goes on with the next plan is not looked at again; the rest is passed on, or its shard started again."""
        self.engine.replan_running(plan)

    @rule(plan=st.sampled_from((*PLANS, *PASSED_ON)))
    def announce(self, plan: dict[str, str]) -> None:
        """Whoever is given something by the next plan watches it in advance."""
        self.engine.announce(plan)

    @rule()
    def exchange_plan(self) -> None:
        """At any time, whether or not anybody is ready for it."""
        self.engine.exchange_plan()

    @rule(which=st.integers(0, 2))
    def follow_plan(self, which: int) -> None:
        if f"s{which}" in self.engine.shards:
            self.engine.follow_plan(f"s{which}")

    @rule(hours=st.integers(-1, 1))
    def set_clock(self, hours: int) -> None:
        self.engine.wrong_ns = hours * 3600 * 10**9

    @rule()
    def turn(self) -> None:
        self.engine.turn(20)

    @precondition(lambda self: self.engine.is_complete)
    @rule()
    def sync(self) -> None:
        """After a sync, what was done before it is in the index: at once, without any further wait."""
        result = self.engine.sync()
        assert result == {"ok": True}
        assert self.engine.difference() == ({}, {})

    @invariant()
    def counts_agree(self) -> None:
        """The counters that status shows are those of the rows, and of the directories that each shard knows."""
        if hasattr(self, "engine"):
            (live,) = query(self.engine.index, "SELECT count(*), total(directory) FROM every WHERE kind<>0")
            assert (self.engine.index.files, self.engine.index.directories) == (live[0] - live[1], live[1])
            for shard in self.engine.shards.values():
                assert len(shard.territory.directories) == shard.known()

    def teardown(self) -> None:
        self.pages.stop()
        self.indexed.stop()
        if not hasattr(self, "engine"):
            return
        try:
            self.engine.until_quiet()
            assert self.engine.difference() == ({}, {})
        finally:
            self.engine.close()
            for path in (self.base, self.base / "out"):
                os.chmod(path, 0o700)
            shutil.rmtree(self.base)


IGNORED = ("x", "a/x/", "/b", "*.json", "!*.json", "!g.json", "f.json", "/x/y", "**/y", "!y/", "z/", "a/**/f.json", "c.json/")


#: Also a shard that owns what lies below another's part of its own.
IGNORING_PLANS = (*PLANS, {"": "s0", "a": "s1", "a/x": "s0"}, {"": "s0", "a": "s1", "b": "s1", "a/x": "s0", "a/x/y": "s1"})


class IgnoringMachine(EngineMachine):
    """The same in a git repository, while ignore files change with everything else: the index is what git would list."""

    @initialize(plan=st.sampled_from(IGNORING_PLANS), seed=st.integers(0, 2**16), settle_ms=st.sampled_from((0, 50)))
    def begin(self, plan: dict[str, str], seed: int, settle_ms: int) -> None:
        """There is a file of each name in each directory, so that each rule concerns some, and all shards run."""
        self.base = session.place(where=session.memory())
        self.random = random.Random(seed)
        self.root = self.base / "tree"
        make_repository(self.root)
        for where in DIRECTORIES:
            (self.root / where).mkdir(parents=True, exist_ok=True)
        for where, name in itertools.product(DIRECTORIES, FILES):
            if not (self.root / where / name).is_dir():
                (self.root / where / name).write_text("x")
        (self.base / "out").mkdir()
        self.engine = Engine(self.base, plan, settle_ms=settle_ms, ignore_files=True)
        self.engine.walk = self.listed_by_git
        self.start_shards()

    def listed_by_git(self, root: bytes) -> Tree:
        if not os.path.isdir(root):
            return {}
        there = walk(root)
        files = set(self.git("ls-files", "-o", "--exclude-standard", "-z").split(b"\0"))
        directories = sorted(os.path.relpath(path, root) for path, is_directory in there if is_directory)
        ignored = set(self.git("check-ignore", "-z", "--stdin", given=b"\0".join(directories)).split(b"\0"))
        kept = {path: path not in ignored for path in directories}
        return {
            (path, is_directory): found
            for (path, is_directory), found in there.items()
            if (kept[os.path.relpath(path, root)] if is_directory else os.path.relpath(path, root) in files)
        }

    def git(self, *arguments: str, given: bytes = b"") -> bytes:
        return git(self.root, "-c", f"core.excludesFile={self.base / 'excludes'}", *arguments, given=given, codes=(0, 1))

    @rule(plan=st.sampled_from(IGNORING_PLANS))
    def replan(self, plan: dict[str, str]) -> None:
        self.engine.replan(plan)

    @rule(where=directory, lines=st.lists(st.sampled_from(IGNORED), max_size=3))
    def ignore(self, where: str, lines: list[str]) -> None:
        with contextlib.suppress(OSError):
            (self.root / where / ".gitignore").write_text("\n".join(lines))

    @precondition(lambda self: self.engine.is_complete)
    @rule(where=directory, lines=st.lists(st.sampled_from(IGNORED), max_size=3))
    def ignore_and_sync(self, where: str, lines: list[str]) -> None:
        """What is known already is looked at by the new rules; most other ways to come to a sync scan it anew."""
        self.sync()
        self.ignore(where, lines)
        self.sync()

    @rule(where=directory)
    def ignore_nothing(self, where: str) -> None:
        with contextlib.suppress(OSError):
            (self.root / where / ".gitignore").unlink()

    @rule(source=directory, onto=directory)
    def move_rules(self, source: str, onto: str) -> None:
        with contextlib.suppress(OSError):
            (self.root / source / ".gitignore").rename(self.root / onto / ".gitignore")

    @rule(file=st.sampled_from(("tree/.git/info/exclude", "excludes")), lines=st.lists(st.sampled_from(IGNORED), max_size=2))
    def ignore_from_outside(self, file: str, lines: list[str]) -> None:
        (self.base / file).write_text("\n".join(lines))


class FanotifyMachine(EngineMachine):
    """The same with marks on whole filesystems: whatever else happens there is reported too, such as the index being written.
    Directories that are not watched soon count as noise, and have to be reported again when they get into the tree."""

    backend = FanotifyBackend

    @rule(where=directory)
    def make_noise_and_move_in(self, where: str) -> None:
        """Much happens in a directory elsewhere, which then gets into the tree, and is written to there."""
        busy = self.base / "busy"
        busy.mkdir(exist_ok=True)
        for number in range(3):
            (busy / FILES[number]).write_text("x")
        self.all_step()
        with contextlib.suppress(OSError):
            busy.rename(self.root / where)
        self.all_step()
        self.write(where, "f.json", 3)


TestFanotify = pytest.mark.root(FanotifyMachine.TestCase)
TestFanotify.settings = settings(max_examples=int(os.environ.get("ENGINE_EXAMPLES", "40")), stateful_step_count=40)

class BesideMachine(EngineMachine):
    """The same with watches for some directories, and a mark for the others."""

    backend = BesideBackend
    watches_max = 2

    @rule(name=file, size=st.integers(0, 3))
    def burst(self, name: str, size: int) -> None:
        """In directories of both kinds, which are looked at together then."""
        for where in DIRECTORIES:
            self.make(where)
        self.engine.turn(60)
        for where in DIRECTORIES:
            self.write(where, name, size)
        self.all_step()


TestBeside = pytest.mark.root(BesideMachine.TestCase)
TestBeside.settings = settings(max_examples=int(os.environ.get("ENGINE_EXAMPLES", "20")), stateful_step_count=40)


class FewWatchesMachine(EngineMachine):
    """The same with fewer watches than directories, while watches pass from one directory to another and their number changes;
    and with scans that are held back, or not."""

    @initialize(
        plan=st.sampled_from(PLANS), seed=st.integers(0, 2**16), watches=st.integers(1, 5), files_per_s=st.sampled_from((0, 100))
    )
    def begin(self, plan: dict[str, str], seed: int, watches: int, files_per_s: int) -> None:
        self.base = session.place(where=session.memory())
        self.random = random.Random(seed)
        self.engine = Engine(self.base, plan, settle_ms=0, watches_max=watches, files_per_s=files_per_s)
        self.root = self.base / "tree"
        (self.base / "out").mkdir()

    @rule(which=st.integers(0, 2), steps=st.integers(1, 20))
    def exchange(self, which: int, steps: int) -> None:
        """A directory gets the watch of another one, and the shard may be interrupted in the midst of it."""
        shard = self.engine.shards.get(f"s{which}")
        if shard is None:
            return
        directories = shard.territory.directories
        waiting = [node for node in directories.swept if node.alive]
        watched = [node for node in directories._watched() if node.parent is not None]
        if waiting and watched:
            exchanged = watch_instead(shard.territory, self.random.choice(waiting), self.random.choice(watched))
            shard.watcher.scans._jobs.appendleft(exchanged)
            for _ in range(steps):
                shard.watcher.work()

    @rule(which=st.integers(0, 2), watches=st.integers(1, 12))
    def allow(self, which: int, watches: int) -> None:
        shard = self.engine.shards.get(f"s{which}")
        if shard is not None:
            shard.backend.watches_max = watches

    @rule(ms=st.sampled_from((300, 1100, 2500)))
    def poll(self, ms: int) -> None:
        self.engine.turn(ms)


TestFewWatches = FewWatchesMachine.TestCase
TestFewWatches.settings = settings(max_examples=int(os.environ.get("ENGINE_EXAMPLES", "30")), stateful_step_count=40)

TestIgnoring = IgnoringMachine.TestCase
TestIgnoring.settings = settings(max_examples=int(os.environ.get("ENGINE_EXAMPLES", "60")), stateful_step_count=40)

TestEngine = EngineMachine.TestCase
TestEngine.settings = settings(max_examples=int(os.environ.get("ENGINE_EXAMPLES", "150")), stateful_step_count=40)
