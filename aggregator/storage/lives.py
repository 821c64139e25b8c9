"""Decides whether index.db and groups.db are the files that were in use last. A copy, or a backup that was put back, is
not.

After a backup is put back, nobody knows what was handed to consumers since the backup was made. A file that was handed
out and deleted since then would stay in their mirrors for good. So databases that were copied or restored begin with
another incarnation, and every group is told `fresh`.

Each opening of the databases is a *life* with a random name. Both databases and `life.json` contain the name. life.json
is a new file each time. It contains its own inode number and time of birth, and those of the databases. It follows that

- a copy of the directory, or a directory that was restored whole, has a life.json that is another file than its
  contents say;
- so has a directory that was restored in place, over the files of a later life;
- a database that was restored alone belongs to another life than life.json, or is another file than life.json says;
- if a log (`-wal`) was removed after a life that did not end properly, this is noticed, because such a life leaves a
  log; and so it is with the redo file of the index (`-redo`), which life.json knows as it knows the databases.

Two cases cannot be recognised: a backup that was made while the service ran and is put back in place, byte over byte,
after a crash of the same life; and a whole filesystem or machine that was put back to a snapshot. docs/state.md
says what to do then.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from shardwatch.shard.contract.errors import UsageError
from shardwatch.shard.contract.files.birth import origin
from shardwatch.shard.contract.process.life import is_absent
from shardwatch.shard.contract.state.contents import REDO
from shardwatch.shard.contract.state.directory import StateDirectory

FILE: Final = "life.json"
INDEX: Final = "index.db"
GROUPS: Final = "groups.db"
#: Opens a file without reading it; closing such a descriptor leaves locks alone.
_LOCKLESS: Final = getattr(os, "O_PATH", os.O_RDONLY)
_COPIED: Final = "the state directory was copied, or restored from a backup"


class Life(msgspec.Struct, frozen=True):
    """What life.json says."""

    life: str
    #: The name of the next life. A database with this name belongs to this directory too, if the next life ended right at its
    #: beginning.
    next: str
    #: (inode, birth in ns) of life.json itself, and of each database and the redo file.
    own: tuple[int, int]
    files: dict[str, tuple[int, int]]
    #: Names of all groups: they are told `fresh` where both databases are lost.
    groups: list[str] = []
    #: The databases were being closed in order, so their logs may be gone since then.
    closing: bool = False


class DatabaseLife(NamedTuple):
    """What a database says of itself."""

    #: Of which life it is; "" where it was made by a version that knew of none.
    life: str
    #: It was made just now: nothing is known about it, and what was in its place is lost.
    new: bool


class Lives:
    """Created before the databases are opened, and asked after they are open. Not thread-safe.

    Raises sqlite3.OperationalError if the disk refuses, and UsageError if life.json is not one of our files.
    """

    def __init__(self, state_dir: Path, logs: set[str]) -> None:
        """`logs`: databases whose log this process has seen; they are added to it. A log that is gone later has gone with a
        closing.
        """
        self._state_dir = state_dir
        self._file = state_dir / FILE
        self._logs = logs
        self._known: Life | None = None
        self._readable = True
        self._life: Life | None = None
        self._missing = False
        try:
            with StateDirectory(state_dir) as state:
                logs.update(name for name in (INDEX, GROUPS) if state.identity_of(f"{name}-wal") is not None)
                self._origins = {name: _origin(state, name) for name in (FILE, INDEX, GROUPS, REDO)}
                with contextlib.suppress(FileNotFoundError):
                    self._known = msgspec.json.decode(state.read(FILE), type=Life)
        except msgspec.MsgspecError:
            self._readable = False
        except OSError as error:
            raise sqlite3.OperationalError(f"{state_dir}: {error.strerror}") from error

    def doubt(self, index: DatabaseLife, groups: DatabaseLife) -> str:
        """Why groups cannot continue at their positions; "" if they can. A database that was made just now has no positions, so
        it is not considered.
        """
        known = self._known
        if known is None:
            older = self._readable and index.life == groups.life == ""
            return "" if older or (index.new and groups.new) else f"{FILE} was removed, or can't be read"
        if known.own != self._origins[FILE]:
            return _COPIED
        for name, found in ((INDEX, index), (GROUPS, groups)):
            if found.new:
                continue
            if found.life not in (known.life, known.next) or known.files.get(name) != self._origins[name]:
                return f"{name} was restored from a backup"
            if not known.closing and name not in self._logs:
                return f"the log of {name} was removed"
        if not known.closing and not index.new and REDO in known.files and known.files[REDO] != self._origins[REDO]:
            return f"{REDO} was removed, or restored from a backup"
        return ""

    def groups(self) -> list[str]:
        """Groups that there were in the last life."""
        return self._known.groups if self._known is not None else []

    def name(self, doubt: str) -> str:
        """Name of the life that begins now; `begin` follows once both databases hold it."""
        return self._known.next if self._known is not None and not doubt else os.urandom(16).hex()

    def begin(self, name: str, groups: Iterable[str]) -> None:
        """Writes life.json for a life that both databases hold, with the names of all groups that there are."""
        self._logs.update((INDEX, GROUPS))  # they are open
        with StateDirectory(self._state_dir) as state:
            files = {database: found for database in (INDEX, GROUPS, REDO) if (found := _origin(state, database)) is not None}
        self._write(Life(name, os.urandom(16).hex(), (0, 0), files, sorted(groups)))

    def closing(self) -> None:
        """Call before the databases are closed, in whatever way. If the disk refuses, the only consequence is a `fresh` later."""
        if self._life is not None and not self._life.closing:
            with contextlib.suppress(sqlite3.OperationalError, UsageError):
                self._write(msgspec.structs.replace(self._life, closing=True))

    def keep_groups(self, names: Iterable[str]) -> None:
        """Sets which groups exist now. This is written if it has changed."""
        groups = sorted(names)
        if self._life is not None and groups != self._life.groups:
            self._write(msgspec.structs.replace(self._life, groups=groups))

    def keep(self) -> None:
        """Writes life.json again if a cleaner has removed it. Call it at regular intervals. It is written only if it was also
        missing the last time, because the whole directory may be in the course of being removed.
        """
        missing = is_absent(self._file)
        if missing and self._missing and self._life is not None:
            self._write(self._life)
        self._missing = missing

    def _write(self, life: Life) -> None:
        def content(fd: int) -> bytes:
            nonlocal life
            life = msgspec.structs.replace(life, own=origin(fd))
            return msgspec.json.encode(life)

        try:
            with StateDirectory(self._state_dir) as state:
                state.write_new(FILE, content)
        except OSError as error:
            raise sqlite3.OperationalError(f"{self._file}: {error.strerror}") from error
        self._life = life


def _origin(state: StateDirectory, name: str) -> tuple[int, int] | None:
    """Inode and birth of a file; None where there is none.

    A descriptor that can read must not be used: closing it gives up every lock that this process has on the file (fcntl(2)),
    SQLite's too, and the next program that closes the database would take its log away from under us.
    """
    try:
        fd = state.open(name, _LOCKLESS)
    except FileNotFoundError:
        return None
    try:
        return origin(fd)
    finally:
        os.close(fd)
