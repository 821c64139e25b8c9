"""The loops in which a shard spends most of its time: reading the names of a directory, and looking at names, in one directory
or in many.

These functions are the definition of what native code in their place does: same arguments, same results, same errors. They take
nothing but a descriptor, bytes, numbers and patterns of names. What is in scope is decided elsewhere (`look`).
"""

from __future__ import annotations

import os
import stat
import struct
from collections.abc import Callable, Iterable
from typing import Final, Protocol

from ..contract.files.identity import RACY_NS_MAX, racy
from ..contract.files.packed import (
    A_DIRECTORY,
    ANOTHER,
    DIRECTORY,
    FILE,
    INT_MAX,
    INT_MIN,
    LINK,
    NLINK_MAX,
    NOTHING,
    WIDTH,
    pack,
)
from ..contract.filter.pattern import Names
from .calls import ABSENT, PIECE_BYTES_MAX, open_directory, watch_of

#: Names of a large directory that are read, or looked at, between two signs of life: some milliseconds.
NAMES_AT_ONCE: Final = 1_000

_S_IFMT: Final = 0o170000
_KINDS: Final = {stat.S_IFREG: FILE, stat.S_IFDIR: DIRECTORY, stat.S_IFLNK: LINK}


#: (path, watch, names, kept) of a directory: its absolute path, on which no link is followed; the number of its watch, below
#: 2**31; names in it, not paths. Of these, those are kept that match the first of `kept`, but not the second; None: all are.
Asked = tuple[bytes, int, set[bytes], tuple[Names, Names] | None]


class Item(Protocol):
    """What is read of an `os.DirEntry`."""

    @property
    def name(self) -> str: ...

    def is_dir(self, *, follow_symlinks: bool = True) -> bool: ...


def list_names(fd: int, on_progress: Callable[[], object]) -> tuple[list[bytes], list[bytes]]:
    """All names in the directory open at `fd`: (those of what is no directory, those of directories), each in no particular
    order and without "." and "..".

    Reads from the beginning, wherever the descriptor stands. On btrfs that has a second meaning: what was made after the
    directory was opened is listed only after lseek(2) to the beginning. A directory is opened, then watched, then listed, so what
    was made between the first two would never be seen.

    Where the filesystem does not tell what a name is (DT_UNKNOWN), it is looked at (fstatat, no link followed); a name that does
    not exist any more then counts as no directory.

    Calls `on_progress` after each `NAMES_AT_ONCE` entries: reading a directory of a million names takes seconds, in which the
    process must not be taken for hung.

    Raises OSError if the directory cannot be read to its end, or such a name cannot be looked at; and what `on_progress` raises.
    """
    os.lseek(fd, 0, os.SEEK_SET)
    with os.scandir(fd) as items:
        return sorted_out(items, on_progress)


def sorted_out(items: Iterable[Item], on_progress: Callable[[], object]) -> tuple[list[bytes], list[bytes]]:
    """As `list_names`, of the entries of a listing. A directory that changes while it is read may give a name twice: what it gave
    last counts."""
    fsencode = os.fsencode
    found: dict[bytes, bool] = {}
    unsaid = 0
    for item in items:
        found[fsencode(item.name)] = item.is_dir(follow_symlinks=False)
        unsaid += 1
        if unsaid == NAMES_AT_ONCE:
            on_progress()
            unsaid = 0
    directories = [name for name, is_directory in found.items() if is_directory]
    return [name for name, is_directory in found.items() if not is_directory], directories


def look_at(fd: int, names: list[bytes], start: int, coarse_ns: int, device: int, invented: bool) -> tuple[bytes, int]:
    """The packed stats of `names[start:]` in the directory open at `fd`, up to the first one that lies on another device.

    Args:
        fd: of the directory.
        names: names in it, not paths.
        start: from 0 to `len(names)`.
        coarse_ns: the clock that filesystems stamp with, read before the call.
        device: `st_dev` of the filesystem of which is known whether it invents inode numbers; -1 for none.
        invented: whether it does. The inode numbers are then left out.

    Returns:
        (stats, device): stats of the names that were looked at, as `packed` makes them; of a name that does not exist (`ABSENT`)
        `NOTHING`. If there are fewer than asked for, the next name lies on the other device, which is returned; its stat is not
        among them. Else the device is the one that was given.

    Raises OSError for any other error, with the name as its file name.
    """
    stats = []
    for name in names[start:] if start else names:
        try:
            st = os.stat(name, dir_fd=fd, follow_symlinks=False)
        except OSError as error:
            if error.errno not in ABSENT:
                raise
            stats.append(NOTHING)
            continue
        if st.st_dev != device:
            device = st.st_dev
            break
        stats.append(packed(st, coarse_ns, invented))
    return b"".join(stats), device


def look_in_each(
    asked: list[Asked], instance: int, coarse_ns: int, device: int, invented: bool
) -> list[tuple[list[bytes], bytes] | int | None]:
    """Looks at names in many directories.

    Args:
        asked: of each directory what is to be looked at.
        instance: descriptor of the inotify instance that has the watches.
        coarse_ns, device, invented: as of `look_at`.

    Returns one of these for each directory, in their order:

    - (names, stats): those of its names that are kept, sorted, and their packed stats (`look_at`).
    - `int`: another directory is there, which has this watch. It may have been made just now (`calls.watch_of`).
    - `None`: nothing is known: it, or one of the names, could not be looked at, or a name lies on another device, or its path is
      longer than one system call takes. Whoever looks again finds out.

    Raises no OSError; ValueError for a path or a name with a NUL in it.
    """
    return [_look_in(*one, instance, coarse_ns, device, invented) for one in asked]


def _look_in(
    path: bytes, watch: int, names: set[bytes], kept: tuple[Names, Names] | None,
    instance: int, coarse_ns: int, device: int, invented: bool,
) -> tuple[list[bytes], bytes] | int | None:  # fmt: skip
    if b"\0" in path or b"\0" in b"".join(names):
        raise ValueError("embedded null byte")
    if len(path) >= PIECE_BYTES_MAX:
        return None
    try:
        fd = open_directory(path)
    except OSError:
        return None
    try:
        found = watch_of(instance, fd)
        if found != watch:
            return found
        ours = sorted(names if kept is None else kept[1].drop(kept[0].pick(names)))
        stats, _ = look_at(fd, ours, 0, coarse_ns, device, invented)
    except OSError:
        return None
    finally:
        os.close(fd)
    return (ours, stats) if len(stats) == len(ours) * WIDTH else None


def packed(st: os.stat_result, coarse_ns: int, invented: bool) -> bytes:
    """The stat of a look that began after `coarse_ns`: `A_DIRECTORY` of a directory, `ANOTHER` of what is neither file, directory
    nor link. `invented`: the filesystem makes up its inode numbers, so the number is left out.
    """
    kind = _KINDS.get(st.st_mode & _S_IFMT)
    if kind is None:
        return ANOTHER
    if kind == DIRECTORY:
        return A_DIRECTORY
    ino, mtime, ctime, dev, nlink = st.st_ino, st.st_mtime_ns, st.st_ctime_ns, st.st_dev, st.st_nlink
    early = ctime + RACY_NS_MAX > coarse_ns and racy(ctime, coarse_ns)
    if invented:
        ino = 0
    try:
        return pack(ino, st.st_size, mtime, ctime, dev, nlink, kind, early)
    except struct.error:  # times beyond the year 2262, or inode numbers of 64 bits
        ctime, nlink = _limited(ctime), min(nlink, NLINK_MAX)
        early = ctime + RACY_NS_MAX > coarse_ns and racy(ctime, coarse_ns)
        return pack(_limited(ino), st.st_size, _limited(mtime), ctime, _limited(dev), nlink, kind, early)


def _limited(number: int) -> int:
    return max(INT_MIN, min(number, INT_MAX))
