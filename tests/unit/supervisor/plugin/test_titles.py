"""The titles of shards: their ids, and what they watch; and the command lines that `ps` shows."""

from __future__ import annotations

import base64
import os
import re
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from supervisor.datatypes import process_or_group_name  # type: ignore[import-untyped]

from shardwatch.supervisor.plugin import spawn
from shardwatch.supervisor.plugin.spawn import LAUNCH, named
from shardwatch.supervisor.plugin.titles import PATH_CHARS_MAX, ByTitle, PlannedPart, id_of, title, titles


@pytest.mark.parametrize(
    ("anchors", "expected"),
    [
        ([(b"/src/services/api", b"/src")], "s3-services_api"),
        ([(b"/src/services/api/v1", b"/src", 5), (b"/src/tools", b"/src", 7), (b"/src/services/api/v2", b"/src", 5)],
         "s3-services_api+"),
        ([(b"/src/web", b"/src"), (b"/src/tools/x", b"/src")], "s3-tools_x+"),
        ([(b"/src", b"/src", 9), (b"/src/web", b"/src", 8)], "s3-src+"),
        ([(b"/src/a/x", b"/src", 3), (b"/else/b", b"/else", 4), (b"/src/b", b"/src", 2)], "s3-b+"),
        ([(b"/", b"/")], "s3-root"),
        ([(b"/a/x y:z/\xff\xc3\xa4", b"/a")], "s3-x_y_z___"),
        ([(b"/a/" + b"d" * 50 + b"/end", b"/a")], f"s3-{'d' * (PATH_CHARS_MAX - 4)}_end"),
    ],
    ids=["below its root", "several", "as large", "a root", "several roots", "all", "odd characters", "long"],
)
def test_a_title_names_where_most_of_it_lies(anchors: list[tuple[bytes, bytes, int]], expected: str) -> None:
    """Relative to its root; that there are others is shown, and not how many, which changes more often."""
    parts = [PlannedPart(*anchor) for anchor in anchors]
    assert title("s3", parts) == title("s3", reversed(parts)) == expected


@given(st.lists(st.binary(min_size=1).filter(lambda name: b"\0" not in name), min_size=1))
def test_every_title_is_a_name_for_supervisord(names: list[bytes]) -> None:
    """Whatever directories are called."""
    found = title("s0", [PlannedPart(b"/r/" + name, b"/r") for name in names])
    assert process_or_group_name(found) == found
    assert re.fullmatch(r"s0-[A-Za-z0-9._-]+\+?", found)


def test_the_titles_of_a_plan() -> None:
    """As it is in plan.json."""

    def anchor(shard: str, path: bytes) -> dict[str, str]:
        return {"shard": shard, "path": base64.b64encode(path).decode(), "root": base64.b64encode(b"/r").decode()}

    plan = {"anchors": [anchor("s0", b"/r"), anchor("s1", b"/r/a"), anchor("s1", b"/r/b")]}
    assert titles(plan) == {"s0": "s0-r", "s1": "s1-a+"}


def test_a_process_is_found_by_id_and_by_title() -> None:
    """And keeps its id, whatever its title is."""

    def process(name: str, environment: dict[str, str] | None = None) -> Any:
        return SimpleNamespace(config=SimpleNamespace(name=name, environment=environment))

    shard = process("s0-src", {"SHARD_ID": "s0"})
    processes = ByTitle({"s0": shard})
    assert processes.get("s0") is processes.get("s0-src") is shard
    assert processes.get("s1") is None and processes.get("s1", 3) == 3
    assert (id_of(shard), id_of(process("aggregator"))) == ("s0", "aggregator")


def test_the_command_line_says_what_it_is() -> None:
    """Of our programs; nothing is put into that of others."""
    ours = ["python3", "-P", "-m", LAUNCH, "shardwatch.x", "--state-dir", "."]
    assert named(ours, "s0-src", "/s %(x)s ;") == [*ours[:4], "--of", "/s %(x)s ;:s0-src", *ours[4:]]
    assert named(["cat", "x"], "mine", "/s") == ["cat", "x"]


def test_a_program_of_ours_gives_way_from_its_first_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its nice value is set before Python is started for it. That of others' programs stays, whatever their arguments are."""
    done: list[object] = []
    monkeypatch.setattr(os, "nice", done.append)
    monkeypatch.setattr(spawn, "_stock", lambda process, filename, argv: done.append(argv))
    process = SimpleNamespace(config=SimpleNamespace(name="coordinator", options=SimpleNamespace(here="/s")))

    def spawned(*argv: str) -> list[object]:
        done.clear()
        spawn._spawn_as_child(process, argv[0], argv)
        return list(done)

    start = ["python3", "-P", "-m", LAUNCH]
    assert spawned(*start, "--nice", "10", "x", "--nice", "3") == [10, [*start, "--of", "/s:coordinator", "x", "--nice", "3"]]
    assert spawned(*start, "x", "--nice", "3") == [[*start, "--of", "/s:coordinator", "x", "--nice", "3"]]
    assert spawned("other", "--nice", "3") == [["other", "--nice", "3"]]


def test_a_program_starts_where_it_may_not_give_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """A filter of system calls may refuse setpriority(2). An exception would have the child go on as a second supervisord."""
    done: list[object] = []

    def refused(increment: int) -> int:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "nice", refused)
    monkeypatch.setattr(spawn, "_stock", lambda process, filename, argv: done.append(argv))
    process = SimpleNamespace(config=SimpleNamespace(name="coordinator", options=SimpleNamespace(here="/s")))
    spawn._spawn_as_child(process, "python3", ["python3", "-P", "-m", LAUNCH, "--nice", "10", "x"])
    assert done == [["python3", "-P", "-m", LAUNCH, "--of", "/s:coordinator", "x"]]
