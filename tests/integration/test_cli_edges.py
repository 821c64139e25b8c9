"""The edges of the command line: streams that are closed or full, odd environments, arguments that are no text."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import session
from cli_process import ROOT, environment
from running import Running, running, settings_for

#: Commands of each kind of output: text, a JSON document, JSON lines, and none.
COMMANDS = {
    "status": [], "groups --json": ["list", "--json"], "sync": [],
    "pull --json": ["--group", "g", "--from", "start", "--json", "--wait", "0"],
}  # fmt: skip


@pytest.fixture(scope="module")
def module_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("edges")


@pytest.fixture(scope="module")
def service(module_dir: Path) -> Iterator[Running]:
    """One service for all tests here; its tree has one file."""
    import shutil

    state_dir = session.place()
    root = module_dir / "ro\u202eot\u200b"
    root.mkdir()
    (root / "a\u061c.json").write_text("{}")
    try:
        with running(state_dir, settings_for(root, shards=1)) as it:
            yield it
    finally:
        shutil.rmtree(state_dir, ignore_errors=True)


def shell(script: str, *arguments: str | bytes, **environ: str) -> subprocess.CompletedProcess[bytes]:
    """`$@` of the script is the command line."""
    command = [sys.executable, "-P", "-m", "shardwatch.supervisor.cli.main", *arguments]
    return subprocess.run(
        ["/bin/sh", "-c", script, "sh", *command], capture_output=True, timeout=60, check=False, env=environment(**environ)
    )


def command_line(service: Running, name: str, group: str) -> list[str]:
    command, *flags = name.split()
    rest = [group if word == "g" else word for word in COMMANDS[name]]
    where = ["--state-dir", str(service.layout.state_dir)]
    return [command, *(flag for flag in flags if flag not in rest), *where, *rest]


def test_a_warning_never_lands_among_the_json(service: Running) -> None:
    """With standard error closed, what is meant for it goes nowhere, not to standard output."""
    where = ["--state-dir", str(service.layout.state_dir)]
    first = shell('exec "$@"', "pull", "--group", "warned", *where)
    assert first.returncode == 0, first.stderr
    done = shell('exec "$@" 2>&-', "pull", "--group", "warned", "--from", "start", "--json", *where)
    assert (done.returncode, done.stdout) == (0, b"")
    said = shell('exec "$@"', "pull", "--group", "warned", "--from", "start", "--json", *where)
    assert b"--from start is ignored" in said.stderr and said.stdout == b""


def test_a_closed_standard_output_takes_nothing(service: Running) -> None:
    """Nobody reads it: nothing counts as printed, and nothing is acked."""
    arguments = ["pull", "--group", "closed", "--from", "start", "--json", "--state-dir", str(service.layout.state_dir)]
    assert shell('exec "$@" >&-', *arguments).returncode == 0
    done = shell('exec "$@"', *arguments)
    assert [json.loads(line)["event_type"] for line in done.stdout.splitlines()] == ["created"]


def test_what_a_full_disk_did_not_take_is_pending_again(service: Running) -> None:
    """At once, and not when its lease ends, which would count as a failed attempt each time."""
    arguments = ["pull", "--group", "full", "--from", "start", "--json", "--state-dir", str(service.layout.state_dir)]
    assert shell('exec "$@" >/dev/full', *arguments).returncode == 1
    done = shell('exec "$@"', *arguments)
    assert [json.loads(line)["event_type"] for line in done.stdout.splitlines()] == ["created"]


def test_no_command_shows_what_hides(service: Running) -> None:
    """The root and the file have characters in their names that turn the line, and others that nobody sees; JSON is exact."""
    root, where = os.fsdecode(service.settings.roots[0]), ["--state-dir", str(service.layout.state_dir)]
    pull = ["pull", "--group", "hidden", "--from", "start"]
    for command in (["status", *where], ["doctor", root, *where], ["config", root], ["plan", root], [*pull, *where]):
        done = shell('exec "$@"', *command)
        shown = (done.stdout + done.stderr).decode()
        assert done.stdout and shown == "".join(c for c in shown if c == "\n" or c.isprintable()), command
        assert "\\u202e" in shown or command[0] == "plan", command
    assert "a\\u061c.json" in shown
    status = json.loads(shell('exec "$@"', "status", "--json", *where).stdout)
    assert status["engine"]["roots"] == [root]


@pytest.mark.parametrize("redirection", ["<&-", "2>&-", "<&- >&- 2>&-", ">/dev/full", "2>/dev/full", "| true"])
def test_streams_that_are_closed_full_or_unread(service: Running, redirection: str) -> None:
    """No command fails by that alone, save that a full standard output is told; none shows a traceback, or calls it a defect."""
    for name in COMMANDS:
        done = shell(f'"$@" {redirection}; echo $? >&2' if "2>" not in redirection else f'"$@" {redirection}; exit $?',
                     *command_line(service, name, f"g{redirection}"))  # fmt: skip
        assert b"Traceback" not in done.stderr and b"Exception ignored" not in done.stderr, (name, done.stderr)
        if redirection == ">/dev/full" and name != "sync":
            assert b"standard output: its disk is full" in done.stderr, (name, done.stderr)
            assert done.stderr.split()[-1] == b"1", name
        elif redirection == "<&-":
            assert done.stderr.split()[-1] == b"0", (name, done.stderr)
        if "--json" in name and redirection in ("<&-", "2>&-", "2>/dev/full"):
            assert done.stdout
            for document in [done.stdout] if not name.startswith("pull") else done.stdout.splitlines():
                json.loads(document)


@pytest.mark.parametrize(
    "environ",
    [
        {"COLUMNS": "0", "TERM": "", "HOME": "", "TMPDIR": "/nowhere", "PATH": ""},
        {"COLUMNS": "-1", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "HOME": "relative"},
        {"COLUMNS": "x", "LC_ALL": "no_SUCH.locale", "PYTHONIOENCODING": "ascii", "XDG_STATE_HOME": "relative"},
    ],
    ids=str,
)
def test_odd_environments(service: Running, environ: dict[str, str]) -> None:
    """They change nothing."""
    for name in ("status", "pull --json"):
        done = shell('exec "$@"', *command_line(service, name, "e" + "".join(environ)), **environ)
        assert done.returncode == 0, (name, done.stderr)
    done = shell('exec "$@"', "--help", **environ)
    assert done.returncode == 0 and b"usage: shardwatch" in done.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ["pull", "--group", b"\xff"], ["pull", "--group", ""], ["pull", "--group", " x"],
        ["groups", "drop", b"\xff"], ["release", "--name", b"\xff"], ["hold", "--name", b"\xff", "--for", "1"],
        ["hold", "--name", "a\nb", "--for", "1"], ["groups", "drop", "no such group"],
    ],
    ids=str,
)  # fmt: skip
def test_names_that_are_none(service: Running, arguments: list[str | bytes]) -> None:
    """A wrong argument, in one line with the remedy."""
    done = shell('exec "$@"', *arguments[:1], "--state-dir", str(service.layout.state_dir), *arguments[1:])
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith(b"shardwatch: error: ") and done.stderr.count(b"\n") == 1 and b" (" in done.stderr


@pytest.mark.parametrize(
    "text",
    [
        "a = " + "[" * 5000 + "]" * 5000, "a = " + "{b = " * 5000 + "1" + "}" * 5000, "[" + ".".join("a" * 5000) + "]",
        "shards = " + "9" * 5000, "settle_ms = 1" + "0" * 23, "replay_s = nan", "replay_s = 1e999",
        'roots = ["a\\u0000b"]', "priorities = {'*' = 99999999999999999999999}", "'\u202e' = 1", "\0",
    ],
    ids=lambda text: text[:24].replace("\0", "0"),
)  # fmt: skip
def test_configurations_that_are_none(tmp_path: Path, text: str) -> None:
    """A wrong file, in one short line, whatever is in it."""
    file = tmp_path / "shardwatch.toml"
    file.write_text(text)
    done = shell('exec "$@"', "config", "-c", str(file))
    assert done.returncode == 2, done.stderr[:300]
    assert done.stderr.startswith(b"shardwatch: error: ") and done.stderr.count(b"\n") == 1
    assert len(done.stderr) < 1500 and "\u202e".encode() not in done.stderr


def test_a_working_directory_that_is_gone(service: Running, tmp_path: Path) -> None:
    """With absolute paths everything works; a relative one can't be meant."""
    script = f'mkdir {tmp_path}/gone && cd {tmp_path}/gone && rmdir {tmp_path}/gone && exec "$@"'
    root, state_dir = os.fsdecode(service.settings.roots[0]), str(service.layout.state_dir)
    done = shell(script, "config", root, "--state-dir", state_dir, PYTHONPATH=str(ROOT / "src"))
    assert done.returncode == 0, done.stderr
    done = shell(script, "status", "--state-dir", state_dir)
    assert done.returncode == 0, done.stderr
    done = shell(script, "config", "relative", "--state-dir", state_dir)
    assert done.returncode == 2 and b"relative to the working directory" in done.stderr, done.stderr
