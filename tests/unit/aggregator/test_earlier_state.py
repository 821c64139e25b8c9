"""State directories that earlier commits left: the service goes on from them (tests/corpus/record_state.py made them)."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from entries import Entry, seen
from harness_serve import FakeEngine, short

from shardwatch.aggregator.groups.registry import Registry
from shardwatch.aggregator.groups.schema import FORMAT, open_groups
from shardwatch.aggregator.groups.store import GroupStore
from shardwatch.aggregator.index import schema as index_schema
from shardwatch.aggregator.index.opening import open_index, refit
from shardwatch.aggregator.index.schema import SCHEMA, open_database
from shardwatch.aggregator.server.serve import Server
from shardwatch.aggregator.storage.lives import DatabaseLife, Lives
from shardwatch.shard.contract.files.birth import origin
from shardwatch.shard.contract.files.packed import FILE
from shardwatch.shard.contract.state.settings import read_settings
from shardwatch.shard.contract.wire.frames import Looks

CORPUS = Path(__file__).parents[2] / "corpus"
#: A commit for each schema that the index has had, and for each that groups.db has had: (index, groups).
COMMITS = {
    "bc5d85d": (1, 1), "6f4d87c": (2, 1), "1c207d1": (3, 1), "8835133": (4, 1), "fe7e5eb": (5, 1), "c6d49af": (6, 2),
    "cc0ee23": (6, 3), "8de1a4e": (7, 3), "79f2d25": (8, 3), "4ba1540": (9, 3), "09f5d7d": (10, 3),
}  # fmt: skip
BOOT = "the boot in which it was recorded"
TREE = "/tmp/shardwatch-recorded/tree"


def laid_out(commit: str, state: Path) -> dict[str, Any]:
    """Makes the state directory as the service of that commit left it; returns what that service said of itself before."""
    recorded = CORPUS / f"state_{commit}"
    for name in ("index", "groups"):
        db = sqlite3.connect(state / f"{name}.db")
        db.executescript((recorded / f"{name}.sql").read_text())
        db.close()
    shutil.copy(recorded / "settings.json", state)
    os.chmod(state / "settings.json", 0o600)
    if (recorded / "life.json").exists():  # it names inodes, which are others here
        path = state / "life.json"
        shutil.copy(recorded / "life.json", path)
        life = json.loads(path.read_bytes())
        life["own"] = _origin(path)
        life["files"] = {name: _origin(state / name) for name in life["files"]}
        path.write_text(json.dumps(life))
        os.chmod(path, 0o600)
    said: dict[str, Any] = json.loads((recorded / "recorded.json").read_bytes())
    return said


def _origin(path: Path) -> tuple[int, int]:
    fd = os.open(path, os.O_RDONLY)
    try:
        return origin(fd)
    finally:
        os.close(fd)


class Resumed:
    """What the aggregator opens in a state directory, in its order, and requests to it. The boot is that of the recording."""

    def __init__(self, state: Path, wall: float) -> None:
        self.settings = read_settings(state / "settings.json")
        lives = Lives(state, set())
        self.index, self.notes = open_index(state / "index.db", self.settings)
        self.store = GroupStore(state / "groups.db", boot=BOOT)
        self.doubt = lives.doubt(DatabaseLife(self.index.file.life, False), DatabaseLife(self.store.life, False))
        registry = Registry(self.index.backlog, self.store, self.settings, 0.0, lambda: wall)
        self.refit = refit(self.index, self.settings)
        while self.refit is not None and self.refit.step():
            pass
        self._server = Server(self.index.backlog, registry, FakeEngine(), self.settings, lambda: 0.0, lambda: wall)
        registry.reconcile(self.index.file.found_tick, self.index.consumers.known())
        self._numbers = itertools.count()

    def ask(self, op: str, **fields: Any) -> dict[str, Any]:
        """The reply, which must be there at once."""
        (reply,) = self._server.handle([b"peer"], msgspec.json.encode({"op": op, "id": next(self._numbers), **fields}))
        found: dict[str, Any] = msgspec.json.decode(reply.body)
        assert found["ok"], found
        return found

    def drain(self, group: str) -> list[tuple[str, str]]:
        """Everything that is pending, acknowledged: kinds, and paths below the tree."""
        events: list[dict[str, Any]] = []
        while (batch := self.ask("pull", group=group, wait_ms=0)["batch"]) is not None:
            events += batch["events"]
            self.ask("ack", group=group, batch=batch["id"])
        return [(kind, path.removeprefix(f"{TREE}/")) for kind, path in short(events)]

    def look_again(self) -> None:
        """A shard looks at every file that there is, and finds each as it was."""
        rows = [row for row in self.index.backlog.pending(0, 0, 100).rows if row.kind == FILE]
        assert len(rows) == 6
        self.index.begin()
        for row in rows:
            above, name = os.path.split(row.path)
            entry: Entry = (name, FILE, row.dev, row.ino, 1, row.size, row.mtime_ns, row.ctime_ns, False)
            self.index.records.looks(Looks(above, row.at_ns + 1, *seen([entry]), []), ())
        self.index.commit()

    def close(self) -> None:
        self.store.close()
        self.index.close()


@pytest.fixture(params=COMMITS)
def resumed(request: pytest.FixtureRequest, state_dir: Path) -> Iterator[tuple[Resumed, dict[str, Any]]]:
    """A service that takes up such a directory, and what was recorded there."""
    said = laid_out(request.param, state_dir)
    it = Resumed(state_dir, max(group["seen"] for group in said["groups"]))
    yield it, said
    it.close()


def test_nothing_is_lost_or_built_anew(resumed: tuple[Resumed, dict[str, Any]]) -> None:
    """Incarnation, ticks and rows stay; groups have their positions, leases and paths set aside; nothing is in doubt."""
    service, said = resumed
    assert (service.notes, service.doubt, service.store.notes) == ([], "", [])
    index = service.index
    assert (index.incarnation, index.file.found_tick, index.files) == (said["incarnation"], said["tick"], 6)
    assert service.refit is None or service.refit.left_out == 0
    now, before = service.ask("groups")["groups"], said["groups"]
    assert all(group["oldest_pending_s"] is not None for group in now)
    for group in [*now, *before]:
        del group["seen"]  # written down now and then
        group.pop("oldest_pending_s", None)  # the first ones did not say that
        for lease in group["leases"]:
            del lease["ends_in_s"]
    assert now == before


def test_only_what_was_pending_is_handed_out(resumed: tuple[Resumed, dict[str, Any]]) -> None:
    """Looks that find every file as it was change nothing, and a batch that was pulled before can be acknowledged."""
    service, said = resumed
    service.look_again()
    assert service.index.tick == said["tick"]
    assert service.ask("ack", group="leased", batch=said["lease"])["repeated"] is False
    deleted, bad = ("deleted", "d1/f1.json"), ("created", "d0/bad.json")
    later = [("created", f"d0/f{number}.json") for number in (0, 2, 4)]
    assert service.drain("done") == [bad, deleted]
    assert service.drain("half") == service.drain("leased") == [*later, bad, deleted]
    assert service.drain("failing") == [deleted]
    service.ask("retry", group="failing")
    assert service.drain("failing") == [bad]


def test_every_schema_is_recorded(state_dir: Path) -> None:
    """There is a state directory of each schema that the index and groups.db have had, but the newest."""
    found = {}
    for commit in COMMITS:
        place = state_dir / commit
        place.mkdir()
        laid_out(commit, place)
        (index,), (groups,) = (
            sqlite_rows(place / "index.db", "SELECT schema FROM state"), sqlite_rows(place / "groups.db", "PRAGMA user_version"),
        )  # fmt: skip
        found[commit] = (*index, *groups)
    assert found == COMMITS
    assert {index for index, _ in COMMITS.values()} >= set(range(1, SCHEMA))
    assert {groups for _, groups in COMMITS.values()} >= set(range(1, FORMAT))


def sqlite_rows(path: Path, question: str) -> list[tuple[Any, ...]]:
    with contextlib.closing(sqlite3.connect(path)) as db:
        return db.execute(question).fetchall()


def contents(path: Path) -> dict[str, list[tuple[Any, ...]]]:
    """All rows of all tables."""
    tables = sqlite_rows(path, "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
    return {name: sorted(sqlite_rows(path, f"SELECT * FROM {name}"), key=repr) for (name,) in tables}


class Kills:
    """What is on the disk whenever a statement begins: what a kill at that moment would leave."""

    def __init__(self, path: Path, into: Path) -> None:
        self._path = path
        self._into = into
        self.left: list[Path] = []

    def connect(self, path: Path) -> sqlite3.Connection:
        db = index_schema.connect(path)
        db.set_trace_callback(self._keep)
        return db

    def _keep(self, statement: str) -> None:
        place = self._into / str(len(self.left))
        place.mkdir(parents=True)
        for suffix in ("", "-wal"):  # the index of the log, -shm, is made anew
            with contextlib.suppress(FileNotFoundError):
                shutil.copyfile(f"{self._path}{suffix}", f"{place / self._path.name}{suffix}")
        self.left.append(place / self._path.name)


@pytest.mark.parametrize(
    ("commit", "name", "most"), [("bc5d85d", "index.db", 100), ("bc5d85d", "groups.db", 30), ("79f2d25", "index.db", 30)]
)
def test_a_migration_that_is_killed_goes_on(commit: str, name: str, most: int, state_dir: Path, tmp_path: Path) -> None:
    """Whichever statement is the last: the next start ends with the same rows in the same tables."""

    def open_it(path: Path, connect: Any) -> None:
        if name == "index.db":
            open_database(path, connect)[0].close()
        else:
            open_groups(path, "process", connect).close()

    laid_out(commit, state_dir)
    kills = Kills(state_dir / name, tmp_path)
    open_it(state_dir / name, kills.connect)
    whole = contents(state_dir / name)
    assert most / 3 < len(kills.left) < most
    for path in kills.left:
        open_it(path, index_schema.connect)
        assert contents(path) == whole
