"""When watches run out nothing goes unwatched in silence: the rest is swept, said so, and every change still arrives."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cli_process import Command, command_of, run
from four_places import four_places
from guard import borrowed
from waiting import eventually
from watch_limit import in_a_namespace, limit

LIMIT = Path("/proc/sys/fs/inotify/max_user_watches")


@pytest.fixture
def few_watches() -> Iterator[int]:
    """max_user_watches lowered to 500, and restored whatever happens."""
    with borrowed(LIMIT, "500"):
        yield 500


@pytest.fixture
def wide(tmp_path: Path) -> Path:
    """5,000 directories with a file each."""
    root = tmp_path / "root"
    for n in range(5_000):
        directory = root / f"a{n // 500}" / f"b{n // 50 % 10}" / f"c{n % 50}"
        directory.mkdir(parents=True)
        (directory / "unit.ast.json").write_text("{}")
    return root


@pytest.mark.alone
@pytest.mark.root
def test_fanotify_takes_the_rest(tmp_path: Path, state_dir: Path, no_leaks: None) -> None:
    """400 watches for 1,000 directories: doctor and plan say beforehand, and status afterwards, that root's fanotify watches what
    is left over; changes in a hundred of them arrive, and nothing is polled."""
    leaves = [tmp_path / "root" / f"a{n // 100}" / f"b{n % 100}" for n in range(1_000)]
    for leaf in leaves:
        leaf.mkdir(parents=True)
    (tmp_path / "root" / "a0" / "unit.ast.json").write_text("{}")
    with borrowed(LIMIT, "400"):
        doctor = json.loads(run("doctor", "--json", tmp_path / "root", "--state-dir", state_dir).stdout)
        assert (doctor["ok"], doctor["limits"]["rest_by"]) == (True, "fanotify")
        assert "fanotify watches the directories beyond" in run("doctor", tmp_path / "root", "--state-dir", state_dir).stdout
        assert "will be watched by fanotify" in run("plan", tmp_path / "root").stdout
        with Command("watch", tmp_path / "root", "--json", "--state-dir", state_dir) as watch:
            ready = watch.until(lambda line: line["type"] == "ready")[-1]
            assert ready["directories"] == 1_011
            assert ready["backend"] in ("inotify+fanotify", "fanotify")  # the user may have other programs that watch
            status = json.loads(run("status", "--json", "--state-dir", state_dir).stdout)
            (entry,) = status["engine"]["degraded"]
            assert (entry["state"], entry["directories"] > 500) == ("fanotify", True)
            assert "watches" in entry["reason"] and "fs.inotify.max_user_watches=" in entry["remedy"]
            assert [shard["polled"] for shard in status["engine"]["shards"]] == [0] * len(status["engine"]["shards"])
            assert "watched by fanotify" in run("status", "--state-dir", state_dir).stdout
            missing = {str(leaf / "new.ast.json") for leaf in random.Random(15).sample(leaves, 100)}
            for path in missing:
                Path(path).write_text("new")
            while missing:
                line = watch.json(60)
                assert line["type"] != "status" or line.get("level") == "note", line
                missing.discard(line.get("path"))


@pytest.mark.alone
@pytest.mark.root
@pytest.mark.needs("chromium")
def test_few_watches(wide: Path, few_watches: int, state_dir: Path, no_leaks: None) -> None:
    """500 watches for 5,000 directories: 300 files written in random ones all arrive, a line told why and what to do, and so do
    all four places.
    """
    with Command("watch", str(wide), "--json", "--backend", "inotify", "--state-dir", state_dir) as watch:
        lines = watch.until(lambda line: line["type"] == "ready")
        assert lines[-1]["directories"] == 5_111
        chosen = random.Random(500).sample(sorted(p for p in wide.rglob("c*")), 300)
        for directory in chosen:
            (directory / "new.ast.json").write_text("new")
        arrived: set[str] = set()

        def all_arrived() -> bool:
            line = watch.json(60)
            lines.append(line)
            if line["type"] == "event":
                arrived.add(line["path"])
            return len(arrived) == 300

        eventually(all_arrived, 120, every_s=0.0)
        assert arrived == {str(directory / "new.ast.json") for directory in chosen}
        told = [line for line in lines if line["type"] == "status"]
        assert any("fs.inotify.max_user_watches=" in line["remedy"] for line in told)
        assert any(any(character.isdigit() for character in line["message"]) for line in told)
        with four_places(state_dir) as places:
            places.show(polled=("directories polled", "fs.inotify.max_user_watches="))


def engine_of(state_dir: Path) -> dict[str, Any]:
    """What `status --json` says of the engine."""
    found: dict[str, Any] = json.loads(run("status", "--json", "--state-dir", state_dir, check=False).stdout)["engine"]
    return found


def arrive(watch: Command, paths: set[str]) -> None:
    """Waits until each of these has an event."""
    missing = set(paths)
    while missing:
        missing.discard(watch.json(60).get("path", ""))


@pytest.mark.root
@pytest.mark.needs("unshare", "nsenter")
def test_few_watches_in_a_user_namespace(tmp_path: Path, state_dir: Path) -> None:
    """70 watches for 611 directories: every change arrives, and status says what is polled and within which time. The limit is
    raised: all of it is watched. It is lowered again: what comes is polled, and nothing is lost."""
    root, state = tmp_path / "root", state_dir / "s"
    directories = [root / f"a{n // 50}" / f"b{n % 50}" for n in range(600)]
    for directory in directories:
        directory.mkdir(parents=True)
    command = command_of("watch", root, "--json", "--backend", "inotify", "--state-dir", state)
    with Command(command=in_a_namespace(70, command)) as watch:
        watch.until(lambda line: line["type"] == "ready")
        chosen = random.Random(70).sample(directories, 200)
        for directory in chosen:
            (directory / "new.ast.json").write_text("{}")
        arrive(watch, {str(directory / "new.ast.json") for directory in chosen})
        few = engine_of(state)
        polling = few["polling"]
        (shard,) = few["shards"]
        assert sum(tier["directories"] for tier in polling["tiers"]) == shard["polled"] == polling["for_want_of_watches"]
        assert shard["watches"] + shard["polled"] == few["directories"] and 0 < shard["watches"] <= 70
        assert all(0 <= tier["bound_s"] <= polling["poll_ms_max"] / 1000 for tier in polling["tiers"])
        told = run("status", "--state-dir", state, check=False)
        assert told.returncode == 1 and "\npolling: " in told.stdout
        doctor = run("doctor", root, "--state-dir", state, check=False)
        assert doctor.returncode == 1 and "polling: " in doctor.stdout and " directories polled, 0 unreadable" in doctor.stdout

        limit(watch, 5_000)
        eventually(lambda: engine_of(state)["polling"] is None, 60)
        enough = engine_of(state)
        assert enough["degraded"] == [] and enough["shards"][0]["watches"] == enough["directories"]

        limit(watch, 20)
        late = {str(root / "late" / name / "f.ast.json") for name in "abc"} | {str(directories[0] / "late.ast.json")}
        for path in late:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            Path(path).write_text("{}")
        arrive(watch, late)
        assert engine_of(state)["shards"][0]["watches"] == enough["directories"]
