"""`up`, `down` and the commands that talk to a running service."""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import signal
import socket
import sqlite3
import struct
import subprocess
from pathlib import Path
from typing import Any

import psutil
import pytest
from cli_process import GUARD_S, Command, lines_of, put, run
from session import deliver
from waiting import eventually

from shardwatch import find
from shardwatch.shard.compiled import choice
from shardwatch.shard.contract.errors import UsageError
from shardwatch.shard.contract.state.layout import Layout

FORMATS = Path(__file__).parents[2] / "docs/formats.md"

pytestmark = pytest.mark.usefixtures("no_leaks")


def pull(service: Path, *arguments: str) -> list[dict[str, Any]]:
    """What one pull prints."""
    return lines_of(run("pull", "--json", "--state-dir", service, *arguments))


def paths(lines: list[dict[str, Any]]) -> set[str]:
    """The paths of events."""
    return {line["path"] for line in lines}


def test_up_sync_pull_status_groups_down(tree: Path, service: Path) -> None:
    """The round trip of a service's life, each command doing what it says."""
    assert pull(service, "--group", "g", "--wait", "0") == []
    (tree / "one.json").write_text("{}")
    run("sync", "--state-dir", service)
    (line,) = pull(service, "--group", "g", "--wait", "0")
    assert (line["event_type"], line["path"]) == ("created", str(tree / "one.json"))
    assert pull(service, "--group", "g", "--wait", "0") == []

    status = json.loads(run("status", "--json", "--state-dir", service).stdout)
    assert status["answering"] and status["engine"]["ready"] and status["engine"]["files"] == 7
    assert {s["native_code"] for s in status["engine"]["shards"]} == {choice.STATE}  # as here: SHARDWATCH_NATIVE reaches them
    assert {p["name"].split(":")[0] for p in status["processes"]} == {"aggregator", "coordinator", "shards"}
    assert [(g["name"], g["backlog"]) for g in status["groups"]] == [("g", 0)]

    def healthy() -> str:
        """What `status` says once no program is merely starting."""
        said = run("status", "--state-dir", service).stdout
        assert "healthy: 7 files" in said, said
        return said

    text = eventually(healthy)
    for word in (str(tree), "aggregator", "shards:", "watching", "inotify"):
        assert word in text

    groups = json.loads(run("groups", "list", "--json", "--state-dir", service).stdout)["groups"]
    assert [g["name"] for g in groups] == ["g"]
    assert "g " in run("groups", "--state-dir", service, "list").stdout
    run("groups", "drop", "g", "--state-dir", service)
    assert "no groups yet" in run("groups", "list", "--state-dir", service).stdout
    assert run("groups", "drop", "g", "--state-dir", service, check=False).returncode == 2

    run("down", "--state-dir", service)
    assert not list((service / "run").glob("*.sock"))
    assert run("status", "--state-dir", service, check=False).returncode == 3
    assert run("down", "--state-dir", service, check=False).returncode == 3


def test_every_field_that_is_printed_is_documented(tree: Path, service: Path) -> None:
    """docs/formats.md names each field of status, groups, plan, doctor and config."""
    documented = set(re.findall(r"[`\"](\w+)[`\"\[]", FORMATS.read_text()))
    pull(service, "--group", "g", "--from", "start", "--no-ack")
    place = ["--state-dir", str(service)]
    for command in (["status", *place], ["groups", "list", *place], ["plan", tree], ["doctor", tree, *place]):
        printed = json.loads(run(*command, "--json", check=False).stdout)
        assert names_in(printed) <= documented, command
    assert set(json.loads(run("config", "--json").stdout)) <= documented


def names_in(value: object) -> set[str]:
    """All field names in a JSON value; not those of `versions`, which are names of packages."""
    if isinstance(value, list):
        return {name for item in value for name in names_in(item)}
    if isinstance(value, dict):
        return {n for key, item in value.items() for n in ({key} if key == "versions" else {key} | names_in(item))}
    return set()


def test_pull_from_start_in_parts(tree: Path, service: Path) -> None:
    """--from start begins with every file; --max stops early and the rest stays; without it all comes."""
    first = pull(service, "--group", "g", "--from", "start", "--max", "2")
    assert len(first) == 2
    rest = pull(service, "--group", "g")
    assert len(rest) == 4
    assert len(paths(first) | paths(rest)) == 6


def test_from_is_ignored_with_a_word_for_a_group_that_exists(service: Path) -> None:
    """The word is on standard error, and the group goes on where it stood."""
    pull(service, "--group", "g", "--wait", "0")
    done = run("pull", "--group", "g", "--from", "start", "--wait", "0", "--state-dir", service)
    assert done.stdout == ""
    assert "--from start is ignored" in done.stderr


def test_no_ack_is_a_peek(service: Path) -> None:
    """What was only looked at comes again."""
    seen = pull(service, "--group", "g", "--from", "start", "--no-ack")
    assert len(seen) == 6
    assert paths(pull(service, "--group", "g", "--no-ack")) == paths(seen)
    assert paths(pull(service, "--group", "g")) == paths(seen)
    assert pull(service, "--group", "g", "--no-ack", "--wait", "0") == []


def test_pull_for_people(tree: Path, service: Path) -> None:
    """A line an event."""
    out = run("pull", "--group", "g", "--from", "start", "--state-dir", service).stdout
    assert len(out.splitlines()) == 6
    assert all(line.startswith("created   /") for line in out.splitlines())


def test_nobody_reads_so_nothing_is_acknowledged(tmp_path: Path, state_dir: Path) -> None:
    """Standard output is closed before the batch is written: exit 0, and the whole batch is pending at once."""
    for i in range(1000):
        (tmp_path / f"{i:04}-{'x' * 100}.json").touch()
    run("up", "--detach", "--state-dir", state_dir, tmp_path)
    try:
        with Command("pull", "--json", "--group", "g", "--from", "start", "--state-dir", state_dir) as puller:
            assert puller.process.stdout is not None
            assert select.select([puller.process.stdout], [], [], GUARD_S)[0]
            puller.process.stdout.close()
            assert puller.end() == 0
        assert len(pull(state_dir, "--group", "g", "--wait", "0")) == 1000
    finally:
        run("down", "--state-dir", state_dir)


def test_follow_goes_on_through_a_restart_of_the_service(tree: Path, service: Path) -> None:
    """down, a change, up: the follower prints what came in between, once, and says that it waited."""
    with Command("pull", "--json", "--group", "g", "--follow", "--state-dir", service) as follower:
        eventually(lambda: "g " in run("groups", "list", "--state-dir", service).stdout, what="the group exists")
        put(tree / "one.json", "{}")
        assert follower.event()["path"] == str(tree / "one.json")
        run("down", "--state-dir", service)
        put(tree / "two.json", "{}")
        run("up", "--detach", "--state-dir", service, tree)
        assert follower.event()["path"] == str(tree / "two.json")
        put(tree / "three.json", "{}")
        assert follower.event()["path"] == str(tree / "three.json")
        assert follower.end(signal.SIGINT) == 130
        errors = follower.errors()
        assert "waiting for it" in errors and "is back" in errors


def test_follow_ends_when_its_reader_does(service: Path) -> None:
    """`shardwatch pull --follow | head`: noticed while idle, exit 0."""
    with Command("pull", "--json", "--group", "g", "--follow", "--state-dir", service) as follower:
        eventually(lambda: "g " in run("groups", "list", "--state-dir", service).stdout, what="the group exists")
        assert follower.process.stdout is not None
        follower.process.stdout.close()
        assert follower.end() == 0


def test_up_in_the_foreground_is_supervisord(tree: Path, state_dir: Path) -> None:
    """The process of `up` becomes supervisord; SIGTERM ends all of it."""
    with Command("up", "--state-dir", state_dir, tree, stdout=subprocess.DEVNULL) as up:
        eventually(
            lambda: run("sync", "--state-dir", state_dir, "--timeout", "10", check=False).returncode == 0, what="it answers"
        )
        assert "shardwatch.supervisor.run" in psutil.Process(up.process.pid).cmdline()
        assert up.end(signal.SIGTERM) == 0
    assert run("status", "--state-dir", state_dir, check=False).returncode == 3


def test_a_service_is_found_by_environment_and_by_file(tree: Path, service: Path, tmp_path: Path) -> None:
    """SHARDWATCH_STATE_DIR, the nearest shardwatch.toml upwards, and -c, in place of --state-dir."""
    config = tmp_path / "shardwatch.toml"
    config.write_text(f'state_dir = "{service}"\n')
    config.chmod(0o600)
    below = tmp_path / "a/b"
    below.mkdir(parents=True)
    run("sync", environ={"SHARDWATCH_STATE_DIR": str(service)}, cwd="/")
    run("sync", cwd=below)
    run("sync", "-c", config, cwd="/")
    found = run("sync", cwd="/", check=False, environ={"XDG_STATE_HOME": str(tmp_path)})
    assert found.returncode == 3
    assert "no service watches anything of /" in found.stderr and "shardwatch up" in found.stderr


def test_each_project_has_a_state_of_its_own(state_dir: Path) -> None:
    """Two in the default place: each command means the one that it is called in, and where there is none it names both."""
    home = {"XDG_STATE_HOME": str(state_dir / "st")}
    one, other = state_dir / "one", state_dir / "other"
    for project in (one, other):
        (project / "src").mkdir(parents=True)
        (project / "src" / f"{project.name}.json").write_text("{}")
    (one / "shardwatch.toml").write_text('roots = ["src"]')
    try:
        assert "`shardwatch down` ends it" in run("up", "--detach", cwd=one, environ=home).stderr
        run("up", "--detach", "src", cwd=other, environ=home)
        for project in (one, other):
            told = run("pull", "--group", "g", "--from", "start", "--json", cwd=project, environ=home)
            assert [line["path"] for line in lines_of(told)] == [str(project / "src" / f"{project.name}.json")]
        unset = {**home, "SHARDWATCH_STATE_DIR": ""}  # which is as if it was not there
        assert str(other / "src") in run("root", "list", cwd=other, environ=unset).stdout
        nowhere = run("status", cwd="/usr", check=False, environ=home)
        assert nowhere.returncode == 3
        assert str(one / "src") in nowhere.stderr and str(other / "src") in nowhere.stderr
        several = run("status", cwd=state_dir, check=False, environ=home)
        assert (several.returncode, "several services" in several.stderr) == (2, True)
        for place, runs in ((other, True), (state_dir, False)):  # of several none is meant: the machine alone is looked at
            looked = json.loads(run("doctor", "--json", cwd=place, check=False, environ=home).stdout)
            assert (looked["state_dir"]["running"], looked["health"] is not None) == (runs, runs)
    finally:
        run("down", cwd=one, check=False, environ=home)
        run("down", cwd=other, check=False, environ=home)
    assert run("down", cwd=other, check=False, environ=home).returncode == 3


def test_up_detach_that_fails_says_why_and_leaves_nothing(tree: Path, state_dir: Path) -> None:
    """A service that can't start: a non-zero exit with the reason, and no process."""
    state = state_dir / "s"
    assert f"`shardwatch down --state-dir {state}` ends it" in run("up", "--detach", "--state-dir", state, tree).stderr
    run("down", "--state-dir", state)
    with contextlib.closing(sqlite3.connect(state / "index.db")) as db, db:
        db.execute("UPDATE state SET schema = 99")
    failed = run("up", "--detach", "--state-dir", state, tree, check=False)
    assert failed.returncode == 6
    assert "has schema 99" in failed.stderr
    (state / "index.db").unlink()
    (state / "index.db").mkdir()
    failed = run("up", "--detach", "--state-dir", state, tree, check=False)
    assert failed.returncode == 2
    assert "index.db is a directory, not a file" in failed.stderr
    assert run("status", "--state-dir", state, check=False).returncode == 3


def test_status_while_the_aggregator_hangs(service: Path) -> None:
    """supervisord still answers: the processes are shown, the exit code says that the service does not answer."""

    def while_it_hangs() -> dict[str, Any]:
        """What `status` prints; it is too late where the aggregator has been replaced before the command came to ask."""
        deliver(int((service / "locks/aggregator.lock").read_text().split()[0]), signal.SIGSTOP)
        done = run("status", "--json", "--state-dir", service, check=False)
        assert done.returncode == 3, done.stdout
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    found = eventually(while_it_hangs)
    assert not found["answering"] and found["engine"] is None and len(found["processes"]) == 3
    eventually(lambda: run("status", "--state-dir", service, check=False).returncode == 0, what="it was replaced")


def test_a_root_in_a_root_is_counted_once(tmp_path: Path, state_dir: Path) -> None:
    """Be it an entry of the other one or, being excluded there, none. Once it is gone, too."""
    tree = tmp_path / "tree"
    for path in ("sub/deep", "node_modules/own/in"):
        (tree / path).mkdir(parents=True)
    place = ("--state-dir", state_dir)
    run("up", "--detach", "--wait-for-roots", tree, tree / "sub", tree / "node_modules/own", *place)

    def directories() -> int:
        return int(json.loads(run("status", "--json", *place, check=False).stdout)["engine"]["directories"])

    try:
        assert directories() == 5, "tree, sub, deep, own and in"
        assert json.loads(run("audit", "--json", *place).stdout)["directories"] == 5
        (tree / "sub/deep").rmdir()
        (tree / "sub").rmdir()
        eventually(lambda: directories() == 3)
    finally:
        run("down", *place)


def test_damaged_files_of_a_service_are_told(tree: Path, service: Path) -> None:
    """They are no defect of the command that reads them: one line says which it is, and what helps; without a plan it does."""
    settings, plan = Layout(service).settings, Layout(service).plan
    kept, planned = settings.read_bytes(), plan.read_bytes()
    settings.write_text("{")
    dry = (["reload", "--dry-run"], ["rebalance", "--dry-run"])
    for command in (["find", "*"], ["audit"], ["root", "list"], ["explain", tree], *dry):
        refused = run(*command, "--state-dir", service, check=False)
        assert refused.returncode == 2, (command, refused.stderr)
        assert " is damaged: " in refused.stderr and "remove what is damaged, then `shardwatch up`" in refused.stderr
    with pytest.raises(UsageError, match="is damaged"):
        list(find(service))
    settings.write_bytes(kept)
    plan.write_text("{")
    assert run("reload", "--dry-run", "--state-dir", service).stdout == "nothing has changed\n"
    plan.write_bytes(planned)
    assert run("find", "--state-dir", service).stdout


def test_sync_that_is_not_in_time(service: Path) -> None:
    """A shard that is stopped can't answer: code 5, and the remedy, which is another once it is known to hang."""
    (lock,) = (service / "locks").glob("shard-*.lock")

    def while_it_is_stopped() -> str:
        """What `sync` says; it is too late where the shard has been replaced before the command came to ask."""
        pid = int(lock.read_text().split()[0])
        deliver(pid, signal.SIGSTOP)
        done = run("sync", "--timeout", "0.5", "--state-dir", service, check=False)
        with contextlib.suppress(ProcessLookupError):  # it was killed for its silence
            deliver(pid, signal.SIGCONT)
        assert done.returncode == 5, done.stderr
        return done.stderr

    said = eventually(while_it_is_stopped)
    assert "not in sync after 0.5 s" in said
    assert "give a longer --timeout" in said or "`shardwatch status` shows more" in said
    run("sync", "--state-dir", service)


def test_a_service_manager_is_told_when_the_service_is_ready(tree: Path, state_dir: Path) -> None:
    """As systemd asks for it with Type=notify: by the process that it has started, and by no other."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.settimeout(GUARD_S)
        manager.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        manager.bind(os.fspath(state_dir.parent / "notify"))
        place = os.fspath(state_dir.parent / "notify")
        with Command("up", "--state-dir", state_dir, tree, NOTIFY_SOCKET=place) as service:
            said: list[bytes] = []
            while b"READY=1" not in said:
                text, control, _, _ = manager.recvmsg(100, socket.CMSG_SPACE(12))
                assert struct.unpack("3i", control[0][2])[0] == service.process.pid
                said.append(text)
            found = json.loads(run("status", "--json", "--state-dir", state_dir, check=False).stdout)
            assert found["engine"]["ready"]
            assert service.end(signal.SIGTERM) == 0
            while said[-1] != b"STOPPING=1":
                said.append(manager.recv(100))
