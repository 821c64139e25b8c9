"""What happens when the code is replaced while the service runs, and one of its programs is started again."""

from __future__ import annotations

import json
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
from cli_process import ROOT, UNMEASURED, put, run
from running import ANSWER_S, GUARD_S, consuming, settings_for, walk
from session import deliver
from waiting import eventually

from shardwatch.aggregator.client.blocking import ExtractClient
from shardwatch.shard.contract.limits import WIRE_VERSION

pytestmark = pytest.mark.usefixtures("no_leaks")


class Code:
    """A copy of the code, which can be replaced by another version."""

    def __init__(self, base: Path) -> None:
        self._base = base
        for house in ("shard", "aggregator", "bridge", "supervisor"):
            shutil.copytree(ROOT / house, base / house, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copytree(ROOT / "src", base / "src", symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))

    def run(self, *arguments: str | Path, check: bool = True) -> str:
        """What a command of this code prints."""
        # The coverage of this run is of the code that is tested, not of copies, which are gone when it is reported.
        return run(*arguments, check=check, environ={**UNMEASURED, "PYTHONPATH": str(self._base / "src")}).stdout

    def replace(self) -> None:
        """The code of the next wire version is installed in its place."""
        limits = self._base / "shard/contract/limits.py"
        old, new = f"WIRE_VERSION: Final = {WIRE_VERSION}\n", f"WIRE_VERSION: Final = {WIRE_VERSION} + 1\n"
        assert old in limits.read_text()
        put(limits, limits.read_text().replace(old, new))


@pytest.mark.parametrize("killed", ["shard", "aggregator"])
def test_code_that_is_replaced_under_a_running_service(killed: str, tmp_path: Path, tree: Path, state_dir: Path) -> None:
    """One program is started again with the new code. The others cannot talk to it, and follow by themselves; nothing is lost."""
    code = Code(tmp_path / "code")
    settings = settings_for(tree)
    code.run("up", "--detach", "--shards", "2", "--state-dir", state_dir, tree)
    try:

        def pids() -> dict[str, int]:
            """Of the aggregator and the shards, by supervisord's names."""
            processes = json.loads(code.run("status", "--json", "--state-dir", state_dir, check=False))["processes"]
            return {p["name"]: p["pid"] for p in processes if p["name"] != "coordinator"}

        with consuming(state_dir, "mirror") as consumer, ExtractClient(state_dir, timeout_s=ANSWER_S) as client:
            before = pids()
            first = next(name for name in sorted(before) if killed in name)
            code.replace()
            deliver(before[first], signal.SIGKILL)
            put(tree / "meanwhile.json", "[1]")

            def all_new() -> bool:
                now = pids()
                return now.keys() == before.keys() and all(now[name] not in (0, before[name]) for name in before)

            eventually(all_new, GUARD_S, what="all programs with the new code")
            client.sync(GUARD_S, patience_s=GUARD_S)
            shards: list[dict[str, Any]] = client.status()["shards"]
            assert {shard["state"] for shard in shards} <= {"watching", "scanning"}
            put(tree / "afterwards.json", "[2]")
            client.sync(GUARD_S, patience_s=GUARD_S)
            eventually(lambda: consumer.error is None and consumer.mirror == walk(tree, settings), GUARD_S)
            assert consumer.fresh == 0
        if killed == "shard":
            log = (state_dir / "logs/aggregator.log").read_text()
            assert f"refused: frame of version {WIRE_VERSION + 1}, this is {WIRE_VERSION} (the code was replaced" in log
        else:  # they hear it before they say anything, or are refused
            for log_file in (state_dir / "logs").glob("shard-*.log"):
                assert "the aggregator began with other code than this shard" in log_file.read_text()
    finally:
        code.run("down", "--state-dir", state_dir, check=False)
