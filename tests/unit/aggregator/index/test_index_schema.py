"""The index's file through versions: made-up older and newer ones, steps killed in the middle, files that are no index."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from shardwatch.aggregator.index import schema as index_schema
from shardwatch.aggregator.index.index import Index
from shardwatch.aggregator.index.opening import open_index
from shardwatch.aggregator.index.schema import SCHEMA, STEPS, IndexVersionError, open_database
from shardwatch.aggregator.storage.damage import damaged
from shardwatch.shard.contract.state.settings import Settings

SQL = Path(index_schema.__file__).with_name("sql")
#: Schema 1, as it was released to nobody: the newest less what the step adds.
FIRST = Path(__file__).parents[3] / "corpus" / "index_schema_1.sql"
SETTINGS = Settings(roots=(b"/r",), include=(), exclude=())


def _first(path: Path) -> None:
    """An index of schema 1 with a file in it."""
    db = sqlite3.connect(path)
    db.executescript(FIRST.read_text())
    db.execute("INSERT INTO state VALUES (1, 1, 'life', 7, 1000, 3, 1, 0, '')")
    db.execute("INSERT INTO directory VALUES (1, X'2F72')")
    db.execute("INSERT INTO entry VALUES (1, X'61', 0, 1, 1, 2, 1, 10, 20, 30, 0, 0, 7, 7, 0, 7, 40)")
    db.commit()
    db.close()


def _tables(path: Path) -> dict[str, list[tuple[object, ...]]]:
    """Columns of each table and index, without their comments."""
    db = sqlite3.connect(path)
    names = [row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE name NOT LIKE 'sqlite_%'")]
    found = {name: db.execute(f"PRAGMA table_xinfo({name})").fetchall() for name in sorted(names)}
    db.close()
    return found


def test_an_older_index_is_brought_to_the_newest_schema(tmp_path: Path) -> None:
    """Rows, ticks and incarnation stay: groups go on where they were."""
    path = tmp_path / "index.db"
    _first(path)
    index = Index(path)
    assert (index.incarnation, index.file.found_tick, index.backlog.collected, index.files) == ("life", 7, 3, 1)
    assert [row.path for row in index.backlog.pending(0, 0, 10).rows] == [b"/r/a"]
    assert index.tick >= 1000
    assert index.consumers.known() == {}
    index.close()


def test_steps_and_the_newest_schema_make_the_same_tables(tmp_path: Path) -> None:
    """What is written twice, as a whole and step by step, says the same."""
    _first(tmp_path / "old.db")
    Index(tmp_path / "old.db").close()
    Index(tmp_path / "new.db").close()
    assert _tables(tmp_path / "old.db") == _tables(tmp_path / "new.db")


def test_every_older_schema_has_its_step() -> None:
    """One named script from each to the next, and no script that nobody runs."""
    assert sorted(STEPS) == list(range(1, SCHEMA))
    assert {path.name for path in SQL.iterdir()} == {"index.sql", *STEPS.values()}


def test_a_step_that_is_cut_short_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each step is one transaction with its number: after a kill in the middle the file is as it was before."""
    folder = tmp_path / "sql"
    shutil.copytree(SQL, folder)
    (folder / STEPS[1]).write_text((SQL / STEPS[1]).read_text() + "; SELECT no_such_function();")
    path = tmp_path / "index.db"
    _first(path)
    before = _tables(path)
    with monkeypatch.context() as patch:
        patch.setattr(index_schema, "_SQL", folder)
        with pytest.raises(sqlite3.OperationalError, match="no_such_function"):
            open_database(path)
    assert _tables(path) == before
    Index(path).close()


def test_a_made_up_next_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the next schema needs: a number, a script, a line. Two steps in a row work."""
    folder = tmp_path / "sql"
    shutil.copytree(SQL, folder)
    (folder / "next.sql").write_text("ALTER TABLE consumer ADD COLUMN made_up INTEGER NOT NULL DEFAULT 5")
    monkeypatch.setattr(index_schema, "_SQL", folder)
    monkeypatch.setattr(index_schema, "SCHEMA", SCHEMA + 1)
    monkeypatch.setattr(index_schema, "STEPS", {**STEPS, SCHEMA: "next.sql"})
    _first(tmp_path / "index.db")
    db, state = open_database(tmp_path / "index.db")
    assert state.incarnation == "life"
    assert db.execute("SELECT schema FROM state").fetchone() == (SCHEMA + 1,)
    db.execute("SELECT made_up FROM consumer")
    db.close()


@pytest.mark.parametrize("schema", [SCHEMA + 1, 0])
def test_a_schema_without_a_way_is_refused_and_left_alone(tmp_path: Path, schema: int) -> None:
    """A newer file, or one from before all times: one line with the remedy; the file stays as it is."""
    path = tmp_path / "index.db"
    _first(path)
    db = sqlite3.connect(path)
    db.execute("UPDATE state SET schema = ?", (schema,))
    db.commit()
    db.close()
    with pytest.raises(IndexVersionError) as refused:
        open_index(path, SETTINGS)
    assert f"schema {schema}" in refused.value.message
    assert refused.value.hint
    assert [p.name for p in tmp_path.iterdir() if "damaged" in p.name] == []


def _no_state(path: Path) -> None:
    _first(path)
    db = sqlite3.connect(path)
    db.execute("DELETE FROM state")
    db.commit()
    db.close()


def _no_table(path: Path) -> None:
    _first(path)
    db = sqlite3.connect(path)
    db.execute("DROP TABLE stream")
    db.commit()
    db.close()


@pytest.mark.parametrize(
    "make",
    [lambda path: path.write_bytes(b"junk" * 4096), _no_state, _no_table],
    ids=["junk", "no state", "no table"],
)
def test_what_is_no_index_is_set_aside(tmp_path: Path, make: Callable[[Path], object]) -> None:
    """Kept under another name as it was, and built anew, with a note."""
    path = tmp_path / "index.db"
    make(path)
    before = path.read_bytes()
    index, notes = open_index(path, SETTINGS)
    assert "index.db.damaged-1" in notes[0]
    assert (tmp_path / "index.db.damaged-1").read_bytes()[100:] == before[100:]
    assert index.tick == 0
    index.close()


def test_damage_is_told_from_a_disk_that_refuses() -> None:
    """Waiting helps against the one, never against the other."""
    assert damaged(sqlite3.DatabaseError("database disk image is malformed"))
    assert damaged(sqlite3.IntegrityError("UNIQUE constraint failed"))
    assert not damaged(sqlite3.OperationalError("database or disk is full"))
    assert not damaged(sqlite3.ProgrammingError("a defect of ours"))
