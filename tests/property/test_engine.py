"""After any schedule of changes, kills, losses and reorderings the index equals the tree. Real files, real inotify."""

from __future__ import annotations

import contextlib
import os
import random
import shutil

import session
from engine import Engine
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from index_rows import query

#: Small on purpose: collisions are what is looked for.
DIRECTORIES = ("", "a", "b", "a/x", "a/x/y", "b/x", "b/x/y", "a/x/y/z", "c.json", "c.json/x")
FILES = ("f.json", "g.json", "x", "c.json", "n.tmp")
PLANS: tuple[dict[str, str], ...] = (
    {"": "s0"},
    {"": "s0", "a": "s1"},
    {"": "s0", "a/x/y": "s1", "b": "s2"},
    {"": "s1", "a/x": "s0", "b/x/y": "s0"},
)

directory = st.sampled_from(DIRECTORIES)
file = st.sampled_from(FILES)


class EngineMachine(RuleBasedStateMachine):
    """Random operations on a tree while parts of the engine run, stall, die, and hear each other badly."""

    @initialize(plan=st.sampled_from(PLANS), seed=st.integers(0, 2**16), settle_ms=st.sampled_from((0, 50)))
    def begin(self, plan: dict[str, str], seed: int, settle_ms: int) -> None:
        self.base = session.place(where=session.memory())
        self.random = random.Random(seed)
        self.engine = Engine(self.base, plan, settle_ms=settle_ms)
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
        with contextlib.suppress(OSError):
            (self.root / onto / b).hardlink_to(self.root / source / a)

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

    @rule(hours=st.integers(-1, 1))
    def set_clock(self, hours: int) -> None:
        self.engine.wrong_ns = hours * 3600 * 10**9

    @rule()
    def turn(self) -> None:
        self.engine.turn(20)

    @precondition(lambda self: len(self.engine.shards) == len(self.engine.plan.shards()))
    @rule()
    def sync(self) -> None:
        """After a sync, what was done before it is in the index: at once, without any further wait."""
        result = self.engine.sync()
        assert result == {"ok": True}
        assert self.engine.difference() == ({}, {})

    @invariant()
    def counts_agree(self) -> None:
        """The counters that status shows are those of the rows."""
        if hasattr(self, "engine"):
            (live,) = query(self.engine.index, "SELECT count(*), total(directory) FROM entry WHERE kind<>0")
            assert (self.engine.index.files, self.engine.index.directories) == (live[0] - live[1], live[1])

    def teardown(self) -> None:
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


TestEngine = EngineMachine.TestCase
TestEngine.settings = settings(max_examples=int(os.environ.get("ENGINE_EXAMPLES", "150")), stateful_step_count=40)
