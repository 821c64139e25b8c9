"""`shardwatch dead` as a user meets it: a real service, and a command that fails."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cli_process import Command, put, run
from running import Running, running, settings_for
from waiting import eventually

from shardwatch import AsyncExtractClient

pytestmark = pytest.mark.usefixtures("no_leaks")

#: Of files called bad, it writes something that a terminal must not be given.
SCRIPT = r"""case "$1" in *bad*) echo "checking $1"; printf 'line 7: \033[31mwrong\033[0m\n' >&2; exit 3;; esac"""
BAD = ("bad.json", "deep/bad.json")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Two files that fail, and one that does not."""
    made = tmp_path / "watched"
    (made / "deep").mkdir(parents=True)
    for name in (*BAD, "good.json"):
        put(made / name, "1")
    return made


@pytest.fixture
def service(tree: Path, state_dir: Path) -> Iterator[Running]:
    """A service whose group `g` has set both aside."""
    with running(state_dir, settings_for(tree, attempts_max=1)) as service:
        work_until(service, lambda group: group["parked_paths"] == len(BAD))
        yield service


def work_until(service: Running, wanted: Any) -> None:
    """A durable worker of `g`, until nothing is left to be done and the group is as it is wanted."""

    def done() -> bool:
        group = next((group for group in service.client.groups() if group["name"] == "g"), None)
        return group is not None and not (group["backlog"] or group["leased"]) and wanted(group)

    words = ("exec", "--group", "g", "--initial", "--state-dir", service.layout.state_dir)
    with Command(*words, "--", "sh", "-c", SCRIPT, "sh", "{}") as worker:
        eventually(done)
        worker.end(signal.SIGTERM)


def dead(service: Running, *words: str | Path, check: bool = True) -> Any:
    return run("dead", *words, "--state-dir", service.layout.state_dir, check=check)


def listed(service: Running, *words: str | Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in dead(service, *words, "--json").stdout.splitlines()]


def test_what_was_said_of_a_failure_outlives_the_service(service: Running, tree: Path, state_dir: Path) -> None:
    """Each path is listed with its reason, and shown with its output, made safe for a terminal, also once every process was
    killed; `status` says what to do."""
    before = listed(service, "show")
    assert [letter.pop("path") for letter in listed(service, "list")] == [str(tree / name) for name in BAD]
    assert [letter["output"] for letter in before] == [
        f"checking {tree / name}\nline 7: \x1b[31mwrong\x1b[0m\n" for name in BAD
    ]
    fields = ("type", "group", "event_type", "attempts", "reason")
    assert {tuple(letter[field] for field in fields) for letter in before} == {("dead", "g", "created", 1, "exit code 3")}
    service.kill_all()
    with running(state_dir, service.settings) as again:
        assert listed(again, "show") == before
        shown = dead(again, "show", tree / "bad.json").stdout
        assert f"    checking {tree / 'bad.json'}\n    line 7: \\x1b[31mwrong\\x1b[0m\n" in shown
        assert f"created  {tree / 'bad.json'}: exit code 3 (1 attempt)\n" in dead(again, "list").stdout
        assert "see `shardwatch dead list`" in run("status", "--state-dir", state_dir, check=False).stdout


def test_they_are_tried_again_or_dropped(service: Running, tree: Path) -> None:
    """Some or all; a directory stands for what is below it. What was dropped comes again when it changes."""
    deep = tree / "deep"
    assert dead(service, "retry", "--group", "g", deep).stdout == "1 path handed out again\n"
    assert [letter["path"] for letter in listed(service, "list")] == [str(tree / "bad.json")]
    work_until(service, lambda group: group["parked_paths"] == len(BAD))
    assert json.loads(dead(service, "retry", "--json").stdout) == {"format": 1, "paths": 2}
    work_until(service, lambda group: group["parked_paths"] == len(BAD))
    assert dead(service, "drop", tree / "bad.json").stdout == "1 path dropped\n"
    assert dead(service, "drop", "--group", "g").stdout == "1 path dropped\n"
    assert dead(service, "list").stdout == "no path is set aside\n"
    put(tree / "bad.json", "12")
    service.client.sync()
    work_until(service, lambda group: group["parked_paths"] == 1)
    (letter,) = listed(service, "list")
    assert (letter["path"], letter["event_type"]) == (str(tree / "bad.json"), "modified")


async def test_the_clients_do_the_same(service: Running, tree: Path, state_dir: Path) -> None:
    """Both of them."""
    (letter,) = service.client.dead("g", tree / "bad.json")
    assert (letter.path, letter.reason, letter.event_type) == (str(tree / "bad.json"), "exit code 3", "created")
    assert letter.output.startswith("checking ") and letter.failed_at is not None
    async with AsyncExtractClient(state_dir) as client:
        assert [one.path async for one in client.dead("g")] == [str(tree / name) for name in BAD]
        assert await client.retry("g", [tree / "deep"]) == 1
        assert await client.discard("g", [tree / "bad.json"]) == 1
    assert list(service.client.dead("g")) == [] and service.client.retry("g") == service.client.discard("g") == 0


def test_what_is_not_there(service: Running, tree: Path) -> None:
    """One line, which names it, and exit code 2."""
    for words, complaint in (
        (["drop"], "it is not said what to drop"),
        (["show", "good.json"], "nothing is set aside at 'good.json'"),
        (["retry", "bad.json", "none.json"], "nothing is set aside at 'none.json'"),
        (["list", "--group", "none"], "there is no group 'none'"),
    ):
        done = run("dead", *words, "--state-dir", service.layout.state_dir, check=False, cwd=tree)
        assert (done.returncode, complaint in done.stderr) == (2, True), done.stderr
