"""`drain`, and the commands of shardwatch in supervisorctl, as an operator uses them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from cli_process import GUARD_S, Command, run

pytestmark = pytest.mark.usefixtures("no_leaks")


def ctl(service: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """supervisorctl, from another directory."""
    return subprocess.run(
        [sys.executable, "-P", "-m", "supervisor.supervisorctl", "-c", str(service / "supervisord.conf"), *arguments],
        cwd="/",
        capture_output=True,
        text=True,
        timeout=GUARD_S,
        check=False,
    )


def test_drain_waits_for_every_group(tree: Path, service: Path) -> None:
    """It ends when the last group has acknowledged what was changed before; a group that is behind is named."""
    none = run("drain", "--state-dir", service)
    assert "there are no groups" in none.stderr
    run("groups", "create", "a", "--state-dir", service)
    run("groups", "create", "b", "--state-dir", service)
    run("drain", "--state-dir", service)
    (tree / "one.json").touch()
    run("sync", "--state-dir", service)
    run("pull", "--group", "a", "--state-dir", service)
    late = run("drain", "--timeout", "0.2", "--state-dir", service, check=False)
    assert late.returncode == 5
    assert "group 'b': not drained" in late.stderr
    assert run("drain", "a", "--state-dir", service).returncode == 0
    with Command("drain", "--state-dir", service) as waiting:
        run("pull", "--group", "b", "--state-dir", service)
        assert waiting.end() == 0
    unknown = run("drain", "none", "--state-dir", service, check=False)
    assert unknown.returncode == 2
    assert "there is no group 'none'" in unknown.stderr


def test_the_commands_of_supervisorctl(tree: Path, service: Path) -> None:
    """They are those of the command line, with the same exit codes, for the service of that supervisord."""
    shards = ctl(service, "shards").stdout
    assert f"    {tree}\n" in shards
    assert "watching by inotify" in shards
    assert "0 names to look at" in shards
    assert ctl(service, "groups", "create", "g").returncode == 0
    assert "g " in ctl(service, "groups").stdout
    (tree / "one.json").touch()
    assert ctl(service, "sync").returncode == 0
    assert str(tree) in ctl(service, "root").stdout
    assert ctl(service, "rebalance", "--dry-run").returncode == 0
    assert ctl(service, "hold", "--for", "60").returncode == 0
    assert "held back by manual" in ctl(service, "groups").stdout
    assert ctl(service, "release").returncode == 0
    behind = ctl(service, "drain", "--timeout", "0.2")
    assert behind.returncode == 5
    assert "group 'g'" in behind.stderr
    assert "No closing quotation" in ctl(service, "drain", "'g").stdout
    for command in ("shards", "groups", "sync", "drain", "root", "rebalance", "hold", "release"):
        assert f"{command} " in ctl(service, "help", command).stdout
    run("pull", "--group", "g", "--state-dir", service)
    assert ctl(service, "drain", "g").returncode == 0
