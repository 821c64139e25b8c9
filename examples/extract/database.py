"""The facts of a tree in a SQLite database. Processes may use it side by side, and be killed at any time."""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

from facts import Facts, facts_of, module_name

_SCHEMA = Path(__file__).with_name("schema.sql").read_text()
#: Seconds for which another process that writes is waited for.
_PATIENCE_S = 60.0

#: What tells one state of a file from another; None: there is no file.
Stamp = tuple[int, ...] | None


class Database:
    """A context manager.

    Args:
        file: made if it is not there.
        tree: the directory that the facts are about.
    """

    def __init__(self, file: Path, tree: Path) -> None:
        self._tree = tree.resolve()
        self._db = sqlite3.connect(file, timeout=_PATIENCE_S, isolation_level=None)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")
        self._db.execute("PRAGMA foreign_keys = ON")
        self._db.executescript(_SCHEMA)

    def __enter__(self) -> Database:
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()

    def take_in(self, paths: Iterable[str]) -> None:
        """Makes the database say of these files what they say now; of those that are gone, nothing.

        It does not matter what happened to a file, or how often it is taken in. What is stored is what the file said at a moment
        within the transaction: two processes may do this for one file, and the slower one does no harm. Raises ValueError for a
        path outside the tree.
        """
        for path in paths:
            relative = os.fspath(Path(path).relative_to(self._tree))
            while not self._stored(relative, *_read(path), path):
                pass

    def _stored(self, relative: str, stamp: Stamp, content: bytes, path: str) -> bool:
        """Whether the file was still what it was when it was read."""
        facts = None if stamp is None else facts_of(content, relative)
        self._db.execute("BEGIN IMMEDIATE")
        try:
            if _stamp(path) != stamp:
                return False
            self._db.execute("DELETE FROM module WHERE path = ?", (_text(relative),))
            if facts is not None:
                self._add(relative, facts)
            return True
        finally:
            self._db.execute("COMMIT")

    def _add(self, relative: str, facts: Facts) -> None:
        row = (_text(relative), _text(module_name(relative)), facts.problem)
        module = self._db.execute("INSERT INTO module (path, name, problem) VALUES (?, ?, ?)", row).lastrowid
        self._db.executemany("INSERT INTO import VALUES (?, ?, ?)", [(module, *fact) for fact in facts.imports])
        self._db.executemany("INSERT INTO function VALUES (?, ?, ?)", [(module, *fact) for fact in facts.functions])

    def forget(self) -> None:
        """Drops every fact."""
        self._db.execute("DELETE FROM module")

    def followed(self) -> str | None:
        """The incarnation of the index that it follows."""
        row = self._db.execute("SELECT incarnation FROM followed").fetchone()
        return row[0] if row else None

    def follow(self, incarnation: str) -> None:
        """It follows this one from now on."""
        self._db.execute("BEGIN IMMEDIATE")
        self._db.execute("DELETE FROM followed")
        self._db.execute("INSERT INTO followed VALUES (?)", (incarnation,))
        self._db.execute("COMMIT")

    def importers(self, module: str) -> list[str]:
        """Names of the modules that import this one, or something in it, in their order."""
        sql = """
            SELECT DISTINCT module.name FROM import JOIN module ON module.id = import.module
            WHERE import.name = :module OR import.name GLOB :inside ORDER BY module.name
        """
        with closing(self._db.execute(sql, {"module": module, "inside": f"{module}.*"})) as rows:
            return [name for (name,) in rows]

    def functions(self, name: str) -> list[str]:
        """Where functions of this name are, as `module:line name`; `decode` finds `JSONDecoder.decode`, too."""
        sql = """
            SELECT module.name, function.line, function.name FROM function JOIN module ON module.id = function.module
            WHERE function.name = :name OR function.name GLOB :inside ORDER BY module.name, function.line
        """
        with closing(self._db.execute(sql, {"name": name, "inside": f"*.{name}"})) as rows:
            return [f"{module}:{line} {function}" for module, line, function in rows]


def _read(path: str) -> tuple[Stamp, bytes]:
    """A file and what tells its state; nothing where there is none."""
    try:
        with Path(path).open("rb") as file:
            return _stamp_of(os.fstat(file.fileno())), file.read()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None, b""


def _stamp(path: str) -> Stamp:
    try:
        return _stamp_of(os.stat(path))
    except (FileNotFoundError, NotADirectoryError):
        return None


def _stamp_of(found: os.stat_result) -> Stamp:
    if stat.S_ISDIR(found.st_mode):
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _text(name: str) -> str:
    """SQLite takes no text that is not UTF-8; what a name has of that is shown as `\\udcff`."""
    return name.encode(errors="backslashreplace").decode()
