"""Sections `[exec.NAME]` become the arguments of `shardwatch exec`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from shardwatch.shard.contract.errors import UsageError
from shardwatch.shard.contract.state.triggers import read_triggers, write_triggers
from shardwatch.supervisor.config.exec_sections import SECTIONS_MAX, triggers_of
from shardwatch.supervisor.config.resolve import resolve

BASE = Path("/etc/x")
COMMAND = {"command": ["ruff", "check", "{}"]}


def test_a_section_is_the_arguments_of_exec() -> None:
    """Its group is its name, if it gives no other; switches are true or false; the command comes behind --."""
    switches = {"initial": True, "retry": False, "prefix": False}
    options = {**switches, "batch": 10, "timeout": 1.5, "on": "created", "stop_signal": "INT"}
    plain, full = triggers_of({"lint": COMMAND, "all": {**COMMAND, **options, "group": "g h"}}, "file f", BASE)
    assert (plain.name, plain.arguments) == ("lint", ("--group=lint", "--", "ruff", "check", "{}"))
    assert full.arguments == (
        "--group=g h", "--initial", "--no-retry", "--batch=10", "--timeout=1.5", "--on=created", "--stop-signal=INT", "--",
        *COMMAND["command"],
    )  # fmt: skip
    assert (full.command, full.directory) == (("ruff", "check", "{}"), b"/etc/x")


@pytest.mark.parametrize(
    ("section", "complaint"),
    [
        ({}, "command is no list of texts"),
        ({"command": "ruff check"}, "command is no list of texts"),
        ({"command": []}, "command is no list of texts"),
        ({"command": ["a\0b"]}, "command is no list of texts"),
        ({**COMMAND, "initial": 1}, "initial = 1 must be true or false"),
        ({**COMMAND, "jobs": True}, "jobs = True must be a whole number"),
        ({**COMMAND, "group": 3}, "group = 3 must be a text"),
        ({**COMMAND, "roots": ["x"]}, "unknown option 'roots'"),
        (3, "exec is no table of sections"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_wrong_is_named(section: Any, complaint: str) -> None:
    """With the file and the section."""
    with pytest.raises(UsageError, match="file f: ") as raised:
        triggers_of({"x": section}, "file f", BASE)
    assert complaint in raised.value.message


@pytest.mark.parametrize("name", ["", "a b", "-x", "%(here)s", "a/b", "aggregator", "exec", "ship", "x" * 41])
def test_names_that_no_program_may_have(name: str) -> None:
    """supervisord would expand them, or has such a program already."""
    with pytest.raises(UsageError, match="no valid name"):
        triggers_of({name: COMMAND}, "file f", BASE)


def test_so_many_sections_are_possible() -> None:
    """Each is a process."""
    sections = {f"s{number}": COMMAND for number in range(SECTIONS_MAX + 1)}
    with pytest.raises(UsageError, match=f"at most {SECTIONS_MAX}"):
        triggers_of(sections, "file f", BASE)
    sections.popitem()
    assert len(triggers_of(sections, "file f", BASE)) == SECTIONS_MAX


def test_sections_of_a_file_are_no_options(tmp_path: Path) -> None:
    """They come with the configuration, and run where the file lies."""
    (tmp_path / "shardwatch.toml").write_text('batch_size_max = 7\n[exec.lint]\ncommand = ["true"]\n')
    resolved = resolve(environ={}, cwd=tmp_path)
    assert resolved.settings.batch_size_max == 7 and "exec" not in resolved.values
    assert [(one.name, one.directory) for one in resolved.triggers] == [("lint", bytes(tmp_path))]


def test_they_are_stored_as_they_are(state_dir: Path) -> None:
    """And no file is left where there are none."""
    path = state_dir / "exec.json"
    triggers = triggers_of({"lint": COMMAND}, "file f", Path("/odd/\udcff"))
    write_triggers(path, triggers)
    assert read_triggers(path) == triggers
    write_triggers(path, ())
    assert read_triggers(path) == () and not path.exists()
