"""A consumer's mirror stays equal to the trees while the conditions of a service change: its limits, roots, ignore files."""

from __future__ import annotations

import itertools
import json
import os
import random
from pathlib import Path

import pytest
from cli_process import GUARD_S, Command, command_of, run
from ignoring import begin, change, listed
from random_changes import RandomChanges
from running import EQUAL_S, Consumer, Stat, consuming, settings_for, walk
from waiting import eventually
from watch_limit import in_a_namespace, limit

from shardwatch.supervisor.config.profile import EXCLUDE

#: (turns, changes of each tree in a turn), with --long and without.
LONG, SHORT = (40, 100), (6, 15)


def expected(trees: list[Path], repository: Path) -> dict[bytes, Stat]:
    """What a mirror must hold of these; in the repository only what git lists."""
    found: dict[bytes, Stat] = {}
    for tree in trees:
        found |= walk(tree, settings_for(tree, include=("*",), exclude=tuple(EXCLUDE)))
    kept = listed(repository)
    inside = os.fsencode(repository) + b"/"
    return {path: stat for path, stat in found.items() if path in kept or not path.startswith(inside)}


@pytest.mark.root
@pytest.mark.needs("unshare", "nsenter")
def test_the_mirror_holds_while_conditions_change(
    tmp_path: Path, state_dir: Path, request: pytest.FixtureRequest, no_leaks: None
) -> None:
    """The limit of watches falls below what is needed and rises again, a root is added and removed, ignore files say something
    else, and meanwhile everything changes. No sync is asked for: what is polled is noticed in its time."""
    turns, count = LONG if request.config.getoption("--long") else SHORT
    base = Path(os.path.realpath(tmp_path))
    repository, plain, late = base / "repository", base / "plain", base / "late"
    for tree in (repository, plain, late):
        tree.mkdir()
    begin(repository)
    dice = random.Random(4)
    changes = [RandomChanges(number, tree) for number, tree in enumerate((plain, late))]
    trees = [repository, plain]
    command = command_of("up", *trees, "--include", "*", "--gitignore", "--backend", "inotify", "--state-dir", state_dir)

    def assert_equal(consumer: Consumer) -> None:
        def equal() -> bool:
            assert consumer.error is None, consumer.error
            there, held = expected(trees, repository), dict(consumer.mirror)
            wrong = {path: (there.get(path), held.get(path)) for path in {*there, *held} if there.get(path) != held.get(path)}
            assert not wrong, f"(there, mirror): {dict(list(wrong.items())[:5])}"
            return True

        eventually(equal, EQUAL_S, every_s=0.1)

    limits = itertools.cycle((12, 25, 5_000, 3, 5_000))
    with Command(
        command=in_a_namespace(5, command),
        SHARDWATCH_POLL_MS="200", SHARDWATCH_POLL_MS_MAX="2000", SHARDWATCH_POLL_CPU_PERCENT="20",
    ) as up:  # fmt: skip
        eventually(lambda: run("status", "--state-dir", state_dir, check=False).returncode in (0, 1), GUARD_S)
        with consuming(state_dir) as consumer:
            assert_equal(consumer)
            assert json.loads(run("status", "--json", "--state-dir", state_dir, check=False).stdout)["engine"]["polling"]
            for turn in range(turns):
                if turn % 2:
                    limit(up, next(limits))
                for each in changes:
                    each.make(count)
                for _ in range(count):
                    change(repository, dice)
                if turn % 3 == 1:
                    run("root", "remove" if late in trees else "add", late, "--state-dir", state_dir)
                    trees = [repository, plain] if late in trees else [*trees, late]
                assert_equal(consumer)
            limit(up, 5_000)
            eventually(lambda: run("status", "--state-dir", state_dir, check=False).returncode == 0, GUARD_S)
            assert consumer.fresh == 0
        run("down", "--state-dir", state_dir)
        assert up.end() == 0
