"""Looks that are owed: at the other names of a file that was written by one name (their directories get no event), or on
request.

A debt is committed with the changes that caused it. It is paid by a look that began after them, because a look that was
in progress, or whose frame was on its way, may show an earlier state.

Some files have more names than are known, because a name is outside the tree, or was made and removed before it was
seen. Changes by these names give no hint. So the known names of such a file are looked at again at every sync, and at
regular intervals.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from typing import Any, Final, NamedTuple

from ..storage.damage import progress
from .file import IndexFile
from .pages import Pages

#: A look that is older than a debt by more than this was made after the wall clock was set back.
_STEP_NS: Final = 60 * 10**9
#: Files whose names are looked for in one turn: some 10 ms.
_SOUGHT_AT_ONCE: Final = 200
#: Files of which not every name is known that are gone through in one turn: some 50 ms.
_PARTLY_AT_ONCE: Final = 2_000
#: Names of a file from which on it is gone through only now and then.
_MANY_NAMES: Final = 100


class _State(NamedTuple):
    """The state of a file as one of its names shows it. The state with the latest time of change is the current one."""

    ctime_ns: int
    nlink: int
    size: int
    mtime_ns: int


class _Name(NamedTuple):
    """One name of a file, as its row has it."""

    state: _State
    directory: bytes
    name: bytes


class Debts:
    """The tables `owed` and `sought`, which are written in the transactions of the index. Each time is that of the wall clock, in
    ns, at which a look began.
    """

    def __init__(self, file: IndexFile, pages: Pages, wall_ns: Callable[[], int]) -> None:
        self._file = file
        self._db: Any = file.db
        self._pages = pages
        self.wall_ns = wall_ns
        #: directory -> name -> (first, last): the looks that made the debt.
        self.owed: dict[bytes, dict[bytes, tuple[int, int]]] = {}
        #: Whether more is owed, or less, than when it was last asked for (`asked`).
        self.changed = False
        #: (dev, ino) of files with many names that were gone through since the last beat, and of those that are to be: how many
        #: names it had where one is gone, and the last look that asked for it.
        self._expanded: set[tuple[int, int]] = set()
        self._later: dict[tuple[int, int], tuple[int, int]] = {}
        #: (dev, ino) of files of which not every name is known.
        self.partly: set[tuple[int, int]] = set()
        #: The same of those that are to be gone through, in that order, and from when on their names are to be looked at; and how
        #: many were gone through since the start.
        self._due: dict[tuple[int, int], int] = {}
        self.gone_through = 0
        #: The same of files whose names are looked for when all pages can be found by inode.
        self._sought: dict[tuple[int, int], tuple[int, int]] = {}
        self._load()
        if pages.inodes.used:
            self._load_partly()

    def _load_partly(self) -> None:
        """Reads all rows of files with several names, and puts off those that differ: seconds for millions."""
        sql = "SELECT dev, ino FROM entry WHERE nlink>1 AND kind<>0 GROUP BY ino, dev HAVING "
        with progress(self._db, self._file.on_progress):
            self.partly = set(self._db.execute(sql + "count(*) < max(nlink)").fetchall())
            differing = self._db.execute(sql + "min(ctime_ns) < max(ctime_ns)").fetchall()
        self._later = dict.fromkeys(differing, (0, self.wall_ns()))

    def _load(self) -> None:
        now = self.wall_ns()
        self.owed.clear()
        for path, name in self._db.execute("SELECT path, name FROM owed").fetchall():
            self.owed.setdefault(path, {})[name] = (now, now)
        for dev, ino, gone in self._db.execute("SELECT dev, ino, gone FROM sought").fetchall():
            self._sought[dev, ino] = (gone, now)

    def asked(self) -> None:
        """The shards have been asked for what is owed so far, as far as there was room in the replies."""
        self.changed = False

    def ask_again(self) -> None:
        """What the shards have been asked for may have been lost, or a sync waits for it from now on."""
        self.changed |= bool(self.owed)

    def owe(self, path: bytes, name: bytes) -> None:
        """Records, in the transaction of the index, that the owner of the directory must look at this name from now on."""
        self.add(path, name, self.wall_ns())

    def add(self, path: bytes, name: bytes, at: int, *, durable: bool = True) -> None:
        """Records that the owner of the directory must look at this name, by a look that begins after `at`.

        `durable`: False if the debt is found again after a crash without being stored.
        """
        names = self.owed.setdefault(path, {})
        if durable:  # even if it is owed already: that may not have been durable
            self._db.execute("INSERT OR IGNORE INTO owed VALUES (?, ?)", (path, name))
        first, last = names.get(name, (at, at))
        names[name] = (first, max(at, last))
        self.changed = True

    def add_names(self, inodes: Mapping[tuple[int, int], int], at: int) -> None:
        """Other names of these files (dev, ino) may show another state than their rows: their owners look again.

        Where a name is gone (its link count; else 0), all others are in doubt; else those that differ from the latest.
        """
        for file, gone in inodes.items():
            if gone == 1 and not self._had_others(file):
                self.partly.discard(file)
            elif not self._pages.inodes.complete:
                self._seek(file, gone, at)
            elif file in self._expanded:
                self._put_off(file, gone, at)
            else:
                self._expand(file, gone, at)

    def _had_others(self, file: tuple[int, int]) -> bool:
        """Whether any row says that the file has several names. If none does where one name is gone, it had only this one: what
        is there now is its new name, or a new file.
        """
        sql = "SELECT 1 FROM entry WHERE ino=? AND dev=? AND nlink>1 AND kind<>0"
        return self._db.execute(sql, (file[1], file[0])).fetchone() is not None

    def _seek(self, file: tuple[int, int], gone: int, at: int) -> None:
        """The names of a file are looked for later, by `search`, also after a crash."""
        before, last = self._sought.get(file, (0, at))
        self._sought[file] = (max(before, gone), max(last, at))
        self._db.execute("INSERT OR REPLACE INTO sought VALUES (?, ?, ?)", (*file, max(before, gone)))

    @property
    def searching(self) -> bool:
        """Whether there is something to do for `search`."""
        return bool(self._due) or self.unsure

    @property
    def unsure(self) -> bool:
        """Whether more may be owed than is known, because not every entry can be found by its inode yet."""
        inodes = self._pages.inodes
        return bool(self._sought) or (inodes.used and not inodes.complete)

    def search(self, begin: Callable[[], object], commit: Callable[[], object]) -> None:
        """A turn, and a transaction, of what follows from the first file with several names: all pages are made known by their
        inodes, and then the names of the files that were seen meanwhile are looked for. Where that is done, a turn of what
        `add_partly` has asked for.
        """
        if not self.unsure:
            self._go_through_partly()
            return
        begin()
        if not self._pages.inodes.complete:
            self._pages.index_inodes()
        else:
            some = list(islice(self._sought.items(), _SOUGHT_AT_ONCE))
            for file, (gone, at) in some:
                del self._sought[file]
                self.add_names({file: gone}, at)
            self._db.executemany("DELETE FROM sought WHERE dev=? AND ino=?", [file for file, _ in some])
        commit()

    def _put_off(self, file: tuple[int, int], gone: int, at: int) -> None:
        """A file with many names is gone through once between two calls of `expand`: each look at one of its names may ask for
        that, and there may be many a second.

        After a crash it is found again by rows that differ (`load_partly`); where only a name is gone, they need not, so one of
        the others is owed at once: it shows the change.
        """
        before, last = self._later.get(file, (0, at))
        self._later[file] = (max(before, gone), max(last, at))
        if gone and not before:
            sql = "SELECT d.path, e.name FROM entry e JOIN directory d ON d.id=e.dir WHERE e.ino=? AND e.dev=? AND e.kind<>0"
            for path, name in self._db.execute(sql + " AND e.directory=0 LIMIT 1", (file[1], file[0])).fetchall():
                self.add(path, name, at)

    def expand(self, begin: Callable[[], object], commit: Callable[[], object]) -> None:
        """Goes through the files that were put off. If there are any, this is a transaction of its own."""
        later, self._later = self._later, {}
        self._expanded.clear()
        if later:
            begin()
            for file, (gone, at) in later.items():
                self._file.on_progress()
                self._expand(file, gone, at)
            commit()

    def _expand(self, file: tuple[int, int], gone: int, at: int) -> None:
        names = self._names(*file)
        if len(names) > _MANY_NAMES:
            self._expanded.add(file)
        latest = max((name.state for name in names), default=None)
        differ = any(name.state != latest for name in names)
        # A time of change that is still to come: the clock was set back, so the latest is not the last.
        owed = [
            (name.directory, name.name)
            for name in names
            if gone or name.state != latest or (differ and name.state.ctime_ns > at)
        ]
        self._db.executemany("INSERT OR IGNORE INTO owed VALUES (?, ?)", owed)
        for path, name in owed:
            self.add(path, name, at, durable=False)

    def add_partly(self, at: int) -> int:
        """All files of which not every name is known are to be looked at, by looks that begin after `at`: `search` sees to that,
        in turns, since they may be millions. Returns which number `gone_through` has when it has seen to all of them. Not
        durable: these files are found again at the next start.
        """
        self._due.update(dict.fromkeys(self.partly, at))  # those that wait already keep their place, so each has its turn
        return self.gone_through + len(self._due)

    def _go_through_partly(self) -> None:
        """The names of the next of these files are owed. Writes nothing."""
        some = list(islice(self._due.items(), _PARTLY_AT_ONCE))
        for file, at in some:
            del self._due[file]
            for name in self._names(*file):
                self.add(name.directory, name.name, at, durable=False)
        self.gone_through += len(some)

    def _names(self, dev: int, ino: int) -> list[_Name]:
        """All known names of a file, from rows and pages. It also notes whether the file has more names than that."""
        rows = self._db.execute(
            "SELECT e.ctime_ns, e.nlink, e.size, e.mtime_ns, d.path, e.name FROM entry e JOIN directory d ON d.id=e.dir"
            " WHERE e.ino=? AND e.dev=? AND e.kind<>0 AND e.directory=0",
            (ino, dev),
        ).fetchall()
        names = [_Name(_State(*state), directory, name) for *state, directory, name in rows]
        for page, path, place in self._pages.with_inode(dev, ino):
            (row,) = page.known([place])
            names.append(_Name(_State(row.ctime_ns, row.nlink, row.size, row.mtime_ns), path, row.name))
        if names and max(name.state for name in names).nlink > len(names):
            self.partly.add((dev, ino))
        else:
            self.partly.discard((dev, ino))
        return names

    def within(self, path: bytes, after: bytes | None, upto: bytes | None) -> list[bytes]:
        """The names owed in a directory, of those in (after, upto]; None is open."""
        first, owed = after or b"", self.owed.get(path, ())
        return [n for n in owed if first < n] if upto is None else [n for n in owed if first < n <= upto]

    def pay(self, path: bytes, names: Iterable[bytes], at: int) -> None:
        """These names of a directory were looked at, from `at` on."""
        owed = self.owed[path]
        paid = []
        for name in names:
            if name not in owed:
                continue
            first, last = owed[name]
            if not _earlier(at, last):
                paid.append(name)
                del owed[name]
            elif not _earlier(at, first):
                owed[name] = (last, last)  # it was made again while that look was under way
            self.changed = True
        self._db.executemany("DELETE FROM owed WHERE path=? AND name=?", [(path, n) for n in paid])
        if not owed:
            del self.owed[path]

    def forgive(self, path: bytes) -> None:
        """The directory has no rows any more."""
        if self.owed.pop(path, None) is not None:
            self._db.execute("DELETE FROM owed WHERE path=?", (path,))


def _earlier(look: int, debt: int) -> bool:
    """Whether a look may show less than a debt demands."""
    return debt - _STEP_NS <= look <= debt
