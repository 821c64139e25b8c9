"""`top` on a terminal that nobody sees."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from cli_process import GUARD_S
from textual.pilot import Pilot
from textual.widgets import DataTable, Input, Static

from shardwatch.shard.contract.errors import ServiceError
from shardwatch.supervisor.search.find import FoundFile
from shardwatch.supervisor.top.screen import Question, TopScreen

STATUS: dict[str, Any] = {
    "health": "healthy",
    "findings": [{"level": "note", "message": "a note with [brackets]", "remedy": ""}],
    "engine": {
        "ready": True, "files": 2, "directories": 1, "roots": ["/a"], "rows_written": 0, "degraded": [],
        "shards": [{"id": name, "state": "absent", "anchors": [f"/a/{name}"]} for name in ("s0", "s1")],
    },
    "groups": [],
    "processes": [
        {"name": "aggregator", "state": "RUNNING", "pid": 5, "up_s": 1.0, "deaths": 0, "breaker": "closed", "error": ""}
    ],
}  # fmt: skip


class FakeLink:
    """A service that says the same each time."""

    def __init__(self) -> None:
        self.looks = 0
        self.restarted: list[str] = []
        self.refuses = False

    def look(self) -> dict[str, Any]:
        self.looks += 1
        return {**STATUS, "time": float(self.looks)}

    def recent(self) -> list[FoundFile]:
        return [FoundFile("/a/[red]b.json", 12, 0, 3, 0.0)]

    def restart(self, program: str) -> None:
        if self.refuses:
            raise ServiceError("supervisord does not answer: [nobody]")
        self.restarted.append(program)


async def until(pilot: Pilot[None], condition: Callable[[], bool]) -> None:
    """Waits until the screen has followed: it is drawn, and the focus moved, after a key was taken."""
    deadline = time.monotonic() + GUARD_S
    while not condition():
        assert time.monotonic() < deadline, condition
        await pilot.pause(0.01)


async def choose(top: TopScreen, pilot: Pilot[None], key: str, tab: str) -> None:
    """Presses the key of a table, and waits until it has the focus."""
    await pilot.press(key)
    await until(pilot, lambda: top.focused is top.query_one(f"#table-{tab}"))


def rows(top: TopScreen, tab: str) -> list[str]:
    table = top.query_one(f"#table-{tab}", DataTable)
    return [str(table.get_row_at(number)[0]) for number in range(table.row_count)]


@pytest.mark.asyncio
async def test_what_is_shown_and_what_keys_do() -> None:
    """Tables by their numbers, a filter, sorting, and what is in a name is no markup."""
    link = FakeLink()
    top = TopScreen(link)
    async with top.run_test(size=(140, 40)) as pilot:
        await until(pilot, lambda: rows(top, "shards") == ["s0", "s1"])
        assert "healthy: 2 files in 1 directory below /a" in str(top.query_one("#headline", Static).content)
        assert "a note with [brackets]" in str(top.query_one("#findings", Static).content)
        assert top.query_one("#headline").region.y == 0 and top.screen.max_scroll_y == 0  # nothing is scrolled out of sight
        await pilot.press("slash")
        await until(pilot, lambda: top.focused is top.query_one("#filter"))
        await pilot.press(*"s1")
        await until(pilot, lambda: rows(top, "shards") == ["s1"])
        await pilot.press("enter", "escape")
        await until(pilot, lambda: rows(top, "shards") == ["s0", "s1"])
        assert top.query_one("#filter", Input).value == ""
        await choose(top, pilot, "3", "programs")
        await until(pilot, lambda: rows(top, "programs") == ["aggregator"])
        await pilot.press("s")
        programs = top.query_one("#table-programs", DataTable)
        await until(pilot, lambda: str(next(iter(programs.columns.values())).label) == "program *")
        await choose(top, pilot, "5", "recent")
        await until(pilot, lambda: rows(top, "recent") == ["/a/[red]b.json"])
        await pilot.press("q")


@pytest.mark.asyncio
async def test_a_program_is_restarted_after_a_question() -> None:
    """Only if the answer is yes; and what refuses is said."""
    link = FakeLink()
    top = TopScreen(link)
    async with top.run_test(size=(140, 40)) as pilot:
        await until(pilot, lambda: rows(top, "shards") == ["s0", "s1"])
        await choose(top, pilot, "2", "groups")
        await pilot.press("r")
        await until(pilot, lambda: len(top._notifications) == 1)
        assert not isinstance(top.screen, Question)
        await choose(top, pilot, "1", "shards")
        await pilot.press("down", "r")
        await until(pilot, lambda: isinstance(top.screen, Question))
        await pilot.press("n")
        await until(pilot, lambda: not isinstance(top.screen, Question))
        assert link.restarted == []
        await pilot.press("r")
        await until(pilot, lambda: isinstance(top.screen, Question))
        await pilot.press("y")
        await until(pilot, lambda: link.restarted == ["shards:s1"])
        link.refuses = True
        await choose(top, pilot, "3", "programs")
        await pilot.press("r")
        await until(pilot, lambda: isinstance(top.screen, Question))
        await pilot.press("y")
        await until(pilot, lambda: any("does not answer: [nobody]" in note.message for note in top._notifications))
        assert link.restarted == ["shards:s1"]
