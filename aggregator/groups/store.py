"""Groups on disk: `groups.db`, SQLite in WAL mode. It survives the index: positions are ticks of a named incarnation.

What `commit` has written survives the death of any process. With durability `process` (synchronous=NORMAL), a loss of
power may undo the last commits of this file and of the index. It is then not known what was handed out, so `lost_power`
says that every group must begin afresh. With `power` (synchronous=FULL) nothing is lost.

Not thread-safe; one process opens it (the aggregator, under its lock).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..index.schema import BUSY_S
from ..storage.damage import damaged, set_aside
from . import tables
from .group import ATTEMPTS_MAX, Group
from .journal import GroupChanged
from .record import DeadLetterRecord
from .schema import open_groups


def boot_id() -> str:
    """The identity of this boot of the machine, or "" if the system does not provide one."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except OSError:
        return ""


class GroupStore:
    """The file, with at most one open transaction, which the next commit ends."""

    def __init__(
        self,
        path: Path | str,
        *,
        durability: str = "process",
        boot: str | None = None,
        connect: Callable[[Path], Any] | None = None,
    ) -> None:
        """Opens or makes the file. A damaged file is renamed to NAME.damaged-N, a new one is made, and `notes` reports it.

        `connect` opens the file; by default sqlite3 does.

        Raises ShardwatchError if the file belongs to a newer version, and sqlite3.OperationalError if the disk refuses.
        """
        self._connect = connect or (lambda path: sqlite3.connect(path, isolation_level=None, timeout=BUSY_S))
        self.path = Path(path)
        #: What the user should know, one line for each fact. It is shown in `status`.
        self.notes: list[str] = []
        self._durability = durability
        try:
            self._db = open_groups(self.path, durability, self._connect)
        except sqlite3.DatabaseError as error:
            if not damaged(error):
                raise
            self._db = self._begin_anew(str(error))
        boot = boot_id() if boot is None else boot
        known, clean = self.meta("boot"), self.meta("clean") == "1"
        #: The machine has been booted since: no worker of that time is alive, and its `due` times have no meaning.
        self.rebooted = known is not None and known != boot
        #: The last commits may be missing.
        self.lost_power = self.rebooted and not clean and durability != "power"
        #: Which opening of the databases wrote it last (`storage.lives`), or "" if it is new or comes from an older version.
        self.life = self.meta("life") or ""
        #: Why every group must begin afresh, or "" if they continue.
        self.restored = ""
        self.set_meta("boot", boot)
        self.set_meta("clean", "0")
        self.commit()

    def _begin_anew(self, why: str) -> Any:
        """Renames a damaged file, which is already closed, and makes a new one."""
        aside = set_aside(self.path)
        self.notes.append(f"the groups were lost: {self.path.name} was damaged ({why}) and is kept as {aside.name}")
        return open_groups(self.path, self._durability, self._connect)

    def set_aside(self, why: str) -> None:
        """Renames a damaged file and makes a new one, without groups."""
        self._db.close()
        self._db = self._begin_anew(why)
        if self.life:
            self.begin_life(self.life, "")

    def meta(self, name: str) -> str | None:
        row = self._db.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return None if row is None else str(row[0])

    def set_meta(self, name: str, value: str) -> None:
        self._begin()
        self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, value))

    def begin_life(self, life: str, restored: str) -> None:
        """Stores the name of the service's new life. `restored`: why it is not known what was handed out before, else ""."""
        self.set_meta("life", life)
        self.commit()
        self.life, self.restored = life, restored

    def checkpoint_life(self) -> None:
        """Moves the name of the life from the log to the file. Call it outside of a transaction."""
        self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def _begin(self) -> None:
        if not self._db.in_transaction:
            self._db.execute("BEGIN IMMEDIATE")

    def commit(self) -> None:
        """Makes everything since the last commit durable. If it raises sqlite3.Error, nothing of it is durable."""
        if self._db.in_transaction:
            self._db.execute("COMMIT")

    def rollback(self) -> None:
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")

    def close(self) -> None:
        """Commits, notes that the service ended cleanly, and closes the file. Idempotent."""
        try:
            self.set_meta("clean", "1")
            self.commit()
        except sqlite3.ProgrammingError:
            return
        finally:
            self._db.close()

    def abandon(self) -> None:
        """Closes the file without a commit, as SIGKILL would, for a disk that refuses writes. Idempotent."""
        self._db.close()

    # -- groups -----------------------------------------------------------------------------------------------------

    def write(self, group: Group, wall: float = 0.0) -> None:
        """Writes the group's journal into the open transaction. Nothing is durable before `commit`.

        `wall`: when what is written happened, seconds since 1970.
        """
        entries = group.journal.take()
        if not entries:
            return
        self._begin()
        row_changed = False
        for entry in entries:
            if isinstance(entry, GroupChanged):
                row_changed = True
            else:
                tables.write(self._db, group.key, entry, wall)
        if row_changed:  # written once, however many entries say so
            tables.write_group(self._db, group.row())

    def drop(self, key: int) -> None:
        """Removes a group, in the open transaction."""
        self._begin()
        tables.delete(self._db, key)

    def known(self) -> list[int]:
        """Keys of all groups."""
        return tables.keys(self._db)

    def load(self, key: int, attempts_max: int = ATTEMPTS_MAX) -> Group | None:
        """The group as it was last committed, or None. Raises msgspec.DecodeError or ValueError if it can't be read."""
        record = tables.read(self._db, key)
        return None if record is None else Group(record, attempts_max)

    def dead_letters(self, key: int, place: bytes, after: bytes, most: int) -> list[DeadLetterRecord]:
        """What `Registry.dead_letters` gives, of the group with that key."""
        return tables.dead_letters(self._db, key, place, after, most)
