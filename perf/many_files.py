"""Takes generated files into an index of its own, and hands them to groups: `many_files.py DIRECTORY FILES`.

It is the aggregator's work without sockets and shards, in one process, so that the cost of ten million files can be measured
where no tree of that size can be made. What it prints is one JSON object.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from shardwatch.aggregator.groups.registry import Registry
from shardwatch.aggregator.groups.store import GroupStore
from shardwatch.aggregator.index.index import Index
from shardwatch.aggregator.server.serve import Server
from shardwatch.aggregator.storage.checkpoints import COMMITS
from shardwatch.shard.contract.files.packed import FILE, WIDTH, pack
from shardwatch.shard.contract.state.settings import Settings
from shardwatch.shard.contract.wire.frames import Listing, Looks

#: Files of a directory, directories of a commit, and events of a batch.
IN_DIRECTORY, IN_COMMIT, IN_BATCH = 10, 1_000, 1_000
#: Directories whose files change one by one, and then together.
SCATTERED = 2_000
#: The group that takes everything at once, and the one that takes nothing before the end.
HEAD, BEHIND = "head", "behind"
_NAMES = [b"unit%d.ast.json" % number for number in range(IN_DIRECTORY)]


class NoShards:
    """An engine without shards: everything that there is has been seen."""

    def status(self) -> dict[str, object]:
        return {}

    def ready(self) -> dict[str, object] | None:
        return {"files": 0, "directories": 0, "shards": 0, "backend": "none", "generation": 1}

    def progress(self) -> dict[str, object]:
        return {}

    def begin_sync(self, timeout_s: float) -> int:
        return 0

    def sync_result(self, token: int) -> dict[str, object] | None:
        return {"ok": True}

    def forget_sync(self, token: int) -> None:
        pass

    def locks(self) -> set[bytes]:
        return set()

    def look(self, paths: Sequence[bytes]) -> int:
        return 0


class _Batch(msgspec.Struct):
    id: str
    events: list[msgspec.Raw]


class _Pulled(msgspec.Struct):
    batch: _Batch | None


_pulled = msgspec.msgpack.Decoder(_Pulled).decode


class Clerk:
    """Index, groups and server over generated files; counts the processor time of each part.

    Args:
        home: an empty directory for the two databases.
    """

    def __init__(self, home: Path) -> None:
        self._home = home
        self._index = Index(home / "index.db")
        settings = Settings(roots=(), include=(), exclude=(), batch_size_max=IN_BATCH)
        registry = Registry(self._index.backlog, GroupStore(home / "groups.db"), settings, time.monotonic(), time.time)
        self._server = Server(self._index.backlog, registry, NoShards(), settings)
        #: Moves the log to the file, beside the connection that writes, as the aggregator's `Checkpoints` does.
        self._mover = sqlite3.connect(home / "index.db", isolation_level=None)
        #: Processor time by what it was spent on, seconds; and the longest that one step of it took.
        self.spent: dict[str, float] = {}
        self.longest: dict[str, float] = {}
        #: The longest that a step took by the clock, seconds.
        self.waited: dict[str, float] = {}
        self.handed = 0

    def ask(self, op: str, **fields: object) -> bytes:
        """A request, and the body of its reply after as many turns as it takes; each of them counts as one step of `op`."""
        frame = msgspec.msgpack.encode({"v": 1, "id": 1, "op": op, **fields})
        replies = self._timed(op, lambda: self._server.handle([b"one"], frame))
        while not replies:
            replies = self._timed(op, self._server.tick)
        body: bytes = replies[0].body
        return body

    def pull(self, group: str) -> _Batch | None:
        """The next batch of a group that begins with every file."""
        return _pulled(self.ask("pull", group=group, max=IN_BATCH, wait_ms=0, **{"from": "start"})).batch

    def _timed(self, what: str, step: Callable[[], Any]) -> Any:
        clock, begun = time.monotonic(), time.process_time()
        found = step()
        took = time.process_time() - begun
        self.waited[what] = max(self.waited.get(what, 0.0), time.monotonic() - clock)
        self.spent[what] = self.spent.get(what, 0.0) + took
        self.longest[what] = max(self.longest.get(what, 0.0), took)
        return found

    def list_directories(self, files: int) -> Iterator[int]:
        """Takes in directories that are listed for the first time; yields how many files are in the index after each commit."""
        for begun in range(0, files // IN_DIRECTORY, IN_COMMIT):
            numbers = range(begun, min(begun + IN_COMMIT, files // IN_DIRECTORY))
            records = [Listing(_directory(number), time.time_ns(), _NAMES, _stats(number)) for number in numbers]
            self._timed("list", lambda records=records: self._take(records))  # type: ignore[misc]
            self._timed("commit", self._commit)
            yield self._index.files

    def _take(self, records: list[Listing]) -> None:
        self._index.expand()  # as the aggregator does in a burst
        self._index.begin()
        for record in records:
            self._index.records.listing(record, [])

    def _commit(self) -> None:
        self._index.commit()
        self._server.on_commit()

    def hand_out(self, group: str) -> None:
        """Pulls and acknowledges until nothing is left."""
        while (batch := self.pull(group)) is not None:
            self.handed += len(batch.events)
            self.ask("ack", group=group, batch=batch.id)

    def change_one_by_one(self, numbers: Sequence[int]) -> None:
        """All files of these directories change, in random order and each in a commit of its own: they leave their pages. The log
        is moved as often as the aggregator does it."""
        stats = {number: _stats(number, changed_s=1) for number in numbers}
        places = [(number, at) for number in numbers for at in range(IN_DIRECTORY)]
        for done, (number, at) in enumerate(random.Random(2).sample(places, len(places)), 1):
            stat = stats[number][at * WIDTH : (at + 1) * WIDTH]
            self._timed("single", lambda number=number, at=at, stat=stat: self._look(number, [_NAMES[at]], stat))  # type: ignore[misc]
            if done % COMMITS == 0:
                self._timed("checkpoint", lambda: self._mover.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone())

    def change_together(self, numbers: Sequence[int]) -> None:
        """The files of each of these directories change together, in a commit: where they are rows, they become a page."""
        for number in numbers:
            self._timed("fold", lambda number=number: self._look(number, _NAMES, _stats(number, changed_s=2)))  # type: ignore[misc]

    def _look(self, number: int, names: Sequence[bytes], stats: bytes) -> None:
        self._index.begin()
        self._index.records.looks(Looks(_directory(number), time.time_ns(), list(names), stats, []), [])
        self._commit()

    def in_rows(self) -> int:
        """How many files are stored by themselves, and not in pages."""
        (count,) = self._index.file.db.execute("SELECT count(*) FROM entry WHERE directory=0").fetchone()
        return int(count)

    def delete(self, directories: int) -> int:
        """All files of so many directories are gone, all groups are told, and what is kept of them is forgotten. The number of
        deletions that were forgotten."""
        self._index.begin()
        for number in range(directories):
            self._index.records.looks(Looks(_directory(number), time.time_ns(), [], b"", list(_NAMES)), [])
        self._timed("commit", self._commit)
        self.hand_out(HEAD)
        forgotten = 0
        while (some := self._timed("collect", self._collect)) > 0:
            forgotten += some
        return forgotten

    def _collect(self) -> int:
        return self._index.tombstones.collect(self._server.passed(), time.time_ns(), self._server.registry.set_aside())

    def link(self) -> int:
        """One file gets a second name, as the first of all, and its other name is looked for. How many names were found that are
        to be looked at again: one, if that is right."""
        self._index.begin()
        file = pack(1, 60, time.time_ns(), time.time_ns(), 2, 2, FILE, False)
        self._timed("link", lambda: self._index.records.looks(Looks(b"/tree", time.time_ns(), [b"link.ast.json"], file, []), []))
        self._timed("commit", self._commit)
        while self._index.debts.searching:
            self._timed("search", lambda: self._index.debts.search(self._index.begin, self._index.commit))
        return sum(map(len, self._index.owed.values()))

    def disk_bytes(self) -> int:
        """Of the index, once its log is moved into the file."""
        self._timed("checkpoint", lambda: self._index.file.db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone())
        return os.path.getsize(self._home / "index.db")


def _directory(number: int) -> bytes:
    return b"/tree/part%d/unit%d" % (number // 100, number)


def _stats(number: int, changed_s: int = 0) -> bytes:
    """Of the files of one directory, which have changed so much later than at first."""
    now = 1_700_000_000_000_000_000 + number + changed_s * 1_000_000_000
    return b"".join(
        pack(number * IN_DIRECTORY + at + 1, 60 + at, now + at, now + at, 2, 1, FILE, False) for at in range(IN_DIRECTORY)
    )


def resident() -> int:
    """Bytes of memory of this process that are in use now."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) * 1024


def grown(home: Path, files: int) -> dict[str, Any]:
    """What so many files cost, in a process of their own, with databases in a directory that is made for them."""
    home.mkdir()
    command = [sys.executable, str(Path(__file__)), str(home), str(files)]
    found: dict[str, Any] = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
    shutil.rmtree(home)
    return found


def main(home: str, files: int) -> None:
    clerk = Clerk(Path(home))
    clerk.ask("create", group=BEHIND, **{"from": "start"})
    before = resident()
    for _ in clerk.list_directories(files):
        clerk.hand_out(HEAD)
    memory = resident() - before
    counted = msgspec.msgpack.decode(clerk.ask("groups"))["groups"]
    spent = sum(clerk.spent[what] for what in ("list", "commit", "pull", "ack"))
    disk = clerk.disk_bytes()
    scattered = random.Random(1).sample(range(files // IN_DIRECTORY), min(SCATTERED, files // IN_DIRECTORY))
    clerk.change_one_by_one(scattered)
    clerk.hand_out(HEAD)
    left = clerk.in_rows()
    clerk.change_together(scattered)
    clerk.hand_out(HEAD)
    folded = left - clerk.in_rows()
    linked = clerk.link()
    clerk.ask("drop", group=BEHIND)
    forgotten = clerk.delete(IN_COMMIT)
    print(json.dumps({
        "files": files, "handed": clerk.handed, "behind": next(row["backlog"] for row in counted if row["name"] == BEHIND),
        "forgotten": forgotten, "linked": linked, "left": left, "folded": folded, "cpu_s": spent, "memory_bytes": memory,
        "disk_bytes": disk, "spent": clerk.spent, "longest": clerk.longest, "waited": clerk.waited,
    }), flush=True)  # fmt: skip


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
