"""What has changed between two configurations, in words, and what is to be done about it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from msgspec.structs import replace

from shardwatch.shard.contract.state.options import OPTIONS
from shardwatch.shard.contract.state.settings import Settings
from shardwatch.shard.contract.state.ship_section import ShipSection
from shardwatch.shard.contract.state.triggers import Trigger
from shardwatch.shard.contract.state.web_section import WebSection
from shardwatch.supervisor.reload.steps import HOW, Configuration, How, Steps, changes, steps_between

REPOSITORY = Path(__file__).parents[4]
SETTINGS = Settings(roots=(b"/a", b"/b"), include=("*",), exclude=("*.log",), priorities={"*.c": 1, "*.h": 2})
LINT = Trigger(name="lint", arguments=("--group=lint", "--", "true"), directory=b"/")
BEFORE = Configuration(settings=SETTINGS, triggers=(LINT,))
#: (fields of the settings that change, what is told, what is to be done).
CASES = [
    ({}, [], Steps()),
    (
        {"roots": (b"/b", b"/c\n")},
        ["root '/c\\n' is new: it is scanned (by a new plan)",
         "root /a is removed: its files are reported as deleted (by a new plan)"],
        Steps(plan=True),
    ),
    (
        {"roots": (b"/b",), "forget_left_out": True},
        ["root /a is removed: its files are forgotten, without events (by a new plan)",
         "forget_left_out: false -> true (the aggregator is started again)"],
        Steps(plan=True, aggregator=True),
    ),
    (
        {"roots": (b"/a/x", b"/b")},
        ["root /a/x is new: it is scanned (by a new plan)",
         "root /a is removed: its files are reported as deleted, but for those of roots in it (by a new plan)"],
        Steps(plan=True),
    ),
    (
        {"roots": (b"/",)},
        ["root / is new: it is scanned (by a new plan)",
         *(f"root {root} is removed: its files are watched as those of /, and what is out of scope there is reported "
           "as deleted (by a new plan)" for root in ("/a", "/b"))],
        Steps(plan=True),
    ),
    (
        {"roots": (b"/b", b"/"), "files": (b"/f",), "only": (b"/",)},  # that of a single file keeps nothing else
        ["root /f is new: it is scanned (by a new plan)",
         "root /a is removed: its files are reported as deleted (by a new plan)"],
        Steps(plan=True),
    ),
    (
        {"roots": (b"/b",), "files": (b"/a",)},
        ["a root is a file now, or a directory, that was the other (by a new plan)"],
        Steps(plan=True),
    ),
    (
        {"include": ("*.py",), "exclude": ("*.log", "x")},
        ['include: included too: "*.py", no longer included: "*" (by a new plan)', 'exclude: excluded too: "x" (by a new plan)'],
        Steps(plan=True, aggregator=True, shards=True),
    ),
    ({"settle_ms": 7}, ["settle_ms: 50 -> 7 (by the running processes, within 2 s)"], Steps()),
    ({"verify_period_s": 0.0}, ["verify_period_s: 86400.0 -> 0.0 (by the running processes, within 2 s)"], Steps()),
    ({"hold_for_vcs": True}, ["hold_for_vcs: false -> true (the shards are started again)"], Steps(shards=True, aggregator=True)),
    (
        {"priorities": {"*.h": 3, "*.py": 1}},
        ['priorities: "*.c": 1 -> none, "*.h": 2 -> 3, "*.py": none -> 1 (the aggregator is started again)'],
        Steps(aggregator=True),
    ),
    ({"queue_size_max": 5}, ["queue_size_max: 1000000 -> 5 (at once)"], Steps()),
    ({"pattern_origins": {"include": {"*": "env X"}}}, [], Steps()),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "told", "steps"), CASES)
def test_a_change_of_the_settings(fields: dict[str, object], told: list[str], steps: Steps) -> None:
    """Each is told in one line, and leads to no more than it needs."""
    after = replace(BEFORE, settings=replace(SETTINGS, **fields))
    assert [str(change) for change in changes(BEFORE, after)] == told
    assert steps_between(BEFORE, after) == steps


def test_gits_excludes_file_counts_only_with_ignore_files() -> None:
    """Another one has the shards started again, if they read it."""
    old, new = (replace(BEFORE, settings=replace(SETTINGS, git_excludes=path)) for path in (b"/x", b"/y"))
    assert changes(old, new) == []
    old, new = (replace(one, settings=replace(one.settings, ignore_files=True)) for one in (old, new))
    assert [str(change) for change in changes(old, new)] == [
        "git's global excludes file: /x -> /y (the shards are started again)"
    ]
    assert steps_between(old, new) == Steps(shards=True)
    none = replace(new, settings=replace(new.settings, git_excludes=b""))
    assert [change.text for change in (*changes(new, none), *changes(none, new))] == [
        "git's global excludes file: /y -> none", "git's global excludes file: none -> /y",
    ]  # fmt: skip


def test_programs_of_the_configuration() -> None:
    """Those that are new are started, those that have changed are ended and started again, those that are gone are ended."""
    other, new = replace(LINT, umask=0o22), replace(LINT, name="new")
    ship = ShipSection(arguments=())
    assert [str(change) for change in changes(BEFORE, replace(BEFORE, triggers=(other, new), ship=ship))] == [
        "[exec.lint] has changed (its program is started again)",
        "[exec.new] is new (its program is started)",
        "[ship] is new (its program is started)",
    ]
    assert steps_between(BEFORE, replace(BEFORE, triggers=(other, new), ship=ship)) == Steps(commands=("lint",))
    shipping = replace(BEFORE, ship=ship)
    assert [str(change) for change in changes(shipping, Configuration(settings=SETTINGS))] == [
        "[exec.lint] is gone (its program is ended)",
        "[ship] is gone (its program is ended)",
    ]
    assert steps_between(shipping, Configuration(settings=SETTINGS)) == Steps(commands=("lint",), programs=("ship",))
    assert steps_between(shipping, replace(shipping, ship=ShipSection(arguments=("x",)))) == Steps(programs=("ship",))
    serving = replace(shipping, web=WebSection(arguments=()))
    assert steps_between(shipping, serving) == Steps()
    assert steps_between(serving, replace(serving, web=WebSection(arguments=("--port=1",)))) == Steps(programs=("web",))
    assert [str(change) for change in changes(serving, shipping)] == ["[web] is gone (its program is ended)"]


def test_it_is_known_of_every_option_how_it_is_taken_over() -> None:
    """And docs/configuration.md says the same."""
    assert list(HOW) == list(OPTIONS)
    text = (REPOSITORY / "docs/configuration.md").read_text()
    section = text.partition("## Changing a running service")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| ([^|`]+) \| (.*) \|$", section, re.MULTILINE)
    told = {how: {name for name in re.findall(r"`(\w+)`", names) if name in OPTIONS} for how, names in rows[1:]}
    of_options = {how: {name for name, one in HOW.items() if one is how} for how in How}
    assert told == {str(how): names for how, names in of_options.items() if names}
