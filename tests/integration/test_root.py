"""Roots are added to a running service and removed from it, and it remembers them."""

from __future__ import annotations

import itertools
import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_process import GUARD_S, run
from running import Consumer, settings_for, walk
from waiting import eventually

from shardwatch import ExtractClient
from shardwatch.shard.contract.state.layout import Layout
from shardwatch.shard.contract.state.planfile import part_change, read_plan
from shardwatch.shard.contract.state.settings import read_settings
from shardwatch.supervisor.service.service import programs


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


class Writer:
    """Writes files again and again in a tree, and makes and removes others, until it is stopped."""

    def __init__(self, tree: Path) -> None:
        self._files = sorted(tree.rglob("*.json"))
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        for n in itertools.count():
            path = self._files[n % len(self._files)]
            path.write_text("x" * (n % 50))
            path.with_name(f"passing-{n % 5}.json").write_text(str(n))
            path.with_name(f"passing-{(n + 2) % 5}.json").unlink(missing_ok=True)
            if self._stop.wait(0.02):
                return

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()


@pytest.mark.parametrize("follow", [False, True], ids=["ignore_files-and-hold_for_vcs", "follow_symlinks"])
def test_who_is_not_concerned_goes_on_while_roots_come_and_go(trees: Path, state: Path, follow: bool) -> None:
    """While files change, roots and single files are added and removed. The aggregator goes on, and so does each of several
    shards: the same process and epoch, no rescan. One that follows links is started again if its own part changes."""
    for name in ("left", "right"):
        for n in range(4):
            (trees / "a" / name / f"d{n}").mkdir(parents=True)
            for k in range(20):
                (trees / "a" / name / f"d{n}" / f"{k}.json").write_text(str(k))
    options = () if follow else ("--gitignore", "--hold-for-vcs")
    environ = {"SHARDWATCH_FOLLOW_SYMLINKS": "true"} if follow else {}
    run("up", "--detach", "--shards", "2", *options, "--state-dir", state, trees / "a", environ=environ)
    layout = Layout(state)
    consumer = Consumer(state, "mirror")
    try:
        with ExtractClient(state) as client:
            client.sync(GUARD_S)

            def shards() -> dict[str, tuple[int, int, int]]:
                return {row["id"]: (row["pid"], row["epoch"], row["rescans"]) for row in client.status()["shards"]}

            def aggregator() -> int:
                return next(int(row["pid"]) for row in programs(layout) if row["name"] == "aggregator")

            def concerned() -> set[str]:
                """The shards of whose part the two plans say something else."""
                after = read_plan(layout.plan)
                assert before is not None and after is not None
                return {shard for shard in ("s0", "s1") if part_change(shard, before, after)}

            def same() -> bool:
                """The processes that had to go on did."""
                there = shards()
                stay = [shard for shard in known if not (follow and shard in concerned())]
                assert {shard: there[shard] for shard in stay} == {shard: known[shard] for shard in stay}
                assert stay and aggregator() == pid
                return True

            known, pid = shards(), aggregator()
            assert len(known) == 2
            writer = Writer(trees / "a")
            try:
                small = ("add single.json", "remove single.json")
                for step in small if follow else ("add b", *small, "add c", "remove b"):
                    verb, name = step.split()
                    before = read_plan(layout.plan)
                    run("root", verb, trees / name, "--state-dir", state)
                    client.sync(GUARD_S)
                    assert same()
                    known = shards()
            finally:
                writer.stop()

        def equal() -> bool:
            assert consumer.error is None and consumer.fresh == 0
            settings = settings_for(include=("*",))
            there = walk(trees / "a", settings) | ({} if follow else walk(trees / "c", settings))
            assert consumer.mirror == there
            return True

        eventually(equal, GUARD_S)
    finally:
        consumer.close()
