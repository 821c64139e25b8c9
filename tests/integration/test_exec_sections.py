"""`[exec.NAME]` in a configuration: commands that supervisord runs beside the other programs of a service."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cli_process import environment, put, run
from session import deliver
from waiting import eventually

pytestmark = pytest.mark.usefixtures("no_leaks")

CONFIG = """
roots = ["watched"]

[exec.copy]
command = ["sh", "-c", "echo $SHARDWATCH_GROUP $SHARDWATCH_KINDS $1 $PWD >> {out}", "sh", "{{}}"]
initial = true
jobs = 2

[exec.missing]
command = ["no-such-program", "{{}}"]
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A configuration with two sections, and a tree with one file."""
    (tmp_path / "watched").mkdir()
    put(tmp_path / "watched/a.json", "1")
    (tmp_path / "shardwatch.toml").write_text(CONFIG.format(out=tmp_path / "out"))
    return tmp_path


@pytest.fixture
def service(place: Path, state_dir: Path) -> Iterator[str]:
    """What `up` said."""
    said = run("up", "--detach", "--state-dir", state_dir, cwd=place).stderr
    try:
        yield said
    finally:
        run("down", "--state-dir", state_dir, check=False)


def status(state_dir: Path) -> dict[str, Any]:
    return dict(json.loads(run("status", "--json", "--state-dir", state_dir, check=False).stdout))


def program(state_dir: Path, name: str) -> dict[str, Any]:
    (found,) = [row for row in status(state_dir)["processes"] if row["name"] == name]
    return dict(found)


def written(place: Path) -> set[str]:
    out = place / "out"
    return set(out.read_text().splitlines()) if out.exists() else set()


def test_a_command_runs_with_the_service(place: Path, state_dir: Path, service: str) -> None:
    """In the directory of the file, for the group of its name; it is started again when it was killed, and what cannot be run is
    said and keeps nothing else from running."""
    tree = place / "watched"
    assert "[exec.missing]: there is no command no-such-program" in service
    line = f"copy created {tree}/{{}}.json {place}"
    eventually(lambda: line.format("a") in written(place))
    before = eventually(lambda: program(state_dir, "exec:copy")["pid"])
    control = [sys.executable, "-P", "-m", "supervisor.supervisorctl", "-c", str(state_dir / "supervisord.conf")]
    told = subprocess.run([*control, "status", "exec:copy"], capture_output=True, text=True, check=False, env=environment())
    assert told.stdout.startswith("exec:copy"), told
    deliver(before, signal.SIGKILL)
    put(tree / "b.json", "1")
    eventually(lambda: line.format("b") in written(place))
    assert program(state_dir, "exec:copy")["pid"] != before
    found = eventually(lambda: [one for one in status(state_dir)["findings"] if "exec:missing" in one["message"]])
    assert "exec-missing.log" in found[0]["remedy"]
    assert "there is no command no-such-program" in (state_dir / "logs/exec-missing.log").read_text()
    listed = json.loads(run("config", "--json", cwd=place).stdout)["exec"]
    assert listed["missing"] == ["--group=missing", "--", "no-such-program", "{}"]
    assert "[exec.missing] shardwatch exec --group=missing -- no-such-program" in run("config", cwd=place).stdout


def test_a_command_that_hangs_is_replaced(place: Path, state_dir: Path, service: str) -> None:
    """SIGSTOP for good: after some seconds without a sign of life it is killed and started again, and `status` counts it."""
    eventually(lambda: program(state_dir, "exec:copy")["heard"])
    before = program(state_dir, "exec:copy")["pid"]
    deliver(before, signal.SIGSTOP)
    eventually(lambda: program(state_dir, "exec:copy")["pid"] not in (before, 0, None))
    put(place / "watched/b.json", "1")
    eventually(lambda: any("b.json" in line for line in written(place)))
    assert program(state_dir, "exec:copy")["hung"] >= 1
    assert f"exec:copy (pid {before}) was silent" in (state_dir / "logs/supervisord.log").read_text()


def test_what_the_configuration_does_not_have_any_more_is_gone(place: Path, state_dir: Path, service: str) -> None:
    """As other settings, with the next start; the group stays where it is."""
    eventually(lambda: written(place))
    run("down", "--state-dir", state_dir)
    put(place / "watched/b.json", "1")
    (place / "shardwatch.toml").write_text('roots = ["watched"]\n')
    run("up", "--detach", "--state-dir", state_dir, cwd=place)
    assert not [row for row in status(state_dir)["processes"] if row["name"].startswith("exec")]
    run("down", "--state-dir", state_dir)
    (place / "shardwatch.toml").write_text(CONFIG.format(out=place / "out"))
    run("up", "--detach", "--state-dir", state_dir, cwd=place)
    eventually(lambda: any("b.json" in line for line in written(place)))


def test_down_gives_runs_their_grace_period(place: Path, state_dir: Path) -> None:
    """They may end in order. One that does not is killed, and comes again with the next start."""
    out = place / "out"
    put(place / "watched/b.json", "1")
    script = f"""
echo begun $1 >> {out}
case $1 in */a.json) trap 'echo ended $1 >> {out}; exit 0' TERM;; *) trap '' TERM;; esac
while :; do sleep 0.05; done"""
    section = f'initial = true\njobs = 2\ncommand = ["sh", "-c", {json.dumps(script)}, "sh", "{{}}"]\n'
    (place / "shardwatch.toml").write_text(f'roots = ["watched"]\nlease_ms = 5000\n[exec.slow]\n{section}')
    a, b = (f"{place}/watched/{name}.json" for name in "ab")
    try:
        run("up", "--detach", "--state-dir", state_dir, cwd=place)
        eventually(lambda: written(place) == {f"begun {a}", f"begun {b}"})
        run("down", "--state-dir", state_dir)
        assert f"ended {a}" in written(place)
        out.unlink()
        run("up", "--detach", "--state-dir", state_dir, cwd=place)
        eventually(lambda: f"begun {b}" in written(place))
    finally:
        run("down", "--state-dir", state_dir, check=False)


@pytest.mark.parametrize(
    ("section", "complaint"),
    [
        ("[exec.x]\njobs = 2", "[exec.x]: command is no list of texts"),
        ('[exec.x]\ncommand = ["true"]\njobs = 0', "[exec.x]: --jobs 0 is out of range"),
        ('[exec.x]\ncommand = ["true"]\ncolour = true', "[exec.x]: unknown option 'colour'"),
        ('[exec.x]\ncommand = ["true"]\ninput = "file"', "[exec.x]: argument --input: invalid choice"),
        ('[exec."a b"]\ncommand = ["true"]', "has no valid name"),
        ("exec = 3", "exec is no table of sections"),
    ],
    ids=lambda value: value.rpartition("\n")[2] if isinstance(value, str) else "",
)
def test_sections_that_are_wrong(place: Path, state_dir: Path, section: str, complaint: str) -> None:
    """One line that names the section, exit code 2, and nothing is started."""
    (place / "shardwatch.toml").write_text(f'roots = ["watched"]\n{section}\n')
    done = run("up", "--detach", "--state-dir", state_dir, cwd=place, check=False)
    assert (done.returncode, complaint in done.stderr) == (2, True), done.stderr
