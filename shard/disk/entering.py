"""The loop of a scan: opening, watching and listing directories that lie side by side, and looking at their files.

As in `reading`, the function is the definition of what native code in its place does. It deals with what nearly all directories
are. Whatever is anything else is left to whoever enters that directory by itself, and finds out there what is the matter.
"""

from __future__ import annotations

import os
import time
from typing import Final

from ..contract.files.packed import FILE, LINK, WIDTH, kinds
from ..contract.filter.pattern import Names
from ..contract.state.directory import TAG_NAME
from .calls import ENTER, watch
from .reading import look_at

#: Bytes of the kernel's entries of a directory (getdents64(2)): up to here it is listed with one call, some hundred names.
LISTING_BYTES_MAX: Final = 32 * 1024 - 280
_FILES: Final = bytes((FILE, LINK))

#: (watch, descriptor or -1, names of files that are kept, their packed stats, names of directories, number of names that are
#: not kept). The names are sorted.
Entered = tuple[int, int, list[bytes], bytes, list[bytes], int]


def enter_each(
    fd: int,
    names: list[bytes],
    watching: tuple[int, int],
    kept: tuple[Names, Names],
    coarse_ns: int,
    filesystem: tuple[int, bool],
    ns_max: int,
) -> list[Entered | int]:
    """Enters directories that lie in one directory, one after the other: opens, watches and lists each, in this order, and looks
    at those of its names that are no directories and are kept.

    Args:
        fd: of the directory in which they lie.
        names: of them. No link is followed.
        watching: an instance of inotify, and a mask, which is added to the one that a watch has.
        kept: the names of files that match the first, but not the second, are kept.
        coarse_ns: as of `reading.look_at`.
        filesystem: `device` and `invented` of `reading.look_at`.
        ns_max: after so much time no other directory is begun.

    Returns for each of them, in their order, up to the first that was not begun; of at least one if any were given:

    - `Entered`. The descriptor is open where there are directories in it, and is the caller's to close.
    - `int`: nothing is known. It, or a name in it, could not be opened, watched or looked at; a name was given twice, lies on
      another device, or is no file by now; the directory is large (`LISTING_BYTES_MAX`), or seems to be a state directory. The
      number is that of its watch, which may have been made just now; -1 for none.

    Raises no OSError; ValueError for a name with a NUL in it, before anything is opened.
    """
    if any(b"\0" in name for name in names):
        raise ValueError("embedded null byte")
    found: list[Entered | int] = []
    until = time.monotonic_ns() + ns_max
    for name in names:
        found.append(_entered(fd, name, watching, kept, coarse_ns, filesystem))
        if time.monotonic_ns() >= until:
            break
    return found


def _entered(
    above: int, name: bytes, watching: tuple[int, int], kept: tuple[Names, Names], coarse_ns: int, filesystem: tuple[int, bool]
) -> Entered | int:
    (instance, mask), (picked, left_out) = watching, kept
    fd = number = -1
    try:
        fd = os.open(name, ENTER, dir_fd=above)
        number = watch(instance, fd, mask)
        listed = _listed(fd)
        if listed is None:
            return number
        others, directories = listed
        files = left_out.drop(picked.pick(others))
        stats = look_at(fd, files, 0, coarse_ns, *filesystem)[0] if files else b""
        if len(stats) != len(files) * WIDTH or kinds(stats).strip(_FILES):
            return number
        below = -1
        if directories:
            below, fd = fd, -1
        return number, below, files, stats, directories, len(others) - len(files)
    except OSError:
        return number
    finally:
        if fd >= 0:
            os.close(fd)


def _listed(fd: int) -> tuple[list[bytes], list[bytes]] | None:
    """The names of what is no directory, and of directories, in the directory open at `fd`, each sorted; None where it is not to
    be listed here. Raises OSError."""
    found: dict[bytes, bool] = {}
    room = LISTING_BYTES_MAX - 2 * _entry_bytes(b".")
    fsencode = os.fsencode
    os.lseek(fd, 0, os.SEEK_SET)  # see `reading.list_names`
    with os.scandir(fd) as items:
        for item in items:
            name = fsencode(item.name)
            room -= _entry_bytes(name)
            if name in found or room < 0:
                return None
            found[name] = item.is_dir(follow_symlinks=False)
    if TAG_NAME in found:
        return None
    names = sorted(found)
    directories = [name for name in names if found[name]]
    return ([name for name in names if not found[name]], directories) if directories else (names, directories)


def _entry_bytes(name: bytes) -> int:
    """Of the kernel's entry of a name: 19 bytes, the name and a NUL, filled up to a multiple of eight."""
    return len(name) + 27 & ~7
