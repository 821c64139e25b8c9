"""Roots are added to a running service and removed from it, and it remembers them."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_process import GUARD_S, run
from running import Consumer, settings_for, walk
from waiting import eventually

from shardwatch import ExtractClient
from shardwatch.shard.contract.state.layout import Layout
from shardwatch.shard.contract.state.settings import read_settings


@pytest.fixture
def trees(tmp_path: Path) -> Path:
    for name in ("a", "b", "c"):
        (tmp_path / name / "sub").mkdir(parents=True)
        for n in range(5):
            (tmp_path / name / "sub" / f"{n}.json").write_text(str(n))
    (tmp_path / "single.json").write_text("1")
    return tmp_path


@pytest.fixture
def state(state_dir: Path, no_leaks: None) -> Iterator[Path]:
    yield state_dir / "s"
    run("down", "--state-dir", state_dir / "s", check=False)


def test_roots_are_added_and_removed(trees: Path, state: Path) -> None:
    """In one service, in whose state directory all stays as it is; they count again after a restart with the same PATHs."""

    def root(*arguments: str | Path | bytes, code: int = 0) -> str:
        done = run("root", *arguments, "--state-dir", state, check=False, cwd=trees)
        assert done.returncode == code, done.stderr
        return done.stdout + done.stderr

    def mirrors(*names: str) -> None:
        wanted = {path: stat for name in names for path, stat in walk(trees / name, settings_for(include=("*",))).items()}

        def equal() -> bool:
            assert consumer.error is None
            assert {path: stat for path, stat in consumer.mirror.items() if not path.endswith(b"single.json")} == wanted
            return True

        eventually(equal, GUARD_S)

    up = ("up", "--detach", "--state-dir", state, trees / "a")
    run(*up)
    consumer = Consumer(state, "mirror")
    try:
        mirrors("a")
        identity = (state / "index.db").stat().st_ino
        assert root("list") == f"{trees}/a\n"
        assert root("add", "b", "--dry-run").startswith(f"root {trees}/b is new: it is scanned (by a new plan): only what is new")
        assert root("list") == f"{trees}/a\n"
        assert "does not exist" in root("add", "nowhere", code=2)
        root("add", "b", trees / "c", "single.json")
        mirrors("a", "b", "c")
        assert os.fsencode(trees / "single.json") in consumer.mirror
        listed = json.loads(root("list", "--json"))["roots"]
        assert [(Path(one["path"]).name, one["kind"]) for one in listed] == [
            ("a", "directory"), ("b", "directory"), ("c", "directory"), ("single.json", "file")
        ]  # fmt: skip
        (trees / "link").symlink_to("c")
        assert "is removed" in root("remove", "link")
        (trees / "b/sub/late.json").write_text("late")
        mirrors("a", "b")
        assert consumer.fresh == 0 and (state / "index.db").stat().st_ino == identity

        # The same PATHs: what was added and removed counts again. Others decide anew.
        root("remove", "a", "single.json")
        run("down", "--state-dir", state)
        again = run(*up).stderr
        assert f"root {trees}/b was added by `shardwatch root add`: it is watched too" in again
        assert f"root {trees}/a was removed by `shardwatch root remove`: it is not watched" in again
        mirrors("b")
        run("down", "--state-dir", state)
        assert "was added" not in run(*up, trees / "c").stderr
        mirrors("a", "c")
        assert len(read_settings(Layout(state).settings).roots) == 2
    finally:
        consumer.close()


def test_shards_go_on_while_roots_come_and_go(trees: Path, state: Path) -> None:
    """Of several shards, one looks at a root that is new, and nobody at anything else. The processes stay, and so do their
    epochs."""
    for name in ("left", "right"):
        for n in range(4):
            (trees / "a" / name / f"d{n}").mkdir(parents=True)
            (trees / "a" / name / f"d{n}" / "f.json").write_text(str(n))
    run("up", "--detach", "--shards", "2", "--state-dir", state, trees / "a")
    consumer = Consumer(state, "mirror")
    try:
        with ExtractClient(state) as client:

            def shards() -> dict[str, tuple[int, int, int]]:
                return {row["id"]: (row["pid"], row["epoch"], row["looks"]) for row in client.status()["shards"]}

            client.sync(GUARD_S)
            before = shards()
            assert len(before) == 2
            run("root", "add", trees / "b", "--state-dir", state)
            (trees / "b/sub/new.json").write_text("new")
            (trees / "a/left/d0/f.json").write_text("other")
            client.sync(GUARD_S)

            def looks() -> int:
                return sum(row[2] for row in shards().values()) - sum(row[2] for row in before.values())

            eventually(lambda: looks() >= 7, GUARD_S, what="five files, a new one, and one that was written, are looked at")
            assert looks() <= 14, "each twice at most"
            assert {name: row[:2] for name, row in shards().items()} == {name: row[:2] for name, row in before.items()}
            run("root", "remove", trees / "a", "--state-dir", state, check=False)
            run("root", "add", trees / "a", "--state-dir", state, check=False)

        def equal() -> bool:
            assert consumer.error is None
            settings = settings_for(include=("*",))
            assert consumer.mirror == {**walk(trees / "a", settings), **walk(trees / "b", settings)}
            return True

        eventually(equal, GUARD_S)
    finally:
        consumer.close()
