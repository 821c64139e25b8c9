"""What another user has put somewhere makes nobody else do anything. Needs root, who acts as two users known by number only."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from users import BOB, MALLORY, commons, give, home, python_as, run_as

__all__ = ["commons"]

#: Every command that looks for a configuration, with what else it needs to get that far.
COMMANDS = [
    ("down",), ("status",), ("status", "--json"), ("sync", "--timeout", "1"), ("pull", "--group", "g", "--wait", "0"),
    ("groups", "list"), ("audit",), ("release",), ("hold", "--for", "1"), ("doctor",), ("config",),
    ("up", "--detach"), ("plan",),
]  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("victim", [0, BOB], ids=["root", "bob"])
def test_a_configuration_of_another_user_is_not_used(commons: Path, victim: int, command: tuple[str, ...]) -> None:
    """Mallory's file above the working directory: every command says that it is not used, whose it is, and how to use it."""
    trap = home(commons, MALLORY)
    give(MALLORY, trap / "shardwatch.toml", 'roots = ["."]\nstate_dir = "planted"\nshards = 63\n')
    give(MALLORY, trap / "a" / "b", mode=0o777)
    own = home(commons, victim)
    done = run_as(victim, *command, cwd=trap / "a" / "b", HOME=str(own))
    assert f"warning: {trap}/shardwatch.toml is not used: its directory {trap} belongs to user {MALLORY}" in done.stderr
    assert "name it with -c" in done.stderr
    assert not (trap / "planted").exists() and str(trap / "planted") not in done.stdout + done.stderr.replace("toml", "")
    assert "63" not in done.stdout
    assert done.returncode in (0, 1, 2, 3)


def test_a_file_in_a_shared_directory_counts_for_its_owner_only(commons: Path) -> None:
    """/tmp is everybody's: what Mallory puts there is for Mallory, what root puts there is for all."""
    shared = give(0, commons / "shared", mode=0o1777)
    below = give(0, shared / "below", mode=0o1777)
    file = give(MALLORY, shared / "shardwatch.toml", "shards = 7\n")

    def shards(uid: int) -> int:
        done = run_as(uid, "config", "--json", cwd=below, HOME=str(commons))
        found = json.loads(done.stdout)["options"]["shards"]["value"]
        assert ("is not used" in done.stderr) is (found == 0), done.stderr
        return int(found)

    assert [shards(uid) for uid in (MALLORY, BOB, 0)] == [7, 0, 0]
    os.chown(file, 0, 0)
    assert [shards(uid) for uid in (MALLORY, BOB, 0)] == [7, 7, 7]


def test_the_search_goes_on_above_what_does_not_count(commons: Path) -> None:
    """Root's own file above Mallory's directory is the nearest that counts."""
    give(0, commons / "shardwatch.toml", "shards = 5\n")
    trap = home(commons, MALLORY)
    give(MALLORY, trap / "shardwatch.toml", "shards = 7\n")
    done = run_as(0, "config", "--json", cwd=trap, HOME=str(commons))
    found = json.loads(done.stdout)
    assert found["config_file"] == str(commons / "shardwatch.toml") and found["options"]["shards"]["value"] == 5
    assert f"{trap}/shardwatch.toml is not used" in done.stderr


def test_a_file_that_is_named_is_used(commons: Path) -> None:
    """-c and SHARDWATCH_CONFIG are the caller's own word, whoever owns the file."""
    trap = home(commons, MALLORY)
    file = give(MALLORY, trap / "shardwatch.toml", "shards = 7\n")
    for arguments, environ in ((("-c", str(file)), {}), ((), {"SHARDWATCH_CONFIG": str(file)})):
        done = run_as(BOB, "config", "--json", *arguments, cwd=trap, HOME=str(commons), **environ)
        assert json.loads(done.stdout)["options"]["shards"]["value"] == 7 and done.stderr == ""


@pytest.mark.parametrize("variable", ["HOME", "XDG_STATE_HOME"])
@pytest.mark.parametrize("command", [("up", "--detach", "."), ("status",), ("down",), ("pull", "--group", "g")], ids=" ".join)
def test_a_kept_environment_leads_nobody_into_anothers_home(commons: Path, variable: str, command: tuple[str, ...]) -> None:
    """`sudo -E`: root would make directories there that belong to root, or act on a service of that user."""
    there = home(commons, BOB)
    tree = give(0, commons / "tree")
    environ = {"HOME": str(commons), variable: str(there)}
    done = run_as(0, *command, cwd=tree, **environ)
    assert done.returncode == 2
    assert f"{variable}={there} belongs to user {BOB}, not to you (give --state-dir DIR; after sudo: `sudo -H`)" in done.stderr
    assert list(there.iterdir()) == []


def test_a_user_without_a_home_is_told(commons: Path) -> None:
    """A number that /etc/passwd does not know, and no HOME: wrong input, no defect of ours."""
    done = run_as(BOB, "status", cwd=commons, HOME="")
    assert done.returncode == 2
    assert f"user {BOB} has no home directory (set HOME, or give --state-dir DIR)" in done.stderr


@pytest.mark.parametrize("command", ["status", "config"])
def test_a_working_directory_that_cant_be_searched(commons: Path, command: str) -> None:
    """Looking for a file that need not be there fails for nobody."""
    closed = give(0, commons / "closed" / "in")
    (commons / "closed").chmod(0o700)
    modules = [f"shardwatch.supervisor.commands.{command}", "shardwatch.supervisor.cli", "shardwatch.supervisor.config"]
    modules += ["shardwatch.supervisor.service", "shardwatch.supervisor.commands.asking", "shardwatch.supervisor.commands.line"]
    code = f"os.environ['HOME'] = '/'\nsys.exit(shardwatch.supervisor.cli.main([{command!r}]))"
    done = python_as(BOB, code, cwd=closed, modules=modules)
    assert done.returncode == {"status": 3, "config": 0}[command], done.stderr
    assert "Permission" not in done.stderr
