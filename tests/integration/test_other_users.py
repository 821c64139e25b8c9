"""What another user has put somewhere makes nobody else do anything. Needs root, who acts as two users known by number only."""

from __future__ import annotations

import functools
import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from running import stats_below
from users import BOB, MALLORY, command_of, common_place, commons, environment_of, give, home, python_as, run_as
from waiting import eventually

__all__ = ["commons"]

pytestmark = [pytest.mark.xdist_group("other_users"), pytest.mark.root, pytest.mark.needs("setpriv")]

#: Every command that looks for a configuration, with what else it needs to get that far.
COMMANDS = [
    ("down",), ("status",), ("status", "--json"), ("sync", "--timeout", "1"), ("pull", "--group", "g", "--wait", "0"),
    ("groups", "list"), ("audit",), ("release",), ("hold", "--for", "1"), ("doctor",), ("config",),
    ("up", "--detach"), ("plan",),
]  # fmt: skip


@pytest.mark.parametrize(
    ("victim", "command"),
    [(0, command) for command in COMMANDS] + [(BOB, command) for command in COMMANDS[:2]],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else str(value),
)
def test_a_configuration_of_another_user_is_not_used(commons: Path, victim: int, command: tuple[str, ...]) -> None:
    """Mallory's file above the working directory: every command says that it is not used, whose it is, and how to use it."""
    trap = home(commons, MALLORY)
    give(MALLORY, trap / "shardwatch.toml", 'roots = ["."]\nstate_dir = "planted"\nexclude = ["word-of-mallory"]\n')
    give(MALLORY, trap / "a" / "b", mode=0o777)
    own = home(commons, victim)
    done = run_as(victim, *command, cwd=trap / "a" / "b", HOME=str(own))
    assert f"warning: {trap}/shardwatch.toml is not used: its directory {trap} belongs to user {MALLORY}" in done.stderr
    assert "name it with -c" in done.stderr
    assert not (trap / "planted").exists() and str(trap / "planted") not in done.stdout + done.stderr.replace("toml", "")
    assert "word-of-mallory" not in done.stdout
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


def test_a_file_that_cant_be_read_is_said_not_to_be_used(commons: Path) -> None:
    """Root's, mode 0600, above a directory in which Bob works: he is told that it is there."""
    give(0, commons / "shardwatch.toml", "shards = 5\n", mode=0o600)
    done = run_as(BOB, "config", "--json", cwd=home(commons, BOB))
    assert json.loads(done.stdout)["config_file"] is None
    assert f"{commons}/shardwatch.toml is not used: it can't be read: Permission denied" in done.stderr


def test_a_file_that_is_named_is_used(commons: Path) -> None:
    """-c and SHARDWATCH_CONFIG are the caller's own word, whoever owns the file."""
    trap = home(commons, MALLORY)
    file = give(MALLORY, trap / "shardwatch.toml", "shards = 7\n")
    named = functools.partial(run_as, BOB, "config", "--json", cwd=trap, HOME=str(commons))
    for done in (named("-c", file), named(SHARDWATCH_CONFIG=str(file))):
        assert json.loads(done.stdout)["options"]["shards"]["value"] == 7 and done.stderr == ""


@pytest.mark.parametrize("variable", ["HOME", "XDG_STATE_HOME"])
@pytest.mark.parametrize("command", [("up", "--detach", "."), ("status",), ("down",), ("pull", "--group", "g")], ids=" ".join)
def test_a_kept_environment_leads_nobody_into_anothers_home(commons: Path, variable: str, command: tuple[str, ...]) -> None:
    """`sudo -E`: root would make directories there that belong to root, or act on a service of that user."""
    there = home(commons, BOB)
    tree = give(0, commons / "tree")
    environ = {"HOME": str(commons), variable: str(there)}
    done = run_as(0, *command, cwd=tree, umask=-1, **environ)
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
    done = run_as(BOB, command, cwd=closed, HOME="/")
    assert done.returncode == {"status": 3, "config": 0}[command], done.stderr
    assert "Permission" not in done.stderr


# -- a service that runs


@pytest.fixture(scope="module")
def bobs() -> Iterator[Path]:
    """The state directory of a service that BOB has started with a umask of 000, and that watches a tree of his."""
    with common_place() as commons:
        own = home(commons, BOB)
        tree = give(BOB, own / "tree")
        give(BOB, tree / "a.json", "{}")
        place = own / "s"
        done = run_as(BOB, "up", "--detach", "--state-dir", place, tree, cwd=own, umask=0)
        assert done.returncode == 0, done.stderr
        yield place
        assert run_as(BOB, "down", "--state-dir", place, cwd=own).returncode == 0


def test_nobody_else_can_read_write_or_reach_anything_of_it(bobs: Path, commons: Path) -> None:
    """The directory is closed, and so is each thing in it, should it ever be opened by its owner; nothing lies elsewhere."""
    pulled = run_as(BOB, "pull", "--group", "g", "--from", "start", "--state-dir", bobs, cwd=commons)
    assert "a.json" in pulled.stdout
    found = stats_below(bobs)
    assert {path.name for path in found} >= {"index.db", "groups.db", "settings.json", "service.lock", "extract.sock"}
    for path, state in found.items():
        assert (state.st_uid, stat.S_IMODE(state.st_mode) & 0o077) == (BOB, 0) or path.suffix in (".gitignore",), path
    assert not [path for path, state in stats_below(Path("/dev/shm")).items() if state.st_uid == BOB]
    for path in (bobs, bobs / "run", bobs / "logs"):
        path.chmod(0o755)  # what its owner should not do: sockets, logs and databases are closed all the same
    code = """
for path in sys.argv[1:]:
    if path.endswith(".sock"):
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
            with socket.socket(socket.AF_UNIX, kind) as it:
                try:
                    it.connect(path)
                except PermissionError:
                    continue
                except OSError:
                    pass
                print("connected to", path)
    else:
        for flags in (os.O_RDONLY, os.O_WRONLY):
            try:
                os.open(path, flags)
            except PermissionError:
                continue
            print("opened", path)
"""
    shown = [*(bobs / "run").glob("*.sock"), *(bobs / "logs").glob("*"), bobs / "index.db", bobs / "groups.db"]
    assert len(shown) >= 10
    done = python_as(MALLORY, code, *shown, cwd=commons)
    for path in (bobs, bobs / "run", bobs / "logs"):
        path.chmod(0o700)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


@pytest.mark.parametrize("command", [("status",), ("pull", "--group", "g"), ("sync",), ("down",), ("audit",)], ids=" ".join)
def test_another_users_service_is_said_to_be_anothers(bobs: Path, commons: Path, command: tuple[str, ...]) -> None:
    """Not "no service runs": it is there, and whose it is."""
    done = run_as(MALLORY, *command, "--state-dir", bobs, cwd=home(commons, MALLORY))
    assert done.returncode == 2, done.stderr
    assert f"user {BOB}" in done.stderr and "no service runs" not in done.stderr
    assert run_as(BOB, "status", "--state-dir", bobs, cwd=commons).returncode == 0


def test_root_may_ask_about_the_service_of_another_user(bobs: Path, commons: Path) -> None:
    """Its state and health, and its metrics on a socket of root's: as its own user is told, and nothing there becomes root's."""
    own, place = give(0, commons / "own"), ("--state-dir", bobs)
    for command in (("status",), ("pull", "--group", "g", "--wait", "0"), ("doctor",)):
        done = run_as(0, *command, *place, cwd=own)
        assert (done.returncode, done.stderr) == (0, ""), command

    def limits(uid: int) -> Any:
        return json.loads(run_as(uid, "doctor", "--json", *place, cwd=own).stdout)["limits"]

    # Those of Bob, whose watches they are. Another test may have a process of his for a moment.
    eventually(lambda: (told := limits(0)) == limits(BOB) and told["watches_used"] > 0, what="the same limits")
    refused = run_as(0, "web", *place, cwd=own)
    assert refused.returncode == 2
    assert f"belongs to user {BOB}" in refused.stderr and "(name a socket with --socket, or give --port)" in refused.stderr
    assert {state.st_uid for state in stats_below(bobs).values()} == {BOB}


@pytest.fixture
def daemon(commons: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process of root's that has nothing to do with us, and keeps its pid file locked, as daemons do."""
    code = """
import fcntl, os, sys, time
file = open(sys.argv[1], "w")
fcntl.flock(file, fcntl.LOCK_EX)
print(os.getpid(), 1, file=file, flush=True)
print("locked", flush=True)
time.sleep(600)
"""
    command: list[str | Path] = [sys.executable, "-c", code, commons / "daemon.pid"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline() == b"locked\n"
        try:
            yield process
        finally:
            process.kill()


#: What Mallory puts in the place of the lock of a service: (name, how it is made of a path and the daemon's pid file).
PLANTED: dict[str, Callable[[Path, Path], object]] = {
    "a link to a daemon's pid file": lambda path, pid_file: path.symlink_to(pid_file),
    "another name of it": lambda path, pid_file: path.hardlink_to(pid_file),
    "a FIFO": lambda path, pid_file: os.mkfifo(path),
    "a device": lambda path, pid_file: path.symlink_to("/dev/zero"),
    "its content": lambda path, pid_file: path.write_bytes(pid_file.read_bytes()),
}


@pytest.mark.parametrize("command", [("down",), ("status",), ("up", "--detach", ".")], ids=" ".join)
@pytest.mark.parametrize("planted", PLANTED)
@pytest.mark.parametrize("owner", [MALLORY, 0], ids=["mallorys", "roots_that_was_open"])
def test_a_planted_lock_makes_root_signal_nobody(
    commons: Path, daemon: subprocess.Popen[bytes], command: tuple[str, ...], planted: str, owner: int
) -> None:
    """Named by --state-dir, a directory of Mallory's, or one of root's that was once open to all, is refused or is no service;
    nothing is waited for, and the daemon lives."""
    place = give(owner, commons / "planted")
    for name in ("locks", "run", "logs"):
        give(owner, place / name, mode=0o777)
    lock = place / "locks" / "service.lock"
    PLANTED[planted](lock, commons / "daemon.pid")
    os.chown(lock, owner, owner, follow_symlinks=False)
    tree = give(0, commons / "tree")
    done = run_as(0, *command, "--state-dir", place, cwd=tree, HOME=str(commons))
    assert daemon.poll() is None
    assert done.returncode in (2, 3, 4), done.stderr
    assert (commons / "daemon.pid").read_text().split()[0] == str(daemon.pid)


def test_links_in_a_directory_that_was_open_are_not_written_through(commons: Path) -> None:
    """Root's state directory was 0777 for a while: what Mallory left there makes root change nothing elsewhere."""
    victim = give(0, commons / "victim", "precious", mode=0o644)
    elsewhere = give(0, commons / "elsewhere", mode=0o755)
    tree = give(0, commons / "tree")
    place = give(0, commons / "s", mode=0o777)
    for name in ("settings.json", "plan.json", "index.db", "groups.db", "supervisord.conf"):
        (place / name).symlink_to(victim)
    for name in ("logs", "run", "locks"):
        (place / name).symlink_to(elsewhere)
    done = run_as(0, "up", "--detach", "--state-dir", place, tree, cwd=commons)
    assert done.returncode == 2, done.stderr
    assert victim.read_text() == "precious" and stat.S_IMODE(victim.stat().st_mode) == 0o644
    assert list(elsewhere.iterdir()) == [] and stat.S_IMODE(elsewhere.stat().st_mode) == 0o755


def is_ready(lines: Iterable[bytes]) -> bool:
    """Reads what a watch says up to its ready line; status lines may stand before it. False where it ends without."""
    return any(json.loads(line)["type"] == "ready" for line in lines)


def test_a_watch_keeps_its_state_to_itself(commons: Path) -> None:
    """Its temporary directory is closed, whatever the umask is, and gone when it ends."""
    own = home(commons, BOB)
    tree = give(BOB, own / "tree")
    (tree / "f.ast.json").write_text("{}")
    temporary = give(0, commons / "tmp", mode=0o1777)
    environ = environment_of(HOME=str(own), TMPDIR=str(temporary))
    command = command_of(BOB, "watch", "--json", tree)
    with subprocess.Popen(command, cwd=own, env=environ, umask=0, stdout=subprocess.PIPE) as watch:
        assert watch.stdout is not None and is_ready(watch.stdout)
        (place,) = temporary.iterdir()
        state = place.lstat()
        assert (state.st_uid, stat.S_IMODE(state.st_mode)) == (BOB, 0o700)
        watch.terminate()
        watch.stdout.read()
    assert list(temporary.iterdir()) == []


def test_a_watch_keeps_no_state_where_another_user_could_replace_it(commons: Path) -> None:
    """A TMPDIR of Mallory's, kept by `sudo`: root's temporary directory, with its sockets, is made elsewhere."""
    trap = home(commons, MALLORY, mode=0o777)
    tree = give(0, commons / "tree")
    (tree / "f.ast.json").write_text("{}")
    own = give(0, commons / "own")
    environ = environment_of(TMPDIR=str(trap), XDG_RUNTIME_DIR=str(own))
    with subprocess.Popen(command_of(0, "watch", "--json", tree), cwd="/", env=environ, stdout=subprocess.PIPE) as watch:
        assert watch.stdout is not None and is_ready(watch.stdout)
        assert list(trap.iterdir()) == [] and len(list(own.iterdir())) == 1
        watch.terminate()
        watch.stdout.read()
    assert list(own.iterdir()) == []
