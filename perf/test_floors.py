"""What would the parts of a start cost if nothing else had to be done? The floors that a goal cannot go below here."""

from __future__ import annotations

import ctypes
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from book import Book
from sizes import Sizes
from trees import Forest

_libc = ctypes.CDLL(None, use_errno=True)
#: modify, attrib, close_write, moved_from, moved_to, create, delete; only_dir.
_MASK = 0x2 | 0x4 | 0x8 | 0x40 | 0x80 | 0x100 | 0x200 | 0x01000000


def walk(root: bytes, *, lstat: bool, watch: int = -1) -> None:
    """Reads every directory; lstats every file and watches every directory, if asked for. As bare as Python can."""
    stack = [root]
    while stack:
        directory = stack.pop()
        if watch >= 0 and _libc.inotify_add_watch(watch, directory, _MASK) < 0:
            raise OSError(ctypes.get_errno(), "inotify_add_watch")
        with os.scandir(directory) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    stack.append(entry.path)
                elif lstat:
                    entry.stat(follow_symlinks=False)


def seconds(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def watched(root: bytes) -> float:
    fd = _libc.inotify_init1(os.O_CLOEXEC)
    try:
        return seconds(lambda: walk(root, lstat=True, watch=fd))
    finally:
        os.close(fd)


def inserted(path: Path, rows: int) -> float:
    """One row a file, as narrow as an index can be: directory, name, seven numbers; one transaction for 10,000."""
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("PRAGMA synchronous=NORMAL")
    db.execute(
        "CREATE TABLE f (d INT, n BLOB, k INT, v INT, i INT, l INT, s INT, m INT, t INT, PRIMARY KEY (d, n)) WITHOUT ROWID"
    )
    made = [(i // 10, b"unit%d.ast.json" % (i % 10), 1, 2, i, 1, 60, 1 << 60, i) for i in range(rows)]

    def work() -> None:
        for begin in range(0, rows, 10_000):
            db.execute("BEGIN")
            db.executemany("INSERT INTO f VALUES (?,?,?,?,?,?,?,?,?)", made[begin : begin + 10_000])
            db.execute("COMMIT")

    took = seconds(work)
    db.close()
    return took


def synced(directory: Path, count: int = 50) -> float:
    """One small write and its fsync, on disk."""
    fd = os.open(directory / "synced", os.O_WRONLY | os.O_CREAT, 0o600)

    def work() -> None:
        for _ in range(count):
            os.write(fd, b"x")
            os.fsync(fd)

    took = seconds(work) / count
    os.close(fd)
    return took


def launched(code: str) -> float:
    return seconds(lambda: subprocess.run([sys.executable, "-P", "-c", code], check=True))


@pytest.mark.row("floors")
def test_floors(page: Book, forest: Forest, sizes: Sizes) -> None:
    """Each alone, in one process, warm."""
    tree = forest.tree(sizes.files)
    disk = forest.directory("disk")
    root = os.fsencode(tree.root)
    page.settings(files=tree.files, directories=tree.directories, tree=tree.root, state=disk)

    def measure() -> dict[str, float]:
        begun = time.process_time()
        watch_s = watched(root)
        cpu_s = time.process_time() - begun
        return {
            "watch_s": watch_s, "cpu_s": cpu_s, "walk_s": seconds(lambda: walk(root, lstat=False)),
            "lstat_s": seconds(lambda: walk(root, lstat=True)),
            "sqlite_s": inserted(disk / f"{time.monotonic_ns()}.db", tree.files),
            "python_s": launched("pass"), "imports_s": launched("import zmq, msgspec"), "fsync_ms": 1000 * synced(disk),
        }  # fmt: skip

    page.rounds(measure, sizes.rounds, headline="watch_s")
