"""Distinguishes a damaged database from a disk that refuses. A damaged database is set aside, and never overwritten.

Used by the modules that open a database, and by `main`, which decides. It reads and renames files, and never writes
into a database.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
import struct
from collections.abc import Callable, Collection, Iterator
from itertools import count
from pathlib import Path
from typing import Any, Final, NamedTuple

from shardwatch.shard.contract.causes import CANTOPEN, IOERR, READONLY, STATE, Cause, cause, database_cause
from shardwatch.shard.contract.process.life import is_absent

#: Steps of SQLite's machine between two calls of `on_progress`.
_STEPS: Final = 100_000


#: What Python's module says of text that is not UTF-8, without an error code.
_NO_TEXT: Final = "Could not decode to UTF-8"
#: What else comes of a damaged database: a column holds what none of ours does, and whoever reads it stumbles over that. Where
#: `examine` finds nothing wrong, it is a fault of the program.
STUMBLES: Final = (
    sqlite3.Error, TypeError, ValueError, ArithmeticError, LookupError, AttributeError, AssertionError, struct.error,
)  # fmt: skip
#: All tables but SQLite's own, whose columns have no types: ANALYZE makes some.
_TABLES: Final = "SELECT name FROM sqlite_master WHERE type='table' AND name NOT LIKE 'sqlite^_%' ESCAPE '^'"
#: What the names of the files beside a database end with.
_COMPANIONS: Final = ("-wal", "-shm", "-redo")
#: Declared type -> what SQLite calls the type of a value of such a column.
_TYPES: Final = {"INTEGER": "'integer'", "REAL": "'real','integer'", "TEXT": "'text'", "BLOB": "'blob'"}

#: errno of a disk that is full or can't be written.
DISK_ERRORS: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES})


class Refusal(NamedTuple):
    """The databases cannot be used now, for a reason that will pass or that somebody can remove. The text is for people."""

    message: str
    remedy: str


class MovedError(sqlite3.OperationalError):
    """The open file does not have its name any more, so whatever is written would be lost."""


def damaged(error: sqlite3.Error) -> bool:
    """Whether the error means that the content of the file is wrong, so that waiting does not help. A disk that refuses (full,
    read-only, failing) is an OperationalError. An unexpected duplicate is a symptom of a damaged index. So is a statement that
    does not suit the tables, since ours do: the text that describes them is damaged; and text that is not UTF-8.
    """
    if type(error) in (sqlite3.DatabaseError, sqlite3.IntegrityError):
        return True
    unsuited = getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_ERROR
    return isinstance(error, sqlite3.OperationalError) and (unsuited or str(error).startswith(_NO_TEXT))


def refusal(error: sqlite3.Error | OSError, state_dir: Path) -> Refusal:
    """How to report an error that is not damage."""
    where = f"the state directory {state_dir}"
    if is_absent(state_dir):
        return Refusal(f"{where} is gone", "start the service again; groups and index are made anew")
    if isinstance(error, MovedError):
        return Refusal(str(error), "nothing: it is opened anew")
    origin = error if isinstance(error, OSError) else error.__cause__
    if isinstance(origin, OSError):
        why = cause(origin, STATE)
    else:
        why = database_cause(getattr(error, "sqlite_errorcode", 0), str(error))
    if why in _VAGUE:
        why = _why_not_writable(state_dir) or why
    remedy = why.remedy if why.remedy.startswith("nothing") else f"{why.remedy}; the service then goes on by itself"
    if why == _FULL:
        return Refusal(f"the disk of {where} is full", remedy)
    return Refusal(f"{where} can't be {'written' if why in _UNWRITABLE else 'used'}: {why.what}", remedy)


def _state(number: int) -> Cause:
    return cause(OSError(number, ""), STATE)


_FULL: Final = _state(errno.ENOSPC)
#: Bytes: a disk with less room is full. SQLite makes the file beside a log (-shm) longer by 32 KiB at once, and says "disk I/O
#: error" if it can't, though smaller writes may still find room.
_ROOM_MIN: Final = 64 << 10
#: SQLite says "disk I/O error" of some writes for which there is no room, and "can't be written" without saying why.
_VAGUE: Final = (database_cause(IOERR, ""), database_cause(READONLY, ""), database_cause(CANTOPEN, ""))
_UNWRITABLE: Final = (
    *map(_state, (errno.EROFS, errno.EACCES, errno.EPERM, errno.EDQUOT, errno.EFBIG)), database_cause(READONLY, ""),
)  # fmt: skip


def _why_not_writable(state_dir: Path) -> Cause | None:
    """The error of writing to the directory itself; None if it can be written."""
    try:
        found = os.statvfs(state_dir)
    except OSError as error:
        return cause(error, STATE)
    if found.f_bavail * found.f_frsize < _ROOM_MIN:
        return _FULL
    if found.f_flag & os.ST_RDONLY:
        return _state(errno.EROFS)
    return None if os.access(state_dir, os.W_OK) else _state(errno.EACCES)


@contextlib.contextmanager
def progress(db: Any, on_progress: Callable[[], None]) -> Iterator[None]:
    """Calls `on_progress` now and then within statements that may read millions of rows (not with every opener's connections)."""
    tell = getattr(db, "set_progress_handler", lambda handler, steps: None)
    tell(on_progress, _STEPS)
    try:
        yield
    finally:
        tell(None, 0)


def examine(path: Path, on_progress: Callable[[], None], or_bytes: Collection[str] = ()) -> str:
    """What is wrong inside a database; "" if nothing is, or if there is none. Reads all of it, so it may take long.

    Args:
        or_bytes: names of columns for integers that may hold bytes as well.

    Raises sqlite3.OperationalError if it cannot be read.
    """
    if not path.exists():
        return ""
    db = sqlite3.connect(path, isolation_level=None)
    try:
        with progress(db, on_progress):
            found = str(db.execute("PRAGMA integrity_check(1)").fetchone()[0])
            return unsuited(db, or_bytes) if found == "ok" else " ".join(found.split())
    except UnicodeDecodeError:  # SQLite quotes it
        return "the text that describes its tables is none"
    except sqlite3.DatabaseError as error:
        if not damaged(error):
            raise
        return str(error)
    finally:
        db.close()


def unsuited(db: sqlite3.Connection, or_bytes: Collection[str]) -> str:
    """The first column that holds a value of another type than its own, or text that is not UTF-8; "" if there is none. SQLite
    takes any value in any column. `or_bytes`: as of `examine`.

    Raises sqlite3.Error, and UnicodeDecodeError where the names of tables are damaged.
    """
    usual, db.text_factory = db.text_factory, bytes
    try:
        for (name,) in db.execute(_TABLES).fetchall():
            if wrong := _unsuited_in(db, name.decode(), or_bytes):
                return f"{name.decode()}.{wrong}"
        return ""
    finally:
        db.text_factory = usual


def _unsuited_in(db: sqlite3.Connection, table: str, or_bytes: Collection[str]) -> str:
    """The same of one table: the column, and what is wrong with it."""
    cases, texts = "", []
    for _, name, type_, not_null, _, key in db.execute(f'PRAGMA table_info("{table}")').fetchall():
        column, allowed = name.decode(), _TYPES.get(type_.decode())
        if allowed is None:
            return f"{column} is of a type that is none of ours"
        allowed += ",'blob'" if column in or_bytes else ""
        allowed += "" if not_null or key else ",'null'"
        cases += f""" WHEN typeof("{column}") NOT IN ({allowed}) THEN '{column}'"""
        texts += [column] if type_ == b"TEXT" else []
    found = db.execute(f'SELECT CASE{cases} END AS wrong FROM "{table}" WHERE wrong IS NOT NULL LIMIT 1').fetchone()
    if found is not None:
        return f"{found[0].decode()} holds a value of another type"
    for column in texts:
        if not all(map(_is_text, db.execute(f'SELECT "{column}" FROM "{table}"'))):
            return f"{column} holds text that is not UTF-8"
    return ""


def _is_text(row: tuple[bytes | None]) -> bool:
    try:
        (row[0] or b"").decode()
    except UnicodeDecodeError:
        return False
    return True


def set_aside(path: Path) -> Path:
    """Renames a damaged database and its companions to the first `.damaged-N` of which nothing is there: also no companion, as
    where a kill came in between before.

    The database itself is renamed last, because a new database beside an old log would take that log for its own.
    """
    names = (path.with_name(f"{path.name}.damaged-{n}") for n in count(1))
    aside = next(name for name in names if not any(_beside(name, suffix).exists() for suffix in ("", *_COMPANIONS)))
    for suffix in _COMPANIONS:
        if _beside(path, suffix).exists():
            _beside(path, suffix).rename(_beside(aside, suffix))
    path.rename(aside)
    return aside


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)
