"""Everything that tells of health says the same: `status`, `doctor`, `pull`, `sync` and `up`, with their exit codes."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_process import Command, run
from running import Running, running, settings_for
from session import deliver
from waiting import eventually

from shardwatch.supervisor.service.checkup import examine

#: What is said of a program that was not heard.
SILENT = ("has sent no sign of life", "does not answer")

pytestmark = [pytest.mark.usefixtures("no_leaks"), pytest.mark.xdist_group("health")]


@pytest.fixture
def service(tree: Path, state_dir: Path) -> Iterator[Running]:
    """A service that watches `tree`."""
    with running(state_dir / "s", settings_for(tree)) as it:
        yield it


def ask(place: Path, *words: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """One command to its end; again while it tells that a program is silent, as any may be on a machine that stalls."""

    def answered() -> subprocess.CompletedProcess[str] | None:
        done = run(*words, "--state-dir", place, cwd=cwd, check=False)
        return None if any(word in done.stdout + done.stderr for word in SILENT) else done

    return eventually(answered, what=f"an answer to {words}")


def control(service: Running, *words: str) -> None:
    """supervisorctl, by the path that is documented."""
    conf = service.layout.supervisord_conf
    command: list[str | Path] = [sys.executable, "-m", "supervisor.supervisorctl", "-c", conf, *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert "ERROR" not in done.stdout, done.stdout


def status(service: Running) -> tuple[int, str, list[str]]:
    """Exit code, verdict and messages of `status --json`."""
    done = ask(service.layout.state_dir, "status", "--json")
    found = json.loads(done.stdout)
    return done.returncode, found["health"], [finding["message"] for finding in found["findings"]]


def doctor(service: Running) -> tuple[int, str, list[str]]:
    """The same of `doctor --json`, without a path."""
    done = ask(service.layout.state_dir, "doctor", "--json", cwd=Path("/"))
    found = json.loads(done.stdout)
    assert found["ok"] is (done.returncode == 0)
    return done.returncode, found["health"], [finding["message"] for finding in found["findings"]]


def first_line(service: Running) -> str:
    """What a person reads first."""
    return ask(service.layout.state_dir, "status").stdout.splitlines()[0]


def test_a_service_that_is_well(service: Running) -> None:
    """Healthy, as soon as it is ready and all programs were heard: also while supervisord still calls them STARTING."""
    eventually(lambda: status(service) != (0, "starting", []), what="the first pulse of each program")
    assert status(service) == (0, "healthy", [])
    assert doctor(service) == (0, "healthy", [])
    text = ask(service.layout.state_dir, "status").stdout
    assert text.startswith("healthy: 6 files") and "; all 3 programs run\n" in text and "STARTING" not in text
    pulled = ask(service.layout.state_dir, "pull", "--group", "g", "--wait", "0")
    assert (pulled.returncode, pulled.stdout, pulled.stderr) == (0, "", "")


@pytest.mark.parametrize(
    ("name", "program", "verdict", "code"),
    [("s0", "shards:s0", "degraded", 1), ("coordinator", "coordinator", "degraded", 1), ("aggregator", "aggregator", "down", 3)],
)
def test_a_program_that_was_stopped(service: Running, tree: Path, name: str, program: str, verdict: str, code: int) -> None:
    """supervisorctl stop: every command says which, what follows and how to start it; started again, all is well again."""
    place = service.layout.state_dir
    control(service, "stop", program)
    found_code, found_verdict, (message, *more) = status(service)
    assert (found_code, found_verdict, more) == (code, verdict, [])
    assert message.startswith(f"{program} is stopped: ")
    assert doctor(service) == (1, verdict, [message])
    line = first_line(service)
    assert line.startswith(f"{verdict}: ") and line.endswith(f"2 of 3 programs run ({program} is stopped)")
    pulled = ask(place, "pull", "--group", "g", "--wait", "0")
    if name == "aggregator":
        assert pulled.returncode == 3 and f"error: {message}" in pulled.stderr
    else:
        assert pulled.returncode == 0 and f"warning: {message}" in pulled.stderr
        assert f"supervisorctl -c {place}/supervisord.conf start {program}" in pulled.stderr
    if name == "s0":
        (tree / "new.ast.json").write_text("{}")
        synced = ask(place, "sync", "--timeout", "1")
        assert synced.returncode == 5 and message in synced.stderr
    control(service, "start", program)
    eventually(lambda: status(service) == (0, "healthy", []), what="all is well again")
    run("sync", "--state-dir", place)


def test_the_status_again_and_again(service: Running) -> None:
    """With --watch, until Ctrl-C: what has changed is in a later one, and so is the end of the service."""
    place = service.layout.state_dir

    def until(health: str, words: str) -> None:
        eventually(lambda: (found := json.loads(watch.line()))["health"] == health and words in str(found["findings"]))

    with Command("status", "--watch", "--json", "--state-dir", place) as watch:
        until("healthy", "")
        control(service, "stop", "coordinator")
        until("degraded", "coordinator is stopped")
        service.stop()
        until("down", "there is no service in")
        assert watch.end(signal.SIGINT) == 130
    with Command("status", "--watch", "--state-dir", place) as watch:
        assert watch.end() == 3


def test_a_stopped_shard_after_a_restart_of_the_aggregator(service: Running) -> None:
    """The new aggregator has never heard it: that is no scan that goes on."""
    control(service, "stop", "shards:s0")
    service.kill("aggregator")
    eventually(lambda: status(service)[1] != "down", what="the aggregator is back")
    code, verdict, (message,) = status(service)
    assert (code, verdict) == (1, "degraded") and "shards:s0 is stopped" in message
    assert first_line(service).startswith("degraded: still scanning")


def test_a_shard_that_hangs(service: Running) -> None:
    """Silent, or killed and replaced by then: degraded or starting, and never healthy until it is well."""
    stopped = int(service.programs()["s0"]["pid"])
    deliver(stopped, signal.SIGSTOP)

    def noticed() -> bool:
        """A look at the verdict may come too late: then the shard was replaced."""
        return examine(service.layout).health.state != "healthy" or service.programs()["s0"]["hung"] == 1

    def killed() -> bool:
        row = service.programs()["s0"]
        return (row["hung"], row["pid"] != stopped) == (1, True)

    eventually(noticed, what="somebody notices")
    eventually(killed, what="it is killed")  # on a slow machine something else may have been noticed first
    eventually(lambda: status(service) == (0, "healthy", []), what="it was replaced")


def test_up_that_returns_is_followed_by_a_healthy_status(tree: Path, state_dir: Path) -> None:
    """`up --detach` waits for what `status` judges by; what needs attention all the same it says before `ready`."""
    up = run("up", "--detach", "--backend", "polling", "--state-dir", state_dir / "s", tree)
    try:
        text = ask(state_dir / "s", "status").stdout
    finally:
        run("down", "--state-dir", state_dir / "s")
    assert "STARTING" not in text and "healthy" in text
    said = up.stderr.splitlines()
    assert "polling was asked for" in said[0] and said[1].startswith("shardwatch: ready: ")


def test_down_is_said_by_all(state_dir: Path) -> None:
    """Where nothing runs there is nothing to judge; `doctor` is for what will run."""
    for command in (["status"], ["pull", "--group", "g"], ["sync"], ["down"]):
        assert run(*command, "--state-dir", state_dir, check=False).returncode == 3
    assert json.loads(run("doctor", "--json", "--state-dir", state_dir, cwd="/", check=False).stdout)["health"] is None
