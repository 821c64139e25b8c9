"""`shardwatch audit`: compares index and disk while everything runs, and has the owners repair what differs."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cli_process import run as cli
from index_rows import spread
from running import Consumer, Running, consuming, running, settings_for
from waiting import eventually


@pytest.fixture
def audited(tree: Path, state_dir: Path) -> Iterator[tuple[Running, Consumer]]:
    """A ready service in two shards, and a consumer that has everything."""
    with running(state_dir, settings_for(tree, shards=2)) as service, consuming(state_dir) as consumer:
        service.assert_mirrored(consumer, tree)
        yield service, consumer


def _audit(service: Running, *options: str) -> tuple[int, dict[str, Any]]:
    done = cli("audit", "--json", *options, "--state-dir", service.layout.state_dir, check=False)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def _damage(service: Running, *statements: str) -> None:
    """Changes rows behind the aggregator's back. Pages know when they are changed, so all become rows before."""
    db = sqlite3.connect(service.layout.index_db, isolation_level=None, timeout=30)
    db.execute("BEGIN IMMEDIATE")
    spread(db)
    db.execute("COMMIT")
    for statement in statements:
        assert db.execute(statement).rowcount > 0, statement
    db.close()


def test_a_sound_index_has_no_differences(audited: tuple[Running, Consumer]) -> None:
    """Exit code 0, and the numbers of what was compared."""
    service, _ = audited
    code, found = _audit(service)
    assert (code, found["ok"], found["differences"], found["more"], found["damage"]) == (0, True, [], 0, "")
    ready = service.client.ready()
    assert ready is not None
    assert (found["files"], found["directories"]) == (ready["files"], ready["directories"])
    text = cli("audit", "--state-dir", service.layout.state_dir).stdout
    assert text == f"{found['files']} files in {found['directories']} directories compared, 0 differences\n"


_ENTRY = "WHERE name = CAST('{}' AS BLOB)"
CASES = {
    "another size": (f"UPDATE entry SET size = size + 1 {_ENTRY.format('a.ast.json')}", "a.ast.json", "differs", False),
    "a lost row": (f"DELETE FROM entry {_ENTRY.format('c.ast.json')}", "c.ast.json", "missing", False),
    "a row too many": (
        "INSERT INTO entry SELECT dir, CAST('ghost.ast.json' AS BLOB), directory, kind, dev, ino + 100000, nlink, size, mtime_ns,"
        f" ctime_ns, racy, lane, 0, 0, at_ns, 0 FROM entry {_ENTRY.format('b.ast.json')}",
        "ghost.ast.json",
        "extra",
        False,
    ),
    "a row that no filter keeps": (
        "INSERT INTO entry SELECT dir, CAST('a.py' AS BLOB), directory, kind, dev, ino + 100000, nlink, size, mtime_ns,"
        f" ctime_ns, racy, lane, 0, 0, at_ns, 0 FROM entry {_ENTRY.format('b.ast.json')}",
        "a.py",
        "extra",
        False,
    ),
    "a directory without its row": (f"DELETE FROM entry {_ENTRY.format('deep')}", "deep", "missing", True),
}


@pytest.mark.parametrize("name", CASES)
def test_a_damaged_row_is_reported_and_repaired(
    audited: tuple[Running, Consumer], tree: Path, name: str
) -> None:
    """Exit code 1, the path, what the index said and what the disk says; a second audit finds nothing."""
    service, consumer = audited
    statement, path, what, directory = CASES[name]
    _damage(service, statement)
    code, found = _audit(service)
    assert code == 1
    (one,) = found["differences"]
    assert (Path(one["path"]).name, one["what"], one["is_directory"], one["repaired"]) == (path, what, directory, True)
    assert (one["index"] is None, one["disk"] is None) == (what == "missing", what == "extra")
    code, found = _audit(service)
    assert (code, found["differences"]) == (0, [])
    service.assert_mirrored(consumer, tree)


def test_rows_below_a_directory_that_never_was(audited: tuple[Running, Consumer], tree: Path) -> None:
    """Orphans, without a row for their directory: nobody's look would ever meet them, but the one that is asked for does."""
    service, consumer = audited
    _damage(
        service,
        f"INSERT INTO directory (path) VALUES (CAST('{tree}/never/was' AS BLOB))",
        "INSERT INTO entry SELECT (SELECT max(id) FROM directory), CAST('x.ast.json' AS BLOB), 0, kind, dev, ino + 100000, nlink,"
        f" size, mtime_ns, ctime_ns, racy, lane, 0, 0, at_ns, 0 FROM entry {_ENTRY.format('b.ast.json')}",
    )
    code, found = _audit(service)
    assert code == 1
    assert [(d["path"], d["what"], d["repaired"]) for d in found["differences"]] == [
        (f"{tree}/never/was/x.ast.json", "extra", True)
    ]
    assert _audit(service)[0] == 0
    service.assert_mirrored(consumer, tree)


def test_without_repair_it_only_compares(audited: tuple[Running, Consumer]) -> None:
    """`--no-repair` leaves the index as it is."""
    service, _ = audited
    _damage(service, CASES["another size"][0])
    for _ in range(2):
        code, found = _audit(service, "--no-repair")
        assert (code, len(found["differences"]), found["differences"][0]["repaired"]) == (1, 1, False)
    text = cli("audit", "--no-repair", "--state-dir", service.layout.state_dir, check=False).stdout
    assert "a.ast.json: size " in text
    assert "still so" in text


def test_a_damaged_database_is_reported(audited: tuple[Running, Consumer]) -> None:
    """A row that one of SQLite's own indexes does not know: the file is damaged, and the audit says what to do."""
    service, _ = audited
    db = sqlite3.connect(service.layout.index_db, isolation_level=None, timeout=30)
    db.execute("PRAGMA writable_schema=ON")
    sql = db.execute("SELECT sql FROM sqlite_master WHERE name='entry_by_tick'").fetchone()[0]
    db.execute("UPDATE sqlite_master SET sql=? WHERE name='entry_by_tick'", (sql + " AND size < 0",))
    db.close()
    code, found = _audit(service)
    assert code == 1
    assert found["damage"]
    db = sqlite3.connect(service.layout.index_db, isolation_level=None, timeout=30)
    db.execute("PRAGMA writable_schema=ON")
    db.execute("UPDATE sqlite_master SET sql=? WHERE name='entry_by_tick'", (sql,))
    db.close()


def test_changes_in_flight_are_no_differences(audited: tuple[Running, Consumer], tree: Path) -> None:
    """Files written, renamed and removed all the while: the audit reports nothing, and says how many never stood still."""
    service, consumer = audited
    stop = threading.Event()

    def write() -> None:
        n = 0
        while not stop.is_set():
            n += 1
            path = tree / f"busy{n % 40}" / f"{n % 7}.ast.json"
            path.parent.mkdir(exist_ok=True)
            path.write_text("x" * (n % 100))
            if n % 5 == 0:
                path.unlink()
            elif n % 11 == 0:
                path.rename(path.with_name("moved.ast.json"))

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(5):
            code, found = _audit(service)
            assert (code, found["differences"]) == (0, []), json.dumps(found)
    finally:
        stop.set()
        writer.join()
    service.assert_mirrored(consumer, tree)
    assert _audit(service)[0] == 0


def test_an_audit_disturbs_nobody(audited: tuple[Running, Consumer]) -> None:
    """No process is stopped or replaced, nothing is handed out, and no row is written."""
    service, consumer = audited
    service.assert_drained(consumer)
    before = {name: row["pid"] for name, row in service.programs().items()}
    eventually(lambda: service.client.status()["rows_written"] is not None)
    written, events = service.client.status()["rows_written"], len(consumer.events)
    assert _audit(service)[0] == 0
    assert {name: row["pid"] for name, row in service.programs().items()} == before
    assert (service.client.status()["rows_written"], len(consumer.events)) == (written, events)


def test_an_audit_needs_a_service(state_dir: Path) -> None:
    """One line, exit code 3."""
    done = cli("audit", "--state-dir", state_dir, check=False)
    assert done.returncode == 3
    assert "no service runs" in done.stderr
