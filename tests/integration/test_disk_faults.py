"""The disk that fails under the service: what it says, that nothing is lost, and that it goes on by itself."""

from __future__ import annotations

import json
import shutil
import signal
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_process import Command
from cli_process import run as cli
from disks import fill, flip, read_only, small_disk
from running import ANSWER_S, Consumer, Running, consuming, running, settings_for
from session import deliver
from waiting import eventually

from shardwatch.aggregator.client.replies import RequestError
from shardwatch.shard.contract.errors import ServiceError, ShardwatchError
from shardwatch.shard.contract.state.layout import Layout

FILES = 300


@pytest.fixture
def big_tree(tmp_path: Path) -> Path:
    """Some hundred files in thirty directories: an index of many pages."""
    root = tmp_path / "tree"
    for n in range(FILES):
        path = root / f"d{n % 30}" / f"{n:04}-{'x' * 100}.ast.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}")
    return root


@pytest.fixture
def service_with_consumer(state_dir: Path, big_tree: Path) -> Iterator[tuple[Running, Consumer]]:
    """A ready service, and a consumer that has everything."""
    with running(state_dir, settings_for(big_tree)) as service, consuming(service.layout.state_dir) as consumer:
        service.assert_mirrored(consumer, big_tree)
        yield service, consumer


def _storage(service: Running) -> dict[str, str] | None:
    """What status says of the databases: None where all is well."""
    try:
        found: dict[str, str] | None = service.client.status()["storage"]
    except ShardwatchError as error:
        assert error.retryable, error
        return {"message": "no answer", "remedy": ""}
    return found


def _named(service: Running) -> dict[str, str] | None:
    """The same of an aggregator that answers: one that was stalled may not for a while."""
    found = _storage(service)
    return found if found is not None and found["remedy"] else None


def _remove(place: Path) -> None:
    """Removes a directory in which a service may make something again meanwhile."""

    def gone() -> bool:
        shutil.rmtree(place, ignore_errors=True)
        return not place.exists()

    eventually(gone)


def _whole(service: Running) -> bool:
    return _storage(service) is None and service.client.ready() is not None


def _touch_everything(tree: Path) -> None:
    for path in tree.rglob("*.json"):
        path.write_text('{"_type": "Module"}')


@pytest.mark.root
def test_a_full_state_disk_is_said_and_waited_for(state_dir: Path, big_tree: Path) -> None:
    """Nothing is acked, nobody dies, `status` and `watch` name the disk; when there is room, everything comes."""
    with (
        small_disk(state_dir / "s") as place,
        running(place, settings_for(big_tree)) as service,
        consuming(place) as consumer,
    ):
        service.assert_mirrored(consumer, big_tree)
        pids = {name: row["pid"] for name, row in service.programs().items()}
        filler = fill(place)
        for n in range(3000):
            (big_tree / f"d{n % 30}" / f"new{n}.ast.json").write_text("{}")
        storage = eventually(lambda: _named(service), what="the disk is named")
        assert f"the disk of the state directory {place} is full" in storage["message"]
        assert "free some space" in storage["remedy"]

        def told() -> bool:
            found = cli("status", "--state-dir", place, check=False)
            assert found.returncode == 1, "a script that asks hears of it too"
            return storage["message"] in found.stdout and storage["remedy"] in found.stdout

        eventually(told)
        with pytest.raises(RequestError) as refused:
            service.client.pull("other", from_="start")
        assert (refused.value.code, refused.value.retryable) == ("storage", True)
        filler.unlink()
        eventually(lambda: _whole(service), what="the service goes on")
        service.assert_mirrored(consumer, big_tree)
        assert consumer.fresh == 0
        assert {name: row["pid"] for name, row in service.programs().items()} == pids
        assert not list(place.glob("*.damaged*"))


@pytest.mark.root
def test_watch_tells_of_a_full_disk_and_goes_on(state_dir: Path, big_tree: Path) -> None:
    """A status line when it begins, one when it is over, then the changes; the watch does not end."""
    with small_disk(state_dir / "s") as place, Command("watch", "--json", "--state-dir", place, big_tree) as watch:
        watch.ready()
        filler = fill(place)
        for n in range(3000):
            (big_tree / f"d{n % 30}" / f"new{n}.ast.json").write_text("{}")
        lines = watch.until(lambda line: line["type"] == "status" and "is full" in line["message"])
        assert lines[-1]["level"] == "error"
        assert "free some space" in lines[-1]["remedy"]
        filler.unlink()
        seen = {line["path"] for line in lines if line["type"] == "event"}
        over = False
        while len(seen) < 3000 or not over:
            line = watch.json()
            over = over or (line["type"] == "status" and line["message"].startswith("over: "))
            if line["type"] == "event":
                seen.add(line["path"])
        assert watch.end(signal.SIGINT) == 0


@pytest.mark.root
def test_a_service_starts_on_a_full_disk_when_there_is_room(state_dir: Path, big_tree: Path) -> None:
    """Every process killed while the disk is full: the next start waits, says why, and loses nothing."""
    settings = settings_for(big_tree)
    with small_disk(state_dir / "s") as place, running(place, settings) as service, consuming(place) as consumer:
        service.assert_mirrored(consumer, big_tree)
        filler = fill(place)
        _touch_everything(big_tree)
        eventually(lambda: _named(service), what="the disk is named")
        deliver(int(service.programs()["aggregator"]["pid"]), signal.SIGKILL)
        storage = eventually(lambda: _named(service), what="the new one says it too")
        assert "free some space" in storage["remedy"]
        filler.unlink()
        eventually(lambda: _whole(service), what="the service goes on")
        service.assert_mirrored(consumer, big_tree)


@pytest.mark.root
def test_a_state_directory_that_turns_read_only(
    service_with_consumer: tuple[Running, Consumer], big_tree: Path
) -> None:
    """The aggregator can't be started again: `status` says that the directory can't be written. Later it goes on."""
    service, consumer = service_with_consumer
    place = service.layout.state_dir
    with read_only(place):
        deliver(int(service.programs()["aggregator"]["pid"]), signal.SIGKILL)
        eventually(lambda: service.programs()["aggregator"]["state"] == "BACKOFF", what="it can't be started")
        _touch_everything(big_tree)

        def told() -> bool:
            done = cli("status", "--json", "--state-dir", place, check=False)
            assert done.returncode == 3
            assert "can't be written" in json.loads(done.stdout)["reason"]
            return "can't be written" in cli("status", "--state-dir", place, check=False).stdout

        eventually(told)  # supervisord knows it, and may take a while to answer
    eventually(lambda: _whole(service), what="the service goes on")
    service.assert_mirrored(consumer, big_tree)
    assert consumer.fresh == 0


def test_a_read_only_database_is_waited_for(service_with_consumer: tuple[Running, Consumer], big_tree: Path) -> None:
    """What SQLite answers with "readonly database" is no damage: nothing is set aside."""
    service, consumer = service_with_consumer
    place = service.layout.state_dir
    aggregator = int(service.programs()["aggregator"]["pid"])
    with sqlite3.connect(service.layout.index_db, isolation_level=None, timeout=ANSWER_S) as blocker:
        blocker.execute("BEGIN EXCLUSIVE")  # longer than SQLite waits: "database is locked"
        _touch_everything(big_tree)
        storage = eventually(lambda: _storage(service), 60, what="the disk is named")
        assert "can't be used" in storage["message"] or storage["message"] == "no answer"
        blocker.execute("ROLLBACK")
    blocker.close()
    eventually(lambda: _whole(service), 60, what="the service goes on")
    service.assert_mirrored(consumer, big_tree)
    assert not list(place.glob("*.damaged*"))
    assert service.programs()["aggregator"]["pid"] == aggregator


def test_a_state_directory_that_is_removed_ends_the_service(state_dir: Path, big_tree: Path) -> None:
    """Nobody could reach it any more: it leaves with a word, and a new one in its place is not disturbed."""
    place = state_dir / "s"
    settings = settings_for(big_tree)
    it = Running(place, settings)
    try:
        _remove(place)
        assert it.process.wait(30) == ServiceError.exit_code
    finally:
        it.stop()
    with running(place, settings) as again, consuming(place) as consumer:
        again.assert_mirrored(consumer, big_tree)


def test_a_new_service_in_the_place_of_a_removed_one(state_dir: Path, big_tree: Path) -> None:
    """The old service's processes still live when the new one begins: they leave, and touch nothing of it."""
    place = state_dir / "s"
    settings = settings_for(big_tree)
    old = Running(place, settings)
    try:
        _remove(place)
        with running(place, settings) as new, consuming(place) as consumer:
            new.assert_mirrored(consumer, big_tree)
            old.process.wait(30)
            _touch_everything(big_tree)
            new.assert_mirrored(consumer, big_tree)
            assert all(path.exists() for path in new.layout.sockets())
            assert new.programs()["aggregator"]["deaths"] == 0
    finally:
        if old.process.poll() is None:
            old.process.kill()
        old.stop()


def test_watch_says_that_its_state_directory_was_removed(state_dir: Path, big_tree: Path) -> None:
    """One line, and an exit code that is not zero."""
    with Command("watch", "--state-dir", state_dir / "s", big_tree) as watch:
        assert b"watching" in watch.line()
        _remove(state_dir / "s")
        assert watch.end(timeout_s=30) == ServiceError.exit_code
        assert "was removed" in watch.errors()


def test_an_index_that_is_removed_under_the_service_is_built_anew(
    service_with_consumer: tuple[Running, Consumer], big_tree: Path
) -> None:
    """What is written into a file without a name would be lost: it is noticed, and groups are told `fresh`."""
    service, consumer = service_with_consumer
    for path in service.layout.state_dir.glob("index.db*"):
        path.unlink()
    eventually(lambda: consumer.fresh >= 1, what="fresh")
    service.assert_mirrored(consumer, big_tree)


# Of the file: its head, its state, the rows, the streams. Nothing else is read before something changes.
@pytest.mark.parametrize("page", [0, 1, 6, 11])
def test_a_page_flipped_while_the_service_is_down(state_dir: Path, big_tree: Path, page: int) -> None:
    """Whichever page it is: found when it is read, kept aside, built anew; the consumer begins afresh and ends equal."""
    settings = settings_for(big_tree)
    with running(state_dir, settings) as service, consuming(state_dir) as consumer:
        service.assert_mirrored(consumer, big_tree)
    index = Layout(state_dir).index_db
    flip(index, page)
    damaged = index.read_bytes()
    with running(state_dir, settings) as service, consuming(state_dir) as consumer:
        eventually(lambda: list(state_dir.glob("index.db.damaged-1")), what="it is set aside")
        _touch_everything(big_tree)
        service.assert_mirrored(consumer, big_tree)
        aside = (state_dir / "index.db.damaged-1").read_bytes()
        assert aside[page * 4096 : (page + 1) * 4096] == damaged[page * 4096 : (page + 1) * 4096]
        notes = service.client.status()["notes"]
        assert any("index.db.damaged-1" in note for note in notes), notes
        assert consumer.fresh >= 1
        assert service.programs()["aggregator"]["deaths"] == 0
    assert "index.db.damaged-1" in cli("doctor", "--state-dir", state_dir, big_tree, check=False).stdout


def test_a_page_flipped_while_the_service_runs(
    service_with_consumer: tuple[Running, Consumer], big_tree: Path
) -> None:
    """SQLite says that the image is malformed once it reads the page: set aside and built anew, no crash loop."""
    with sqlite3.connect(service_with_consumer[0].layout.index_db) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        pages = db.execute("PRAGMA page_count").fetchone()[0]
    db.close()
    flip(service_with_consumer[0].layout.index_db, 1, pages - 1)
    _goes_on(service_with_consumer, big_tree)


def test_pages_of_rows_damaged_while_the_service_runs(
    service_with_consumer: tuple[Running, Consumer], big_tree: Path
) -> None:
    """SQLite finds nothing wrong with them: their checksums tell."""
    with sqlite3.connect(service_with_consumer[0].layout.index_db, timeout=30) as db:
        assert db.execute("UPDATE page SET stats = zeroblob(length(stats))").rowcount > 10
    db.close()
    _goes_on(service_with_consumer, big_tree)


def test_rows_damaged_while_the_service_runs(
    service_with_consumer: tuple[Running, Consumer], big_tree: Path
) -> None:
    """A row by itself has no checksum. What its columns can't hold is damage where the work stumbles over it, and not the end of
    the process, which would end again at each start."""
    service, _ = service_with_consumer
    for path in sorted(big_tree.rglob("*.json"))[::10]:
        path.write_text("changed by itself")
    service.client.sync()
    with sqlite3.connect(service.layout.index_db, timeout=30) as db:
        assert db.execute("UPDATE entry SET held='text' WHERE directory=0").rowcount > 10
    db.close()
    _goes_on(service_with_consumer, big_tree)


def _goes_on(service_with_consumer: tuple[Running, Consumer], big_tree: Path) -> None:
    """Once the damage is met, the index is set aside and built anew in the same process."""
    service, consumer = service_with_consumer
    place = service.layout.state_dir
    aggregator = service.programs()["aggregator"]["pid"]
    known = sorted(big_tree.rglob("*.json"))[::10]
    n = 0

    def set_aside() -> list[Path]:
        nonlocal n
        n += 1
        for directory in range(30):
            (big_tree / f"d{directory}" / f"more{n}.ast.json").write_text("{}")
        for path in known:
            path.write_text("x" * n)
        return list(place.glob("index.db.damaged-*"))

    eventually(set_aside, every_s=0.2, what="it is set aside")
    eventually(lambda: _whole(service), what="the service goes on")
    service.assert_mirrored(consumer, big_tree)
    assert consumer.fresh >= 1
    row = service.programs()["aggregator"]
    assert (row["pid"], row["deaths"]) == (aggregator, 0)


@pytest.mark.parametrize("keep", [0.0, 0.3, 0.7])
def test_a_truncated_log_of_the_index(state_dir: Path, big_tree: Path, keep: float) -> None:
    """Commits that groups have seen are gone: the file is sound but old, so groups begin afresh and nothing is missed."""
    settings = settings_for(big_tree)
    layout = Layout(state_dir)
    with running(state_dir, settings) as service, consuming(state_dir) as consumer:
        service.assert_mirrored(consumer, big_tree)
        gone = sorted(big_tree.rglob("*.json"))[:50]
        for path in gone:
            path.unlink()
        service.assert_mirrored(consumer, big_tree)
        wal = layout.index_db.with_name("index.db-wal")
        content = wal.read_bytes()
        mirror = dict(consumer.mirror)
        service.kill_all()
    wal.write_bytes(content[: int(len(content) * keep)])
    layout.index_db.with_name("index.db-shm").unlink(missing_ok=True)
    with running(state_dir, settings) as service, consuming(state_dir, mirror=mirror) as consumer:
        eventually(lambda: consumer.fresh >= 1, what="fresh")
        service.assert_mirrored(consumer, big_tree)


@pytest.mark.parametrize("how", ["flipped", "removed", "junk"])
def test_lost_groups_begin_afresh(state_dir: Path, big_tree: Path, how: str) -> None:
    """groups.db damaged or gone: the index remembers who there was, and they are told, whatever they ask for."""
    settings = settings_for(big_tree)
    layout = Layout(state_dir)
    with running(state_dir, settings) as service, consuming(state_dir) as consumer:
        service.assert_mirrored(consumer, big_tree)
        with sqlite3.connect(f"file:{layout.index_db}?mode=ro", uri=True) as db:
            eventually(lambda: db.execute("SELECT name FROM consumer").fetchall() == [("mirror",)], what="it is known")
        db.close()
    if how == "flipped":
        flip(layout.groups_db, 1, layout.groups_db.stat().st_size // 4096 - 1)
    elif how == "junk":
        layout.groups_db.write_bytes(b"junk" * 10_000)
    else:
        layout.groups_db.unlink()
    (big_tree / "d0" / "while-down.ast.json").write_text("{}")
    with running(state_dir, settings) as service, consuming(state_dir) as consumer:
        eventually(lambda: consumer.fresh >= 1, what="fresh")
        service.assert_mirrored(consumer, big_tree)
        assert bool(list(state_dir.glob("groups.db.damaged-1"))) == (how != "removed")
        assert any("begins afresh" in note for note in service.client.status()["notes"])


def test_groups_damaged_while_the_service_runs(
    service_with_consumer: tuple[Running, Consumer], big_tree: Path
) -> None:
    """Found at the next write or read of a page: set aside, and the group begins afresh."""
    service, consumer = service_with_consumer
    place = service.layout.state_dir
    with sqlite3.connect(service.layout.groups_db) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        pages = db.execute("PRAGMA page_count").fetchone()[0]
    db.close()
    flip(service.layout.groups_db, 1, pages - 1)
    deliver(int(service.programs()["aggregator"]["pid"]), signal.SIGKILL)
    eventually(lambda: list(place.glob("groups.db.damaged-1")), what="it is set aside")
    eventually(lambda: consumer.fresh >= 1, what="fresh")
    service.assert_mirrored(consumer, big_tree)


def test_a_newer_schema_is_refused_in_one_line(state_dir: Path, big_tree: Path) -> None:
    """The aggregator ends with a code that is not zero; `up` and `watch` say why; the file is left as it is."""
    settings = settings_for(big_tree)
    layout = Layout(state_dir)
    with running(state_dir, settings):
        pass
    with sqlite3.connect(layout.index_db) as db:
        db.execute("UPDATE state SET schema = 99")
    db.close()
    before = layout.index_db.read_bytes()
    with Command("watch", "--state-dir", state_dir, big_tree) as watch:
        assert watch.end(timeout_s=60) == ServiceError.exit_code
        errors = watch.errors()
    assert "schema 99, this version knows" in errors
    assert "run the newer version" in errors
    assert len(errors.strip().splitlines()) == 1, errors
    assert layout.index_db.read_bytes() == before
    assert not list(state_dir.glob("*.damaged*"))
