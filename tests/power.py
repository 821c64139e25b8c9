"""A disk whose power can be cut: what was written since the last sync of a file is lost then, and so are files never synced.

It is a VFS shim (apsw). The stdlib's sqlite3 has a SQLite of its own that knows nothing of it, so `connect` gives the code
under test a connection of apsw's that answers like sqlite3's: the very SQL of the code runs on it. Only one thing is added: an
exclusive lock, because a VFS in Python has no shared memory, without which WAL needs that.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import apsw


class Disk:
    """All databases in one directory."""

    def __init__(self, directory: Path, *, syncs: Callable[[str], bool] = lambda path: True) -> None:
        """`syncs`: whether a sync of this file really happens."""
        self.directory = directory
        self.syncs = syncs
        #: What is left of each file when the power is cut now.
        self.durable: dict[str, bytes] = {}
        self.synced = 0
        #: Files that are deleted, which is durable with the next sync of any file (as filesystems order it), or of the directory.
        self._deleted: set[str] = set()
        self._dead = False
        self._name = f"power-{id(self)}"
        self._vfs = _Vfs(self._name, self)
        self._connections: list[Connection] = []

    def connect(self, path: Path) -> Connection:
        """In place of sqlite3.connect."""
        connection = Connection(apsw.Connection(str(path), vfs=self._name))
        connection.execute("PRAGMA locking_mode=EXCLUSIVE")
        self._connections.append(connection)
        return connection

    def cut(self) -> None:
        """The power fails: whoever has a file open is dead, and finds what is left at the next start."""
        self._dead = True
        for connection in self._connections:
            connection.close()
        self._connections = []
        for path in self.directory.iterdir():
            path.unlink()
        for name, content in self.durable.items():
            Path(name).write_bytes(content)
        self._deleted.clear()
        self._dead = False

    def close(self) -> None:
        for connection in self._connections:
            connection.close()
        self._vfs.unregister()

    # -- what the files tell

    def sync(self, path: str) -> None:
        if not self._dead and self.syncs(path):
            self.synced += 1
            self._forget()
            self.durable[path] = Path(path).read_bytes()

    def sync_descriptor(self, fd: int) -> None:
        """In place of os.fdatasync, for a file that is no database."""
        os.fdatasync(fd)
        self.sync(os.readlink(f"/proc/self/fd/{fd}"))

    def delete(self, path: str, durable: bool) -> None:
        if not self._dead:
            self._deleted.add(path)
            if durable:
                self._forget()

    def _forget(self) -> None:
        for path in self._deleted:
            self.durable.pop(path, None)
        self._deleted.clear()


class _Vfs(apsw.VFS):
    def __init__(self, name: str, disk: Disk) -> None:
        self._disk = disk
        super().__init__(name, "")

    def xOpen(self, name: Any, flags: list[int]) -> Any:
        return _File(name, flags, self._disk)

    def xDelete(self, filename: str, syncdir: bool) -> None:
        super().xDelete(filename, syncdir)
        self._disk.delete(filename, syncdir)


class _File(apsw.VFSFile):
    def __init__(self, name: Any, flags: list[int], disk: Disk) -> None:
        self._disk = disk
        self._path = os.fspath(name.filename() if isinstance(name, apsw.URIFilename) else name)
        super().__init__("", name, flags)

    def xSync(self, flags: int) -> None:
        super().xSync(flags)
        self._disk.sync(self._path)


class Connection:
    """apsw's connection as sqlite3's."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection

    @property
    def in_transaction(self) -> bool:
        return bool(self._connection.in_transaction)

    @property
    def total_changes(self) -> int:
        return int(self._connection.total_changes())

    def execute(self, sql: str, arguments: Sequence[Any] = ()) -> Cursor:
        rows = list(self._connection.execute(sql, arguments))
        return Cursor(rows, self._connection.last_insert_rowid(), self._connection.changes())

    def executemany(self, sql: str, arguments: Sequence[Sequence[Any]]) -> None:
        for _ in self._connection.executemany(sql, arguments):
            pass

    def executescript(self, script: str) -> None:
        self.execute(script)

    def close(self) -> None:
        self._connection.close(True)


class Cursor:
    """The whole result."""

    def __init__(self, rows: list[Any], lastrowid: int, rowcount: int) -> None:
        self._rows = iter(rows)
        self.lastrowid = lastrowid
        self.rowcount = rowcount

    def __iter__(self) -> Iterator[Any]:
        return self._rows

    def fetchone(self) -> Any:
        return next(self._rows, None)

    def fetchall(self) -> list[Any]:
        return list(self._rows)
