"""What the aggregator does about an error that no caller expected: it looks for damage, and ends where there is none."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from entries import seen
from index_rows import change_closed

from shardwatch.aggregator import main
from shardwatch.aggregator.groups.store import GroupStore
from shardwatch.aggregator.index.index import Index
from shardwatch.aggregator.process import outage
from shardwatch.shard.contract.files.packed import FILE
from shardwatch.shard.contract.state.layout import Layout
from shardwatch.shard.contract.state.settings import Settings
from shardwatch.shard.contract.wire.frames import Listing

SETTINGS = Settings(roots=(b"/r",), include=(), exclude=())


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """Of two sound databases, which are not open."""
    layout = Layout(str(tmp_path))
    index = Index(layout.index_db)
    index.begin()
    index.records.listing(Listing(b"/r", 1, *seen([(b"a", FILE, 1, 5, 1, 1, 1, 1, False)])), ())
    index.commit()
    index.close()
    GroupStore(layout.groups_db).close()
    return layout


@pytest.fixture
def lives(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Lets a service stumble over one error after the other, each in an aggregator of its own. Returns why it waited."""

    def lives(*errors: Exception) -> list[str]:
        left, waits = list(errors), []
        sockets = SimpleNamespace(stopping=False, pulse=SimpleNamespace(beat=lambda: None))

        class Stumbling:
            """An aggregator that ends with the next error."""

            def __init__(self, *_: object) -> None: ...
            def abandon(self, why: object) -> None: ...

            def run(self) -> None:
                sockets.stopping = len(left) == 1
                raise left.pop(0)

        monkeypatch.setattr(main, "Aggregator", Stumbling)
        monkeypatch.setattr(outage, "wait", lambda sockets, settings, why: waits.append(why.message))
        assert main.Service(layout, SETTINGS, sockets).run() == 0  # type: ignore[arg-type]
        return waits

    return lives


def set_aside(layout: Layout) -> list[str]:
    return sorted(path.name for path in layout.state_dir.glob("*.damaged-*") if not path.name.endswith(("-wal", "-shm", "-redo")))


@pytest.mark.parametrize(
    "error", [TypeError("a"), KeyError("b"), sqlite3.ProgrammingError("c"), UnicodeDecodeError("d", b"", 0, 1, "e")]
)
def test_where_nothing_is_damaged_it_is_a_fault_of_the_program(
    layout: Layout, lives: Callable[..., list[str]], error: Exception
) -> None:
    """The process ends, and is started again; databases that are sound stay."""
    with pytest.raises(type(error)) as raised:
        lives(error)
    assert raised.value is error
    assert set_aside(layout) == []


@pytest.mark.parametrize(
    ("database", "change"),
    [("index.db", "UPDATE entry SET held='x'"), ("groups.db", "UPDATE meta SET value=CAST(x'ff' AS TEXT)")],
)
def test_what_is_damaged_is_set_aside(layout: Layout, lives: Callable[..., list[str]], database: str, change: str) -> None:
    """And nothing else; whatever the error was."""
    change_closed(layout.state_dir / database, change)
    assert lives(AttributeError("it has no such thing")) == []
    assert set_aside(layout) == [f"{database}.damaged-1"]


def test_damage_that_is_not_found_is_believed_the_third_time(layout: Layout, lives: Callable[..., list[str]]) -> None:
    """Within a minute: what SQLite or a checksum has found may be gone when it is looked for."""
    waits = lives(*[sqlite3.DatabaseError("database disk image is malformed") for _ in range(2)])
    assert (len(waits), set_aside(layout)) == (2, [])
    unsuited = sqlite3.OperationalError("no such column: x")
    unsuited.sqlite_errorcode = sqlite3.SQLITE_ERROR
    waits = lives(*[unsuited for _ in range(3)])
    assert (len(waits), set_aside(layout)) == (2, ["index.db.damaged-1"])


def test_a_disk_that_refuses_is_waited_for(layout: Layout, lives: Callable[..., list[str]]) -> None:
    """However often; nothing is examined."""
    full = sqlite3.OperationalError("database or disk is full")
    full.sqlite_errorcode = sqlite3.SQLITE_FULL
    layout.index_db.write_bytes(b"junk" * 4096)
    assert len(lives(*[full for _ in range(4)])) == 4
    assert set_aside(layout) == []
