"""Does each error of the system get its own cause and its own remedy?"""

from __future__ import annotations

import errno
import os
import sqlite3
from pathlib import Path

import pytest

from shardwatch.aggregator.storage.damage import Refusal, refusal
from shardwatch.shard.contract import causes
from shardwatch.shard.contract.causes import FANOTIFY, OTHER, READ, STATE, WATCH, cause, database_cause
from shardwatch.shard.contract.kernel.allowance import INSTANCES, WATCHES, allowance
from shardwatch.supervisor.planning.limits import instances_remedy, read_inotify_limits, watches_remedy

#: (what was being done, error) -> a word of the cause, a word of the remedy.
SYSTEM = [
    (READ, errno.EACCES, "permission denied", "read and execute permission"),
    (READ, errno.EPERM, "forbids", "security module"),
    (READ, errno.ENOENT, "/proc", "mount -t proc"),
    (READ, errno.EIO, "disk fails", "dmesg"),
    (READ, errno.ESTALE, "stale", "mount it again"),
    (READ, errno.ENOTCONN, "FUSE", "mount it again"),
    (READ, errno.ETIMEDOUT, "server", "network"),
    (READ, errno.ENOKEY, "encrypted", "unlock"),
    (READ, errno.EMFILE, "process has too many files open", "ulimit -n"),
    (READ, errno.ENFILE, "on this machine", "fs.file-max"),
    (READ, errno.ELOOP, "loop", "untangle"),
    (READ, errno.ENAMETOOLONG, "too long", "shorter"),
    (READ, errno.EUCLEAN, "damaged", "fsck"),
    (WATCH, errno.ENOSPC, "no watches left", "max_user_watches"),
    (WATCH, errno.EMFILE, "no inotify instance left", "max_user_instances"),
    (WATCH, errno.ENOMEM, "memory", "memory"),
    (FANOTIFY, errno.EPERM, "CAP_SYS_ADMIN", "AmbientCapabilities"),
    (FANOTIFY, errno.EINVAL, "can't name directories", "Linux 5.9"),
    (FANOTIFY, errno.EMFILE, "no fanotify group left", "max_user_groups"),
    (FANOTIFY, errno.ENOSPC, "no fanotify mark left", "max_user_marks"),
    (FANOTIFY, errno.EOPNOTSUPP, "no handles", "inotify"),
    (FANOTIFY, errno.EXDEV, "subvolume", "inotify"),
    (STATE, errno.EACCES, "permission denied", "chown"),
    (STATE, errno.EROFS, "read-only", "writable"),
    (STATE, errno.ENOSPC, "full", "free some space"),
    (STATE, errno.EDQUOT, "quota", "quota"),
    (STATE, errno.EFBIG, "grow", "ulimit -f"),
    (STATE, errno.ENOLCK, "locks", "local disk"),
    (OTHER, errno.EACCES, "permission denied", "permission"),
]
DATABASE = [
    (sqlite3.SQLITE_BUSY, "locked", "sqlite3"),
    (sqlite3.SQLITE_BUSY_SNAPSHOT, "locked", "backup"),
    (sqlite3.SQLITE_LOCKED, "locked", "end what has them open"),
    (sqlite3.SQLITE_FULL, "full", "free some space"),
    (sqlite3.SQLITE_IOERR, "disk fails", "dmesg"),
    (sqlite3.SQLITE_IOERR_FSYNC, "disk fails", "dmesg"),
    (sqlite3.SQLITE_CORRUPT, "damaged", "nothing"),
    (sqlite3.SQLITE_NOTADB, "not a database", "nothing"),
    (sqlite3.SQLITE_READONLY, "can't be written", "writable"),
    (sqlite3.SQLITE_CANTOPEN, "can't be opened", "check what"),
    (sqlite3.SQLITE_NOMEM, "memory", "memory"),
    (sqlite3.SQLITE_PROTOCOL, "locked", "local disk"),
]


@pytest.mark.parametrize(("doing", "number", "what", "remedy"), SYSTEM)
def test_an_error_of_the_system(doing: str, number: int, what: str, remedy: str) -> None:
    """The cause in words, and what mends it; never advice about a disk for what is no matter of disks."""
    found = cause(OSError(number, os.strerror(number)), doing)
    assert what in found.what and remedy in found.remedy


def test_an_error_that_is_in_no_table() -> None:
    """In the system's words, without advice; one without a number too."""
    assert cause(OSError(errno.ENOTTY, os.strerror(errno.ENOTTY))) == ("inappropriate ioctl for device", "")
    assert cause(OSError("odd")) == ("odd", "")


@pytest.mark.parametrize(("code", "what", "remedy"), DATABASE)
def test_an_error_of_a_database(code: int, what: str, remedy: str) -> None:
    """Extended codes are those of their family. The numbers here are those of SQLite's own module."""
    found = database_cause(code, "as SQLite says it")
    assert what in found.what and remedy in found.remedy
    names = ("BUSY", "LOCKED", "NOMEM", "READONLY", "IOERR", "CORRUPT", "FULL", "CANTOPEN", "PROTOCOL", "NOTADB")
    assert all(getattr(causes, name) == getattr(sqlite3, f"SQLITE_{name}") for name in names)


def _locked(path: Path) -> sqlite3.OperationalError:
    """The error of who writes while somebody else does."""
    first, second = (sqlite3.connect(path, timeout=0, isolation_level=None) for _ in range(2))
    try:
        first.execute("CREATE TABLE t (x)")
        first.execute("BEGIN IMMEDIATE")
        with pytest.raises(sqlite3.OperationalError) as locked:
            second.execute("INSERT INTO t VALUES (1)")
        return locked.value
    finally:
        first.close()
        second.close()


def test_a_locked_database_is_no_matter_of_the_disk(tmp_path: Path) -> None:
    """"database is locked" names who may hold it."""
    said = refusal(_locked(tmp_path / "index.db"), tmp_path)
    assert "locked" in said.message and "disk" not in said.message
    assert "fuser" in said.remedy and "disk" not in said.remedy


def test_what_a_database_does_not_say_is_asked_of_the_directory(tmp_path: Path) -> None:
    """A directory that is gone; an error without a reason in a directory that is well."""
    vague = sqlite3.OperationalError("disk I/O error")
    vague.sqlite_errorcode = sqlite3.SQLITE_IOERR
    assert refusal(vague, tmp_path / "none").message.endswith("is gone")
    said = refusal(vague, tmp_path)
    assert said == Refusal(
        f"the state directory {tmp_path} can't be used: its disk fails (input/output error)",
        "see `dmesg`, and to that disk; the service then goes on by itself",
    )
    try:
        raise sqlite3.OperationalError("life.json") from OSError(errno.EACCES, "")
    except sqlite3.OperationalError as error:
        assert "make it this user's" in refusal(error, tmp_path).remedy
    spent = refusal(OSError(errno.EDQUOT, ""), tmp_path)
    assert spent.message.endswith("can't be written: this user's quota of its disk is used up")


def _sysctls(proc: Path, **values: int) -> Path:
    for name, value in values.items():
        path = proc / "sys" / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{value}\n")
    return proc


def test_the_limit_that_is_met_is_the_one_to_raise(tmp_path: Path) -> None:
    """A user namespace that is allowed less than the machine; one that is not; no /proc at all."""
    assert allowance(WATCHES, tmp_path) == (0, "fs.inotify.max_user_watches", False)
    _sysctls(tmp_path, fs__inotify__max_user_watches=192_536, user__max_inotify_watches=50)
    _sysctls(tmp_path, fs__inotify__max_user_instances=512, user__max_inotify_instances=512)
    assert allowance(WATCHES, tmp_path) == (50, "user.max_inotify_watches", True)
    assert allowance(INSTANCES, tmp_path) == (512, "fs.inotify.max_user_instances", True)
    limits = read_inotify_limits(proc=tmp_path)
    assert (limits.watches, limits.instances) == (50, 512)
    assert watches_remedy(limits, 100) == "sysctl -w user.max_inotify_watches=65536"
    assert instances_remedy(limits, 600).startswith("sysctl -w fs.inotify.max_user_instances=")
    _sysctls(tmp_path, user__max_inotify_watches=0)  # none at all: also a limit
    assert allowance(WATCHES, tmp_path) == (0, "user.max_inotify_watches", True)
    assert watches_remedy(read_inotify_limits(proc=tmp_path), 100) == "sysctl -w user.max_inotify_watches=65536"
