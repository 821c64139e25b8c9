"""The rules for when two stats describe the same unchanged file. Every comparison of stats uses them. Does no input or
output.

A file is known by its path, and compared by its kind, inode number, size and times. docs/filesystems.md says what these
are worth on each filesystem, as measured by `tests/integration/test_filesystems.py`.

- **Time of change** (ctime): it changes with every write, and with every change of mode, owner, attributes and links,
  and no program can set it. Its precision is that of the filesystem, and of the clock from which it is taken (see
  `racy`).
- **Inode number**: another number means another file, except where the filesystem invents the numbers. There it is
  stored as 0 in our records (`INVENTS_INODES`), and 0 is not compared. An equal number proves nothing, because it may
  have been used again (see `moved`).
- **Device number**: it is not part of a file's identity, because it belongs to the mount. After a reboot, or on another
  loop device, the same file has another one. If another filesystem is mounted in place of the first, its files differ
  in time of change or in their number, unless it is a block-by-block copy of the image. Then their contents are equal
  too.
- **Number of links**: it changes only together with the time of change, so by itself it proves nothing.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

from .packed import Stat

#: statfs(2) f_type of filesystems whose inode numbers are made up while they are mounted (fat, exfat, ntfs3, fuse, cifs, smb2,
#: smb, 9p, vboxsf): the same file may have another number after it was dropped from the cache. See linux/magic.h.
INVENTS_INODES: Final = frozenset(
    {0x4D44, 0x2011BAB0, 0x7366746E, 0x65735546, 0xFF534D42, 0xFE534D42, 0x517B, 0x01021997, 0x786F4256}
)

_MS: Final = 1_000_000
_SECOND: Final = 1_000_000_000
#: The largest unit in which a filesystem counts whole seconds: FAT counts two at a time.
_SECONDS_NS: Final = 2 * _SECOND
#: The largest unit below a second: exFAT has 10 ms. No other known filesystem lies between that and a second.
_PARTS_NS: Final = 100 * _MS
#: A time of change that lies further in the future than this will not be given again by a current clock (the clock was set back,
#: or the file was made with that time). So it does not stay racy for ever. A time that lies less far ahead may come from a
#: server whose clock runs ahead of ours.
_AHEAD_NS: Final = 60 * _SECOND


class Verdict(Enum):
    """What a new stat means, compared with the known one."""

    #: Nothing to write.
    SAME = 0
    #: The file and its content are the same, but something else in the stat is new. The row takes it over, and no group is told.
    NOTED = 1
    #: Another file, or the same file with a change, or it cannot be determined.
    CHANGED = 2


def unit_ns(time_ns: int) -> int:
    """The longest time that may lie between two changes with the same time of change, in addition to the clock's own tick.

    Filesystems store whole seconds (ext3, ext4 with inodes of 128 bytes, many servers), units of two seconds (FAT), fractions
    of a second, or nanoseconds. Nothing says which of these it is. But a time that is a whole number of seconds comes from
    the first kind, or is one in a billion.
    """
    if time_ns % _MS:
        return 0
    return _SECONDS_NS if time_ns % _SECOND == 0 else _PARTS_NS


def racy(ctime_ns: int, coarse_ns: int) -> bool:
    """Whether a stat that was taken when the coarse clock showed `coarse_ns` may stay equal after one more change. This is
    possible for a change within the same tick of the clock, or within the same unit of the filesystem's times.
    """
    return -_AHEAD_NS <= coarse_ns - ctime_ns <= 0 or 0 < coarse_ns - ctime_ns < unit_ns(ctime_ns)


#: The longest time for which a stat is racy. A look after that time is certain.
RACY_NS_MAX: Final = _SECONDS_NS


def compare(known: Stat, seen: Stat, *, content_only: bool = False) -> Verdict:
    """Compares what was seen at a path with what is known about it.

    With `content_only`, a difference in the time of change alone (from a change of mode, owner, attributes or names) is
    stored without being reported. A write that keeps the size and sets the modification time back is then not reported
    either.
    """
    if known[3] != seen[3] and not content_only:  # the time of change, which most changes are told by
        return Verdict.CHANGED
    if known[:7] == seen[:7] and not known[7]:
        return Verdict.SAME
    ino, size, mtime_ns, ctime_ns, _, _, kind, was_racy = known
    if kind != seen[6] or size != seen[1] or mtime_ns != seen[2] or (ino != seen[0] and ino and seen[0]):
        return Verdict.CHANGED
    if not was_racy:
        return Verdict.NOTED
    # What made the known stat racy came after the last write, so it was a change of mode or the like, and a write since then
    # would have set `mtime_ns` to the same time of change or a later one.
    later = mtime_ns + max(unit_ns(mtime_ns), unit_ns(ctime_ns)) < ctime_ns
    return Verdict.NOTED if content_only and later else Verdict.CHANGED


def alike(known: tuple[int, ...] | None, seen: tuple[int, ...] | None) -> bool:
    """Whether an audit may take these for the same: (kind, dev, ino, nlink, size, mtime_ns, ctime_ns), or (kind,) of a directory,
    or None for nothing."""
    if known is None or seen is None or len(known) != len(seen) or len(known) == 1:
        return known == seen
    return known[0] == seen[0] and known[3:] == seen[3:] and (known[2] == seen[2] or not (known[2] and seen[2]))


def moved(left_ctime_ns: int, birth_ns: int) -> bool:
    """Whether the file under a new path is the one that has disappeared, given that inode number, size and modification time are
    equal, and not a later file with the same inode number.

    It is the same file if it was born (statx(2), `stx_btime`; 0 if the filesystem stores none) no later than the other one
    was last changed. Then it existed at that time, under that number. Whole seconds could be equal for two files, so they
    prove nothing.
    """
    if birth_ns <= 0:
        return False
    return birth_ns < left_ctime_ns or (birth_ns == left_ctime_ns and unit_ns(birth_ns) == 0)
