"""`ignore_files` in a real service: a mirror is what git lists, whatever becomes of the ignore files."""

from __future__ import annotations

import json
import os
import random
import shutil
from pathlib import Path

import pytest
from cli_process import run as cli
from ignoring import PLACES, begin, change, listed
from repository import git
from running import EQUAL_S, GUARD_S, Consumer, Running, consuming, running, settings_for
from waiting import eventually

from shardwatch.shard.contract.state.settings import Settings


def settings_of(tree: Path) -> Settings:
    return settings_for(tree, include=("*",), exclude=(), ignore_files=True, shards=2)


def agrees(service: Running, consumer: Consumer, tree: Path) -> None:
    """After a sync, and once everything is applied, the consumer has what git lists."""
    service.client.sync(GUARD_S, patience_s=GUARD_S)

    def equal() -> bool:
        assert consumer.error is None, consumer.error
        there, mirror = listed(tree), set(consumer.mirror)
        assert mirror == there, f"missing {sorted(there - mirror)[:5]}, extra {sorted(mirror - there)[:5]}"
        return True

    eventually(equal, EQUAL_S, every_s=0.05)


def test_the_mirror_is_what_git_lists(tmp_path: Path, state_dir: Path, no_leaks: None) -> None:
    """While ignore files change with everything else, a shard is killed, and the service stops in between; explained and audited
    in the end."""
    tree = Path(os.path.realpath(tmp_path)) / "tree"
    tree.mkdir()
    begin(tree)
    dice = random.Random(15)
    with running(state_dir, settings_of(tree)) as service, consuming(state_dir) as consumer:
        agrees(service, consumer, tree)
        for turn in range(4):
            for _ in range(30):
                change(tree, dice)
            if turn == 1:
                service.kill("s0")
            agrees(service, consumer, tree)
    for place in PLACES:
        (tree / place).unlink(missing_ok=True)
    (tree / ".gitignore").write_text("*.o\n/out/\n")
    (tree / "src").mkdir(exist_ok=True)
    (tree / "src/.gitignore").write_text("# mine\n!b.o\n")
    for name in ("src/b.o", "docs/b.o", "out/a.py"):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text("2")
    with running(state_dir, settings_of(tree)) as service, consuming(state_dir, mirror=consumer.mirror) as consumer:
        agrees(service, consumer, tree)
        assert os.fsencode(tree / "src/b.o") in consumer.mirror
        assert json.loads(cli("audit", "--state-dir", state_dir, "--json").stdout)["differences"] == []
        found = json.loads(cli("explain", tree / "out/a.py", "--state-dir", state_dir, "--json").stdout)
        assert (found["watched"], found["why"]) == (False, "ignored")
        assert found["ignored"] == {
            "at": str(tree / "out"), "file": str(tree / ".gitignore"), "line": 2, "pattern": "/out/",
        }  # fmt: skip
        text = cli("explain", tree / "docs/b.o", "--state-dir", state_dir).stdout
        assert f"Line 1 of {tree}/.gitignore, `*.o`, leaves it out" in text
        assert json.loads(cli("explain", tree / "src/b.o", "--state-dir", state_dir, "--json").stdout)["ignored"] is None


@pytest.mark.needs("node", "npm")
def test_node_modules_cost_nothing(tmp_path: Path, state_dir: Path, node_zeromq: Path, no_leaks: None) -> None:
    """In a repository with what npm has installed, what git lists is watched and nothing else; but for what git tracks although a
    pattern names it, which a line in a .shardwatchignore brings back."""
    tree = Path(os.path.realpath(tmp_path)) / "tree"
    shutil.copytree(node_zeromq, tree / "node_modules", symlinks=True)
    for name in ("package.json", "src/index.js", "src/npm-debug.log", "dist/index.js", "logs/kept.log", "logs/other.log"):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text("{}")
    ignored = "logs\n*.log\nnpm-debug.log*\n\n# what is made\n/dist/*\n!/dist/index.js\n"
    (tree / ".gitignore").write_text(f"{ignored}node_modules/\n")
    git(tree, "init", "-q", "--template=")
    git(tree, "add", "--all")
    git(tree, "add", "--force", "logs/kept.log")
    git(tree, "commit", "-q", "-m", "all")
    installed = {os.fsencode(path) for path in (tree / "node_modules").rglob("*") if not path.is_dir() or path.is_symlink()}
    assert len(installed) > 100

    with running(state_dir, settings_of(tree)) as service, consuming(state_dir) as consumer:

        def mirrors(expected: set[bytes]) -> None:
            service.client.sync(GUARD_S, patience_s=GUARD_S)
            eventually(lambda: consumer.error is not None or set(consumer.mirror) == expected, EQUAL_S, every_s=0.05)
            assert consumer.error is None, consumer.error

        forced = {os.fsencode(tree / "logs/kept.log")}
        assert listed(tree, "-ci") == forced
        mirrors(listed(tree) - forced)
        found = service.client.status()
        assert found["directories"] == 3, "the root, src and dist are watched"
        assert {shard["ignore_files"] for shard in found["shards"]} == {1}, "the .gitignore"
        (tree / ".shardwatchignore").write_text("!/logs/\n!/logs/kept.log\n")
        mirrors(listed(tree))
        (tree / ".gitignore").write_text(ignored)
        mirrors(listed(tree))
        assert installed < set(consumer.mirror)
        (tree / ".gitignore").write_text(f"{ignored}node_modules/\n")
        mirrors(listed(tree))
        assert service.client.status()["directories"] == 4
