"""Translates an error of the system, by its number and the operation that failed, into a cause and a remedy for operators.

This is the only table of this kind. It serves subtrees that cannot be read, watches that cannot be made, the state
directory, its databases, and commands. It does no input or output. Anyone may import it, and it imports nothing heavy:
the numbers of SQLite's errors are part of its interface and never change.
"""

from __future__ import annotations

import errno
import os
from typing import Final, NamedTuple


class Cause(NamedTuple):
    """Both for people, without a full stop."""

    what: str
    remedy: str


#: What was being done.
READ: Final = "read"  # a directory of a watched tree
WATCH: Final = "watch"  # one more watch for a directory
FANOTIFY: Final = "fanotify"  # a group, or the mark of a filesystem
STATE: Final = "state"  # the state directory, or a file in it
OTHER: Final = "other"  # a file that a command was given

_DEAD: Final = Cause("the program behind its FUSE filesystem has ended", "unmount it, and mount it again")
_INSTEAD: Final = "nothing: inotify watches it instead"
_CAPABILITY: Final = Cause(
    "fanotify needs the capability CAP_SYS_ADMIN",
    "run it as root, give it that capability (in a unit: AmbientCapabilities=CAP_SYS_ADMIN), or use the backend auto",
)
_NO_NAMES: Final = Cause("this kernel's fanotify can't name directories", "use Linux 5.9 or later, or the backend auto")
_SERVER: Final = Cause("its file server does not answer", "check the server and the network; it is tried again automatically")

#: For every operation, unless `_OF` has another word for one.
_ANY: Final = {
    errno.EIO: Cause("its disk fails (input/output error)", "see `dmesg`, and to that disk"),
    errno.EUCLEAN: Cause("its filesystem is damaged", "see `dmesg`; unmount it, and let fsck repair it"),
    errno.ENODEV: Cause("its device is gone", "attach it again, and mount it again"),
    errno.ENXIO: Cause("its device is gone", "attach it again, and mount it again"),
    errno.ESTALE: Cause("its file server has dropped what was open there (stale file handle)", "unmount it, and mount it again"),
    errno.ENOTCONN: _DEAD,
    errno.ECONNABORTED: _DEAD,
    errno.ETIMEDOUT: _SERVER,
    errno.EHOSTDOWN: _SERVER,
    errno.EHOSTUNREACH: _SERVER,
    errno.EREMOTEIO: _SERVER,
    errno.ENOKEY: Cause("it is encrypted, and its key is not loaded", "unlock it"),
    errno.ELOOP: Cause("links on the way to it form a loop", "untangle the links"),
    errno.ENAMETOOLONG: Cause("its path is too long", "give shorter names, or nest directories less deeply"),
    errno.ENOMEM: Cause("the kernel has no memory for it", "give the machine, or the service's control group, more memory"),
    errno.EMFILE: Cause("the process has too many files open", "raise `ulimit -n` (LimitNOFILE= in a unit), and start it again"),
    errno.ENFILE: Cause("too many files are open on this machine", "raise fs.file-max (sysctl), or end what has so many open"),
    errno.EPERM: Cause(
        "the system forbids it (operation not permitted)",
        "check what may forbid it: a security module, a filter of system calls, or an immutable file (lsattr)",
    ),
    errno.EACCES: Cause("permission denied", "give this user permission on it and on every directory above it"),
    errno.EROFS: Cause("its filesystem is read-only", "mount it writable; if it became so by itself, see `dmesg`"),
    errno.ENOSPC: Cause("its disk is full", "free some space there"),
    errno.EDQUOT: Cause("this user's quota of its disk is used up", "free some space there, or have the quota raised"),
    errno.EFBIG: Cause("a file may not grow further", "raise `ulimit -f` (LimitFSIZE= in a unit)"),
    errno.ENOLCK: Cause("its filesystem has no locks", "put it on a local disk"),
    errno.ENOENT: Cause("there is no such file or directory", "give one that exists"),
    errno.EAGAIN: Cause("a limit of processes or memory is reached", "raise `ulimit -u`, or the control group's limit"),
}
_OF: Final = {
    (READ, errno.EACCES): Cause("permission denied", "give the service's user read and execute permission on it"),
    (READ, errno.ENOENT): Cause("it can't be reached through /proc", "mount it: `mount -t proc proc /proc`"),
    (WATCH, errno.ENOENT): Cause("/proc is not mounted", "mount it: `mount -t proc proc /proc`; until then it is polled"),
    (WATCH, errno.EMFILE): Cause("no inotify instance left", "raise fs.inotify.max_user_instances"),
    (WATCH, errno.ENOSPC): Cause("no watches left", "raise fs.inotify.max_user_watches"),
    (FANOTIFY, errno.EPERM): _CAPABILITY,
    (FANOTIFY, errno.EINVAL): _NO_NAMES,
    (FANOTIFY, errno.ENOSYS): _NO_NAMES,
    (FANOTIFY, errno.EMFILE): Cause("no fanotify group left", "raise fs.fanotify.max_user_groups"),
    (FANOTIFY, errno.ENOSPC): Cause("no fanotify mark left", "raise fs.fanotify.max_user_marks"),
    (FANOTIFY, errno.EOPNOTSUPP): Cause("its filesystem has no handles for directories", _INSTEAD),
    (FANOTIFY, errno.ENODEV): Cause("its filesystem has no id", _INSTEAD),
    (FANOTIFY, errno.EXDEV): Cause("it is a subvolume, which the kernel reports under another id", _INSTEAD),
    (FANOTIFY, errno.ENOTUNIQ): Cause("another filesystem has the same id", _INSTEAD),
    (FANOTIFY, errno.ENOENT): Cause("/proc is not mounted", "mount it: `mount -t proc proc /proc`"),
    (STATE, errno.EACCES): Cause("permission denied", "make it this user's (chown -R), and writable"),
    (STATE, errno.ENOENT): Cause("it is gone", "start the service again; groups and index are made anew"),
}


def cause(error: OSError, doing: str = OTHER) -> Cause:
    """Of an error of the system. One that is in no table is told in the system's own words."""
    number = error.errno or 0
    found = _OF.get((doing, number)) or _ANY.get(number)
    return found or Cause(_plain(error.strerror or os.strerror(number) if number else str(error)), "")


def reason_of(error: OSError, doing: str) -> str:
    """Why something was refused, by an error that may carry a reason of its own instead of the system's words."""
    said = error.strerror or ""
    return cause(error, doing).what if said in ("", os.strerror(error.errno or 0)) else said


def _plain(words: str) -> str:
    return words[:1].lower() + words[1:] if words[1:2].islower() else words


#: SQLite's primary result codes (sqlite.org/rescode.html).
BUSY, LOCKED, NOMEM, READONLY, IOERR, CORRUPT, FULL, CANTOPEN, PROTOCOL, NOTADB = 5, 6, 7, 8, 10, 11, 13, 14, 15, 26

_ALONE: Final = "end what has them open: a `sqlite3` shell or a backup (`fuser -v` names it)"
_DATABASE: Final = {
    BUSY: Cause("another program has its databases locked", _ALONE),
    LOCKED: Cause("another program has its databases locked", _ALONE),
    PROTOCOL: Cause("its databases can't be locked", "put the state directory on a local disk, and end what else has them open"),
    NOMEM: Cause("there is no memory for its databases", "give the machine, or the service's control group, more memory"),
    READONLY: Cause("its databases can't be written", "make the directory and its files writable for the service's user"),
    IOERR: _ANY[errno.EIO],
    FULL: _ANY[errno.ENOSPC],
    CORRUPT: Cause("a database is damaged", "nothing: it is set aside and built anew"),
    NOTADB: Cause("a file is not a database", "nothing: it is set aside and built anew"),
    CANTOPEN: Cause(
        "a database can't be opened",
        "check what has its name (a directory, a link, another user's file), and whether `ulimit -n` is reached",
    ),
}


def database_cause(code: int, words: str) -> Cause:
    """Of an error of SQLite: its result code, extended or not, and its own words."""
    return _DATABASE.get(code & 0xFF) or Cause(words, "see logs/aggregator.log in the state directory")
