"""The file of an `EventQueue`: one SQLite database (WAL) that threads and processes share. Blocks, and uses no event loop.

Two tables hold events. `pending` has one row per pair of a path and whether it is a directory: the events that wait.
`leased` has the events that were handed out and not acknowledged. A path may be in both, if it changed again while it
was on lease. Every method is one transaction, so a kill -9 at any point leaves either all of its effect or nothing.
Used by `aggregator.queue.event_queue` alone.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

from shardwatch.shard.contract.errors import ServiceError, UsageError
from shardwatch.shard.contract.input.shown import cut

from .file_event import combine

#: "shwq": says that the file is ours. The schema's version is in user_version.
APPLICATION_ID: Final = 0x73687771
SCHEMA_VERSION: Final = 1
#: Seconds that opening waits for another process that is creating or recovering the file.
OPEN_BUSY_S: Final = 10.0
#: Tries to begin a transaction, and seconds between them, before the caller is told to come back later. Another's
#: transaction takes some 50 us; SQLite's own waiting begins at 1 ms.
BEGIN_TRIES: Final = 6
BEGIN_PAUSE_S: Final = 0.00005

#: What `QueueStore.put` did with a row. It waits now, or has changed the row of its path that waits already.
QUEUED: Final = 0
#: It is older than the row that waits, or says the same: nothing was changed.
DUPLICATE: Final = 1
#: There was no room for it.
FULL: Final = 2

_SCHEMA = """
CREATE TABLE state (
  one INTEGER PRIMARY KEY CHECK (one = 1),
  pending INTEGER NOT NULL, leased INTEGER NOT NULL,  -- rows in the tables of these names
  seq INTEGER NOT NULL, token INTEGER NOT NULL        -- last place in the line, last lease given
);
INSERT INTO state VALUES (1, 0, 0, 0, 0);
CREATE TABLE owner (id INTEGER PRIMARY KEY AUTOINCREMENT, identity TEXT NOT NULL);
CREATE TABLE pending (
  path BLOB NOT NULL, directory INTEGER NOT NULL, lane INTEGER NOT NULL, seq INTEGER NOT NULL, kind TEXT NOT NULL,
  timestamp REAL NOT NULL, size INTEGER, mtime_ns INTEGER, tick INTEGER, attempts INTEGER NOT NULL,
  PRIMARY KEY (path, directory)
) WITHOUT ROWID;
CREATE INDEX pending_line ON pending (lane DESC, seq);
CREATE TABLE leased (
  path BLOB NOT NULL, directory INTEGER NOT NULL, lane INTEGER NOT NULL, seq INTEGER NOT NULL, kind TEXT NOT NULL,
  timestamp REAL NOT NULL, size INTEGER, mtime_ns INTEGER, tick INTEGER, attempts INTEGER NOT NULL,
  token INTEGER NOT NULL, owner INTEGER NOT NULL, until REAL NOT NULL,
  PRIMARY KEY (path, directory)
) WITHOUT ROWID;
CREATE INDEX leased_until ON leased (until);
CREATE INDEX leased_owner ON leased (owner);
"""
_COLUMNS = "path, directory, lane, seq, kind, timestamp, size, mtime_ns, tick, attempts"
_SAME = "path = ? AND directory = ?"
_INSERT_PENDING = f"INSERT INTO pending ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_UPDATE_PENDING = (
    f"UPDATE pending SET lane = ?, seq = ?, kind = ?, timestamp = ?, size = ?, mtime_ns = ?, tick = ?, attempts = ? WHERE {_SAME}"
)
_INSERT_LEASED = f"INSERT INTO leased ({_COLUMNS}, token, owner, until) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"


class QueueRow(NamedTuple):
    """A row of either table, without its lease."""

    path: bytes
    directory: bool
    #: Priority: rows of a higher lane are handed out first.
    lane: int
    #: Place in the line of its lane: the lowest is handed out first. The store gives it.
    seq: int
    #: `created`, `modified`, `deleted` or `moved`.
    kind: str
    #: When it was observed, seconds since 1970. Of two states of a path the later one counts.
    timestamp: float
    #: Bytes, and nanoseconds since 1970; None where the event does not say.
    size: int | None
    mtime_ns: int | None
    #: Of the change in the index, if it comes from one.
    tick: int | None
    #: How often it was handed out without success. The store counts it.
    attempts: int


class BusyError(Exception):
    """Another process is in a transaction that writes. Nothing was done: make the same call again in a moment."""


class QueueStore:
    """The file. Thread-safe. A fork closes it in both processes until they use it again; the child has its own leases.

    Every method may wait for the disk, and for another thread of this process that uses the same store. It does not wait for
    other processes, but raises BusyError after some tenths of a millisecond if it has to write.

    Args:
        path: the file; made with mode 0600 if it is not there.
        full_sync: True: a commit survives a loss of power; False: it survives any crash of a process.
        clock: seconds on a clock that all processes share and nobody sets (CLOCK_BOOTTIME).

    Raises (the constructor, and every method that finds the file closed by a fork):
        UsageError: the file's directory does not exist, or the file is not a queue of this version. Opening waits for up to
            OPEN_BUSY_S seconds while another process creates or recovers the file.

    Raises (every method):
        UsageError: the store is closed. `close` itself does nothing then.
        ServiceError: SQLite cannot read or write the file; the hint says what to do. The transaction was undone.
    """

    def __init__(self, path: Path, *, full_sync: bool, clock: Callable[[], float]) -> None:
        self.path = path.absolute()
        self._full_sync = full_sync
        self._clock = clock
        self._closed = False
        self._lock = threading.Lock()
        self._pid = 0
        self._owner = 0
        self._connection: sqlite3.Connection | None = None
        with _fork_lock:
            self._connection = self._connect()
            _stores.add(self)

    def _connect(self) -> sqlite3.Connection:
        try:
            _create(self.path)
            db = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False, timeout=OPEN_BUSY_S)
        except (OSError, sqlite3.Error) as error:
            raise UsageError(
                cut(f"the queue {self.path} can't be opened: {error}"), hint="give a file in an existing directory of yours"
            ) from error
        try:
            _make_schema(db, self.path)
            _use_wal(db)
            db.execute(f"PRAGMA synchronous = {'FULL' if self._full_sync else 'NORMAL'}")
            if self._pid != os.getpid():
                insert = "INSERT INTO owner (identity) VALUES (?) RETURNING id"
                self._owner = db.execute(insert, (_identity(),)).fetchall()[0][0]
                self._pid = os.getpid()
            db.execute("PRAGMA busy_timeout = 0")
        except sqlite3.DatabaseError as error:
            db.close()
            raise UsageError(
                cut(f"{self.path} can't be used as a queue: {error}"), hint="give another path, or remove the file"
            ) from error
        except BaseException:
            db.close()
            raise
        return db

    @contextmanager
    def _using(self) -> Iterator[sqlite3.Connection]:
        """The connection, for one thread at a time. Raises UsageError after close()."""
        with self._lock:
            if self._closed:
                raise UsageError(f"the queue {self.path} is closed", hint="open it again with EventQueue(path)")
            if self._connection is None:
                self._connection = self._connect()
            try:
                yield self._connection
            except sqlite3.Error as error:
                raise ServiceError(f"the queue {self.path} failed: {error}", hint=_remedy(error), retryable=True) from error

    def before_fork(self) -> None:
        """Closes the connection, because neither it nor SQLite's memory of its locks may pass a fork. Blocks until no thread uses
        the store, and keeps all of them out until `after_fork`.
        """
        self._lock.acquire()
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def after_fork(self) -> None:
        """Lets threads use the store again, in the parent and in the child."""
        self._lock.release()

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction that writes. Raises BusyError where another process has one open."""
        with self._using() as db:
            for left in range(BEGIN_TRIES - 1, -1, -1):
                try:
                    db.execute("BEGIN IMMEDIATE")
                    break
                except sqlite3.OperationalError as error:
                    if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                        raise
                    if left == 0:
                        raise BusyError from None
                    time.sleep(BEGIN_PAUSE_S)
            try:
                yield db
                db.execute("COMMIT")
            except BaseException:
                if db.in_transaction:
                    db.execute("ROLLBACK")
                raise

    def put(self, rows: Sequence[QueueRow], size_max: int) -> list[int]:
        """Adds rows. A row replaces one that waits for the same path, if it is newer, and takes its place in the line.

        Args:
            rows: any number; their `seq` and `attempts` are ignored. All are added in one transaction.
            size_max: how many rows the queue may hold, waiting and leased together. Rows beyond it are not added.

        Returns QUEUED, DUPLICATE or FULL for each row, in their order.

        Raises BusyError.
        """
        with self._writing() as db:
            pending, leased, seq = db.execute("SELECT pending, leased, seq FROM state").fetchone()
            before = pending, seq
            outcomes = []
            for row in rows:
                found = db.execute(f"SELECT {_COLUMNS} FROM pending WHERE {_SAME}", row[:2]).fetchone()
                if found is not None:
                    outcomes.append(_replace(db, QueueRow._make(found), row))
                elif pending + leased >= size_max:
                    outcomes.append(FULL)
                else:
                    seq += 1
                    pending += 1
                    db.execute(_INSERT_PENDING, row._replace(seq=seq, attempts=0))
                    outcomes.append(QUEUED)
            if (pending, seq) != before:
                db.execute("UPDATE state SET pending = ?, seq = ?", (pending, seq))
        return outcomes

    def take(self, limit: int, lease_s: float) -> tuple[int, list[QueueRow]]:
        """Leases rows to this process: those of the highest lane first, and in a lane those that have waited longest. A path that
        is on lease is left out. Before that, leases that are over, or whose process is dead, are given back.

        Args:
            limit: the most rows, at least 1.
            lease_s: seconds after which the lease ends by itself.

        Returns the token of the lease, which is above every earlier one, and the rows; (0, []) if there are none.

        Raises BusyError.
        """
        now = self._clock()
        with self._using() as db:
            pending, leased = db.execute("SELECT pending, leased FROM state").fetchone()
            dead = [
                (owner, identity)
                for owner, identity in db.execute("SELECT id, identity FROM owner WHERE id != ?", (self._owner,))
                if not _alive(identity)
            ]
            ended = leased and db.execute("SELECT 1 FROM leased WHERE until <= ? LIMIT 1", (now,)).fetchone()
        if not pending and not ended and not dead:
            return 0, []
        with self._writing() as db:
            for owner, identity in dead:
                if _is_of_this_boot(identity):
                    self._end_owner(db, owner)
                else:  # what is to wait until a time waits by a clock that began again
                    self._give_back(db, "owner = ?", (owner,))
                    db.execute("DELETE FROM owner WHERE id = ?", (owner,))
            if ended:
                self._give_back(db, "until <= ?", (now,))
            rows = [
                QueueRow._make(found)
                for found in db.execute(
                    f"SELECT {_COLUMNS} FROM pending AS p"
                    " WHERE NOT EXISTS (SELECT 1 FROM leased AS l WHERE l.path = p.path)"
                    " ORDER BY lane DESC, seq LIMIT ?",
                    (limit,),
                )
            ]
            if not rows:
                return 0, []
            token: int = db.execute("SELECT token FROM state").fetchone()[0] + 1
            db.executemany(_INSERT_LEASED, [(*row, token, self._owner, now + lease_s) for row in rows])
            db.executemany(f"DELETE FROM pending WHERE {_SAME}", [row[:2] for row in rows])
            db.execute("UPDATE state SET pending = pending - ?, leased = leased + ?, token = ?", (len(rows), len(rows), token))
        return token, rows

    def ack(self, keys: Iterable[tuple[bytes, bool, int | None]]) -> list[bool]:
        """Ends leases for good.

        Args:
            keys: (path, directory, token) of leased rows, with the token that `take` gave. None as the token means whatever lease
                this process has on the path.

        Returns for each key, in order, whether the row was still on that lease. If not, it was handed out again, or will be.

        Raises BusyError.
        """
        done = []
        with self._writing() as db:
            for path, directory, token in keys:
                condition, values = self._mine(path, directory, token)
                done.append(db.execute(f"DELETE FROM leased WHERE {condition}", values).rowcount == 1)
            db.execute("UPDATE state SET leased = leased - ?", (sum(done),))
        return done

    def nack(self, keys: Iterable[tuple[bytes, bool, int | None]], retry_s: float) -> list[bool]:
        """Ends leases without success. The rows are handed out again, `retry_s` seconds from now at the earliest, at their old
        places in the line. Keys and result are those of `ack`.

        Raises BusyError.
        """
        done = []
        until = self._clock() + retry_s
        with self._writing() as db:
            for path, directory, token in keys:
                condition, values = self._mine(path, directory, token)
                if retry_s > 0:
                    # The token goes: nobody has the lease any more, it only keeps the path back.
                    held = db.execute(f"UPDATE leased SET until = ?, token = -1 WHERE {condition}", (until, *values))
                    done.append(held.rowcount == 1)
                else:
                    done.append(self._give_back(db, condition, values) == 1)
        return done

    def sizes(self) -> tuple[int, int]:
        """How many rows wait, and how many are on lease or wait for a retry. Both are counted by the file, so this takes O(1)."""
        with self._using() as db:
            pending, leased = db.execute("SELECT pending, leased FROM state").fetchone()
        return pending, leased

    def close(self) -> None:
        """Gives back the leases of this process and closes the file. Does nothing if it is closed already.

        Raises BusyError: it is still open, so call `close` again.
        """
        if self._closed:
            return
        if self._pid == os.getpid():
            with self._writing() as db:
                self._end_owner(db, self._owner)
        with self._lock:
            self._closed = True
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _end_owner(self, db: sqlite3.Connection, owner: int) -> None:
        """Gives back what a process has on lease. What waits for a retry keeps waiting, whoever uses the file next, as long as
        the clock goes on: until the next boot."""
        self._give_back(db, "owner = ? AND token != -1", (owner,))
        if db.execute("SELECT 1 FROM leased WHERE owner = ? LIMIT 1", (owner,)).fetchone() is not None:
            found = db.execute("SELECT id FROM owner WHERE identity = ?", (_nobody(),)).fetchall()
            found = found or db.execute("INSERT INTO owner (identity) VALUES (?) RETURNING id", (_nobody(),)).fetchall()
            db.execute("UPDATE leased SET owner = ? WHERE owner = ?", (found[0][0], owner))
        db.execute("DELETE FROM owner WHERE id = ?", (owner,))

    def _mine(self, path: bytes, directory: bool, token: int | None) -> tuple[str, tuple[Any, ...]]:
        if token is None:
            return f"{_SAME} AND owner = ? AND token != -1", (path, directory, self._owner)
        return f"{_SAME} AND token = ?", (path, directory, token)

    def _give_back(self, db: sqlite3.Connection, condition: str, values: tuple[Any, ...]) -> int:
        """Makes leased rows pending again, at their old place in the line, one with what came since."""
        rows = [QueueRow._make(r) for r in db.execute(f"DELETE FROM leased WHERE {condition} RETURNING {_COLUMNS}", values)]
        added = 0
        for row in rows:
            row = row._replace(attempts=row.attempts + 1)
            found = db.execute(f"SELECT {_COLUMNS} FROM pending WHERE {_SAME}", row[:2]).fetchone()
            if found is None:
                db.execute(_INSERT_PENDING, row)
                added += 1
                continue
            since = QueueRow._make(found)
            older, newer = (row, since) if since.timestamp >= row.timestamp else (since, row)
            merged = newer._replace(
                kind=combine(older.kind, newer.kind),
                lane=max(row.lane, since.lane),
                seq=row.seq,
                attempts=row.attempts,
            )
            _update(db, merged)
        if rows:
            db.execute("UPDATE state SET pending = pending + ?, leased = leased - ?", (added, len(rows)))
        return len(rows)


def _remedy(error: sqlite3.Error) -> str:
    """What to do about what SQLite says, by its primary result code (sqlite.org/rescode.html)."""
    match getattr(error, "sqlite_errorcode", 0) & 0xFF:
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return "another process holds it in a transaction: find out which one, and try again"
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
            return "the file is damaged: move it away; what it held is lost"
        case sqlite3.SQLITE_FULL | sqlite3.SQLITE_IOERR | sqlite3.SQLITE_READONLY | sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_PERM:
            return "check the free space of the disk, and the permissions of the file and its directory"
    return "a defect of shardwatch"


def _replace(db: sqlite3.Connection, old: QueueRow, new: QueueRow) -> int:
    """A newer state takes the place of a pending one, and keeps its place in the line: a busy path must not starve."""
    if new.timestamp < old.timestamp:
        return DUPLICATE
    merged = new._replace(kind=combine(old.kind, new.kind), lane=max(old.lane, new.lane), seq=old.seq, attempts=old.attempts)
    if merged == old:
        return DUPLICATE
    _update(db, merged)
    return QUEUED


def _update(db: sqlite3.Connection, row: QueueRow) -> None:
    db.execute(_UPDATE_PENDING, (*row[2:], *row[:2]))


def _create(path: Path) -> None:
    """Makes an empty file of mode 0600 unless there is one.

    Never opens one that is there: closing it would drop the locks that SQLite holds on it for this process (fcntl(2)).
    """
    if path.exists():
        return
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
    try:
        os.link(temporary, path)
    except FileExistsError:
        pass
    finally:
        temporary.unlink()


def _make_schema(db: sqlite3.Connection, path: Path) -> None:
    """Makes the tables in an empty file. Raises UsageError, and changes nothing, where the file is not ours."""
    db.execute("BEGIN IMMEDIATE")
    try:
        application = db.execute("PRAGMA application_id").fetchone()[0]
        version = db.execute("PRAGMA user_version").fetchone()[0]
        tables = db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if application == 0 and version == 0 and tables == 0:
            for statement in _SCHEMA.split(";\n"):
                if statement.strip():
                    db.execute(statement)
            db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        elif application != APPLICATION_ID:
            raise UsageError(f"{path} is another program's database", hint="give another path")
        elif version != SCHEMA_VERSION:
            raise UsageError(
                f"{path} is a queue of format {version}, this program writes {SCHEMA_VERSION}",
                hint="empty it with the version that made it, or give another path",
            )
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def _use_wal(db: sqlite3.Connection) -> None:
    """Switching a new file to WAL needs it alone, and SQLite does not always wait for that by itself."""
    deadline = time.monotonic() + OPEN_BUSY_S
    while True:
        try:
            db.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError:
            if time.monotonic() >= deadline:
                raise
            time.sleep(0.005)


#: Every open store of this process, and what guards the set and a fork in progress.
_stores: weakref.WeakSet[QueueStore] = weakref.WeakSet()
_fork_lock = threading.Lock()
_forking: list[QueueStore] = []


def _before_fork() -> None:
    _fork_lock.acquire()
    _forking[:] = _stores
    for store in _forking:
        store.before_fork()


def _after_fork() -> None:
    for store in _forking:
        store.after_fork()
    _forking.clear()
    _fork_lock.release()


os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork)


def _identity(pid: int | None = None) -> str:
    """Names a life of a process: boot, name space of pids, pid, and when it started. Fields unknown are `-`."""
    pid = os.getpid() if pid is None else pid
    return " ".join((_boot(), _pid_space(), str(pid), _started(pid)))


def _nobody() -> str:
    """Names no process, but this boot: of what belongs to nobody it is known whether its times are those of the present clock."""
    return f"{_boot()} - 0 -"


def _is_of_this_boot(identity: str) -> bool:
    return identity.split(" ")[0] == _boot()


def _alive(identity: str) -> bool:
    """Whether that life may still go on. True where it can't be told: then only the end of the lease frees it."""
    boot, space, pid, started = identity.split(" ")
    if boot != _boot():
        return False
    if space != _pid_space():
        return True
    if started != "-":
        return _started(int(pid)) == started
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except OSError:
        return "-"


def _pid_space() -> str:
    try:
        return Path("/proc/self/ns/pid").readlink().name
    except OSError:
        return "-"


def _started(pid: int) -> str:
    """Field 22 of /proc/PID/stat, start in clock ticks since boot (proc(5)); `-` if there is no living such process."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return "-"
    return "-" if fields[0] in (b"Z", b"X") else fields[19].decode("ascii")
