"""The unit that docs/install.md shows: what it says of exit codes is what `up` does, and systemd takes it."""

from __future__ import annotations

import configparser
import json
import re
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
from cli_process import Command, run
from session import deliver
from waiting import eventually

from shardwatch.shard.contract.errors import InUseError, UsageError
from shardwatch.supervisor.service import service

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.usefixtures("no_leaks")


def text_of_unit() -> str:
    found = re.search(r"^```ini\n(\[Unit\].*?)^```", (ROOT / "docs/install.md").read_text(), re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[1]


def test_the_unit_restarts_what_failed_and_nothing_else(tmp_path: Path) -> None:
    """Not what an operator has ended, and not what only an operator can mend; and it waits for an orderly end.

    Where systemd is installed it says too whether it takes the unit.
    """
    unit = configparser.ConfigParser(interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read_string(text_of_unit())
    options = unit["Service"]
    assert options["Restart"] == "on-failure"
    assert {int(code) for code in options["RestartPreventExitStatus"].split()} == {UsageError.exit_code, InUseError.exit_code}
    assert options["KillMode"] == "mixed"
    assert float(options["TimeoutStopSec"]) > service.STOP_S + service.KILL_S
    assert options["StateDirectoryMode"] == "0700"
    if analyze := shutil.which("systemd-analyze"):
        path = tmp_path / "shardwatch.service"
        text = text_of_unit().replace("/opt/shardwatch/bin/shardwatch", "/bin/true")
        path.write_text(text.replace("User=shardwatch", "User=root"))
        done = subprocess.run([analyze, "verify", path], capture_output=True, text=True, timeout=60, check=False)
        assert path.name not in done.stderr, done.stderr


def test_exit_codes_of_up(tree: Path, state_dir: Path, tmp_path: Path) -> None:
    """0 after `down` and after SIGTERM; 2 for a wrong configuration; 4 beside another service; a signal's after a kill."""
    place = state_dir / "s"
    wrong = tmp_path / "wrong.toml"
    wrong.write_text("setle_ms = 3\n")
    wrong.chmod(0o600)
    assert run("up", "-c", wrong, "--state-dir", place, check=False).returncode == 2
    assert run("up", "--state-dir", place, tmp_path / "nowhere", check=False).returncode == 2

    def ready() -> bool:
        done = run("status", "--json", "--state-dir", place, check=False)
        return bool(done.stdout) and json.loads(done.stdout)["health"] == "healthy"

    with Command("up", "--state-dir", place, tree, stdout=subprocess.DEVNULL) as up:
        eventually(ready, 120)
        assert run("up", "--state-dir", place, tree, check=False).returncode == 4
        run("down", "--state-dir", place)
        assert up.end() == 0
    with Command("up", "--state-dir", place, tree, stdout=subprocess.DEVNULL) as up:
        eventually(ready, 120)
        deliver(up.process.pid, signal.SIGKILL)
        assert up.end() == -signal.SIGKILL
    run("down", "--state-dir", place, check=False)
