"""Subtrees pass from one running shard to another while everything changes, and while whoever takes part in it is killed."""

from __future__ import annotations

import contextlib
import os
import random
import subprocess
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

from cli_process import GUARD_S, command_of, environment
from msgspec.structs import replace
from running import Consumer, Running, running, settings_for
from waiting import eventually

from shardwatch.shard.contract.state.planfile import Anchor, Owners, Plan, read_plan
from shardwatch.shard.contract.state.settings import write_settings

SETTLE_MS = 100
#: Pause between two saves, seconds.
PAUSE_S = 0.03


class Timed(Consumer):
    """Notes when each path was told of."""

    def __init__(self, state_dir: Path) -> None:
        self.came: dict[bytes, list[float]] = {}
        super().__init__(state_dir, "timed")

    def _apply(self, event: Any) -> None:
        self.came.setdefault(os.fsencode(event.path), []).append(time.monotonic())
        super()._apply(event)


class Saver:
    """Saves new files in some directories in turn, each once, and in one step, until it is closed."""

    def __init__(self, *sets: list[Path]) -> None:
        #: For each set of directories: (path, when it was saved).
        self.saved: list[list[tuple[bytes, float]]] = [[] for _ in sets]
        self._sets = sets
        self._end = threading.Event()
        self._dice = random.Random(7)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        n = 0
        while not self._end.wait(PAUSE_S):
            n += 1
            for directories, saved in zip(self._sets, self.saved, strict=True):
                path = self._dice.choice(directories) / f"saved{n}.ast.json"
                temporary = path.with_suffix(".tmp")
                temporary.write_text(str(n))
                temporary.rename(path)
                saved.append((os.fsencode(path), time.monotonic()))

    def close(self) -> None:
        self._end.set()
        self._thread.join()


def grow(root: Path, directories: int) -> None:
    for n in range(directories):
        directory = root / f"d{n % 20}" / f"e{n}"
        directory.mkdir(parents=True)
        for name in "ab":
            (directory / f"{name}.ast.json").write_text(name)


def plan_of(service: Running) -> Plan:
    plan = read_plan(service.layout.plan)
    assert plan is not None
    return plan


def owner(owners: Owners, directory: bytes) -> Anchor:
    anchor = owners.of(directory)
    assert anchor is not None
    return anchor


class Move:
    """A service in which subtrees of `root` are to pass from one shard to the other."""

    def __init__(self, state_dir: Path, root: Path, stack: contextlib.ExitStack) -> None:
        grow(root / "left", 30)
        grow(root / "right", 30)
        self.root = Path(os.path.realpath(root))
        self.settings = settings_for(root, include=("*.ast.json",), shards=2, settle_ms=SETTLE_MS, rebalance_s=0.0)
        self.service = stack.enter_context(running(state_dir, self.settings))
        self.consumer = Timed(self.service.layout.state_dir)
        stack.callback(self.consumer.close)
        self._arguments = ("rebalance", "--state-dir", self.service.layout.state_dir)
        self.service.assert_mirrored(self.consumer, root)
        grow(root / "left" / "grown", 300)
        self.service.assert_mirrored(self.consumer, root)
        self.first = plan_of(self.service)
        self._stack = stack

    def hold_scans_to(self, files_per_s: int) -> None:
        """Every shard takes that over at its next beat, or its start."""
        write_settings(self.service.layout.settings, replace(self.settings, rescan_files_per_s=files_per_s))

    def begin(self) -> subprocess.Popen[str]:
        """Returns when the receiver looks at what it is to be given. From then on, files are saved in directories that pass to
        it, and in others for which nothing changes."""
        command = command_of(*self._arguments)
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment())
        after = eventually(lambda: plan_of(self.service).next, GUARD_S)
        old, new = Owners(self.first.anchors), Owners(after.anchors)
        directories = [os.fsencode(directory) for directory in self.root.rglob("*") if directory.is_dir()]
        passing = [d for d in directories if owner(old, d).shard != owner(new, d).shard]
        ((self.giver, self.receiver),) = {(owner(old, d).shard, owner(new, d).shard) for d in passing}
        staying = [d for d in directories if owner(old, d).path == owner(new, d).path and d not in passing]
        self.saver = Saver(*([Path(os.fsdecode(d)) for d in some] for some in (passing, staying)))
        self._stack.callback(self.saver.close)
        eventually(lambda: self.taking_on() == "looking", GUARD_S)
        return process

    def taking_on(self) -> str:
        """How far the receiver is with what it watches in advance."""
        rows = {row["id"]: row for row in self.service.client.status()["shards"]}
        return str((rows[self.receiver].get("taking_on") or {}).get("state", ""))

    @property
    def exchanged(self) -> bool:
        return plan_of(self.service).generation != self.first.generation

    def ended(self, command: subprocess.Popen[str]) -> None:
        """The command has succeeded, and what was saved then is told, too."""
        out, errors = command.communicate(timeout=GUARD_S)
        assert (command.returncode, " gives to " in out) == (0, True), errors
        count = len(self.saver.saved[0])
        eventually(lambda: len(self.saver.saved[0]) > count + 10)
        self.saver.close()
        self.service.assert_mirrored(self.consumer, self.root)
        self.service.assert_drained(self.consumer)
        assert self.consumer.fresh == 0


def lives_of(service: Running) -> dict[str, tuple[int, int]]:
    return {row["id"]: (row["pid"], row["epoch"]) for row in service.client.status()["shards"]}


def test_changes_come_as_quickly_while_their_subtree_passes_on(state_dir: Path, tmp_path: Path, no_leaks: None) -> None:
    """As those beside it: the scans of who is given it take seconds, before the plan is exchanged and after that."""
    with contextlib.ExitStack() as stack:
        move = Move(state_dir, tmp_path / "root", stack)
        lives = lives_of(move.service)
        move.hold_scans_to(500)
        command = move.begin()
        saved = len(move.saver.saved[0])
        eventually(lambda: move.exchanged, GUARD_S)
        assert len(move.saver.saved[0]) > saved + 20, "it has watched in advance for a while"
        move.ended(command)
        assert lives_of(move.service) == lives

        came = move.consumer.came
        moving, staying = ([came[path][0] - at for path, at in saved] for saved in move.saver.saved)
        assert max(moving) < max(staying) + 8 * SETTLE_MS / 1000, (max(moving), max(staying))
        told = Counter(path for kind, path in move.consumer.events if kind == "created")
        assert all(told[path] == 1 for saved in move.saver.saved for path, _ in saved)
        # A scan may come upon a file in the moment in which it is saved: whether it changed after that, only another look tells.
        twice = sum(len(came[path]) > 1 for saved in move.saver.saved for path, _ in saved)
        assert twice <= len(moving) // 20


def test_a_move_in_whose_midst_everybody_is_killed(state_dir: Path, tmp_path: Path, no_leaks: None) -> None:
    """With -9, twice in a row each while the receiver watches in advance, and once more after the exchange. Nothing is missed."""
    with contextlib.ExitStack() as stack:
        move = Move(state_dir, tmp_path / "root", stack)
        move.hold_scans_to(20)
        command = move.begin()
        for name in ("coordinator", "aggregator", move.giver, move.receiver):
            eventually(lambda: plan_of(move.service).next is not None, GUARD_S)
            for _ in range(2):
                move.service.kill(name)
            assert not move.exchanged
        move.hold_scans_to(0)
        eventually(lambda: move.exchanged, GUARD_S)
        for name in (move.receiver, "aggregator", move.giver, "coordinator"):
            move.service.kill(name)
        eventually(lambda: not move.service.layout.reload.exists(), GUARD_S)
        move.hold_scans_to(0)  # until now, the configuration was that of the request
        move.ended(command)
        assert plan_of(move.service).next is None
