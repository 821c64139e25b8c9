"""`hold` and `release` as a build uses them."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest
from cli_process import Command, lines_of, run
from session import deliver
from waiting import eventually

pytestmark = pytest.mark.usefixtures("no_leaks")


@pytest.fixture
def service(service: Path) -> Path:
    """The same, with a group `g` that has nothing pending."""
    run("pull", "--group", "g", "--wait", "0", "--state-dir", service)
    return service


def pull(service: Path, *arguments: str) -> list[dict[str, Any]]:
    """What one pull prints."""
    return lines_of(run("pull", "--json", "--group", "g", "--state-dir", service, *arguments))


def holds(service: Path) -> list[str]:
    """Who holds."""
    found = json.loads(run("groups", "list", "--json", "--state-dir", service).stdout)
    assert found["held"] or not found["holds"]
    return [hold["name"] for hold in found["holds"]]


def test_a_build_is_held_back(tree: Path, service: Path, tmp_path: Path) -> None:
    """While it runs nothing is handed out; then all of it, the end marked; the exit code is the build's."""
    done = tmp_path / "done"
    build = f"touch {tree}/one.json; echo built; until [ -e {done} ]; do sleep 0.05; done; touch {tree}/two.json; exit 7"
    with Command("hold", "--state-dir", service, "--name", "build", "--", "sh", "-c", build) as holder:
        assert holder.line() == b"built"
        run("sync", "--state-dir", service)
        assert pull(service, "--wait", "0") == []
        assert "held back" in run("pull", "--group", "g", "--wait", "0", "--state-dir", service).stderr
        assert holds(service) == ["build"]
        for command in (["status"], ["groups", "list"]):
            assert "batches are held back by build, for " in run(*command, "--state-dir", service, check=False).stdout
        done.touch()
        assert holder.end() == 7
    lines = pull(service, "--wait", "30")
    assert {line["path"] for line in lines[:-1]} == {str(tree / "one.json"), str(tree / "two.json")}
    assert lines[-1] == {"type": "settled"}
    assert holds(service) == []
    (tree / "three.json").touch()
    run("sync", "--state-dir", service)
    assert [line["type"] for line in pull(service)] == ["event"]


def test_a_killed_holder_lets_go(tree: Path, service: Path) -> None:
    """Its lease ends, though the build runs on."""
    with Command("hold", "--state-dir", service, "--", "sh", "-c", "echo $$; exec sleep 1000") as holder:
        build = int(holder.line())
        try:
            assert [name.partition(":")[0] for name in holds(service)] == ["sh"]
            (tree / "one.json").touch()
            run("sync", "--state-dir", service)
            assert pull(service, "--wait", "0") == []
            holder.end(signal.SIGKILL)
            assert [line["type"] for line in pull(service, "--wait", "30")] == ["event", "settled"]
            assert holds(service) == []
        finally:
            deliver(build, signal.SIGKILL)


def test_signals_are_the_builds(service: Path) -> None:
    """SIGTERM is passed on, and its death is told as a shell tells it; nothing is held afterwards."""
    with Command("hold", "--state-dir", service, "--", "sh", "-c", "echo here; exec sleep 1000") as holder:
        assert holder.line() == b"here"
        assert holder.end(signal.SIGTERM) == 128 + signal.SIGTERM
    assert holds(service) == []


def test_a_hold_by_hand(tree: Path, service: Path) -> None:
    """For so many seconds, or until `release`."""
    run("hold", "--for", "60", "--state-dir", service)
    assert holds(service) == ["manual"]
    (tree / "one.json").touch()
    run("sync", "--state-dir", service)
    assert pull(service, "--wait", "0") == []
    assert run("release", "--state-dir", service).stderr == ""
    assert [line["type"] for line in pull(service, "--wait", "30")] == ["event", "settled"]
    assert "there is no hold named manual" in run("release", "--state-dir", service).stderr
    run("hold", "--for", "0.1", "--name", "short", "--state-dir", service)
    eventually(lambda: holds(service) == [])


def test_a_timeout_lets_go_of_a_build_that_runs_on(tree: Path, service: Path) -> None:
    """Batches flow, the build is waited for."""
    with Command("hold", "--timeout", "0.2", "--state-dir", service, "--", "sh", "-c", "echo $$; exec sleep 1000") as holder:
        build = int(holder.line())
        eventually(lambda: holds(service) == [])
        assert holder.process.poll() is None
        deliver(build, signal.SIGTERM)
        assert holder.end() == 128 + signal.SIGTERM


@pytest.mark.parametrize("words", [["--for", "60.1"], ["--for", "600"], ["--timeout", "61", "--", "true"]], ids=" ".join)
def test_a_hold_that_would_end_early_is_refused(service: Path, tmp_path: Path, words: list[str]) -> None:
    """hold_ms_max is a minute: who asks for more is told before anything relies on it, and nothing is held or run."""
    words = [str(tmp_path / "ran") if word == "true" else word for word in words]
    done = run("hold", "--state-dir", service, *words, check=False)
    assert done.returncode == 2
    assert "this service holds for 60 s at one go, and no longer (give at most 60, or raise hold_ms_max" in done.stderr
    assert holds(service) == []


def test_a_build_that_outlasts_the_longest_hold(tree: Path, state_dir: Path) -> None:
    """It is said when batches flow again, and the build goes on to its end."""
    place, done = state_dir / "s", state_dir / "done"
    run("up", "--detach", "--state-dir", place, tree, environ={"SHARDWATCH_HOLD_MS_MAX": "200"})
    build = f"until [ -e {done} ]; do sleep 0.05; done; exit 5"
    try:
        with Command("hold", "--state-dir", place, "--", "sh", "-c", build) as holder:
            holder.complains("has lasted for the service's hold_ms_max: batches flow again, while the command runs on")
            done.touch()
            assert holder.end() == 5
    finally:
        done.touch()
        run("down", "--state-dir", place)


def test_what_can_not_be_held_or_run(service: Path, tmp_path: Path) -> None:
    """Codes of a shell; nothing is held afterwards. Without a service the command is not run."""
    assert run("hold", "--state-dir", service, "--", tmp_path / "nothing", check=False).returncode == 127
    assert run("hold", "--state-dir", service, "--", tmp_path, check=False).returncode == 126
    assert holds(service) == []
    ran = tmp_path / "ran"
    assert run("hold", "--state-dir", tmp_path, "--", "touch", ran, check=False).returncode == 3
    assert not ran.exists()


def test_names_of_holds(service: Path, tmp_path: Path) -> None:
    """What can't be typed back is wrong input; what a command is called never is."""
    assert run("hold", "--for", "5", "--name", " x", "--state-dir", service, check=False).returncode == 2
    odd = tmp_path / "odd\nname \udcff "
    odd.write_text("#!/bin/sh\n")
    odd.chmod(0o700)
    run("hold", "--state-dir", service, "--", odd)
