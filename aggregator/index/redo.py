"""The redo file: what was committed since the database was, to be done again after a crash.

A commit of changes all over the tree writes nearly as many pages of the database as there are changes, and the next one writes
most of them again. So while there is much to do, commits of the database are deferred (`deferring`), and each transaction only
adds its statements to the redo file, which is beside the database (`index.db-redo`). They come to some hundred bytes a change.

Each commit of the database stores a new random name. A transaction in the redo file bears the name of the commit that it follows,
so what is there of an earlier commit, or of another database, is no part of it. A checksum over it and all that is before it
shows where the file ends, whatever a crash has left behind that place.

A transaction is stored as the statements themselves, in SQL, so whatever version reads the file can run them before it brings the
database to a newer schema.
"""

from __future__ import annotations

import os
import sqlite3
import struct
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final
from zlib import crc32

import msgspec

from shardwatch.shard.contract.state.directory import StateDirectory

#: What follows the name of a database in the name of its redo file.
SUFFIX: Final = "-redo"
#: Name of the commit that a transaction follows, its length, and the checksum of these, of the transaction and of all before it.
_HEAD: Final = struct.Struct("<qII")
_NAMED: Final = struct.Struct("<qI")
#: A transaction beyond that is not written here, so a length beyond that is none.
BYTES_MAX: Final = 16 << 20

#: A statement and its rows of parameters. Everything that it does follows from them and from what is in the database.
Write = tuple[str, Sequence[Sequence[Any]]]
_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(list[tuple[str, list[list[Any]]]]).decode


class RedoFile:
    """The redo file of an index, which is made if there is none. Owned by one thread.

    Args:
        path: of the database.
        sync: called with a descriptor of the file after each transaction that is written; None: nothing is, since a crash of the
            machine may take what was committed.

    Raises OSError where it can't be opened, UsageError for what is no file of ours.
    """

    def __init__(self, path: Path, sync: Callable[[int], object] | None) -> None:
        self._sync = sync
        self._fd = -1
        with StateDirectory(path.parent) as state:
            new = state.identity_of(path.name + SUFFIX) is None
            self._fd = state.open(path.name + SUFFIX, os.O_RDWR | os.O_CREAT)
            if new and sync is not None:
                os.fsync(state.fd)
        self.begin_anew()

    def __del__(self) -> None:
        self.close()

    def begin_anew(self) -> None:
        """Nothing in it counts any more: the database has been committed under another name."""
        self._end = 0
        self._crc = 0

    def append(self, name: int, writes: Sequence[Write]) -> bool:
        """Writes a transaction that follows the commit `name`. Returns whether it is there; if not, nothing is, and the caller
        commits the database. Blocks for as long as `sync` does.
        """
        body = _encode(writes)
        if self._end + len(body) > BYTES_MAX:
            return False
        crc = self._checksum(name, body)
        try:
            _write(self._fd, _HEAD.pack(name, len(body), crc) + body, self._end)
            if self._sync is not None:
                self._sync(self._fd)
        except OSError:  # as when the disk is full: the commit of the database says so, if that is refused, too
            return False
        self._end += _HEAD.size + len(body)
        self._crc = crc
        return True

    def _checksum(self, name: int, body: bytes) -> int:
        return crc32(body, crc32(_NAMED.pack(name, len(body)), self._crc))

    def transactions(self, name: int) -> Iterator[list[tuple[str, list[list[Any]]]]]:
        """What follows the commit `name`, in order. Raises OSError."""
        self.begin_anew()
        while True:
            head = os.pread(self._fd, _HEAD.size, self._end)
            if len(head) < _HEAD.size:
                return
            follows, length, crc = _HEAD.unpack(head)
            if follows != name or length > BYTES_MAX:
                return
            body = os.pread(self._fd, length, self._end + _HEAD.size)
            if len(body) < length or self._checksum(name, body) != crc:
                return
            self._end += _HEAD.size + length
            self._crc = crc
            yield _decode(body)

    def empty(self) -> None:
        """Gives its room on the disk back. Call it when the database has everything. Raises OSError."""
        os.ftruncate(self._fd, 0)
        self.begin_anew()

    def close(self) -> None:
        """Idempotent."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)


def _write(fd: int, data: bytes, at: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(fd, view, at)
        view, at = view[written:], at + written


def new_name() -> int:
    """A random name for a commit of the database."""
    return int.from_bytes(os.urandom(7), "little") + 1


def redo(db: Any, file: RedoFile, name: int) -> int:
    """Does what follows the commit `name` again, and commits it, if there is anything. Returns how many transactions there were.

    Killed at any point, it leaves the database as it was or with all of it. Raises sqlite3.Error.
    """
    done = 0
    try:
        for writes in file.transactions(name):
            if not done:
                db.execute("BEGIN IMMEDIATE")
            done += 1
            for sql, rows in writes:
                db.executemany(sql, rows)
    except OSError as error:
        raise sqlite3.OperationalError(f"the redo file of the index can't be read: {error.strerror}") from error
    except msgspec.MsgspecError as error:
        raise sqlite3.DatabaseError("the redo file of the index is damaged") from error
    if done:
        db.execute("UPDATE state SET redo=?", (new_name(),))
        db.execute("COMMIT")
    file.begin_anew()
    return done
