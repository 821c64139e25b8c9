"""Remembers of which filesystems the inode numbers are meaningful, and which the kernel makes up (`virtual`)."""

from __future__ import annotations

from typing import Final

from ..contract.files.identity import INVENTS_INODES
from .disk import Disk

#: statfs(2) f_type of local filesystems on which every change of a directory's names changes its times at once (ext4, xfs,
#: btrfs, tmpfs, overlay, f2fs, zfs, bcachefs; linux/magic.h). Of others that is not assumed: of network and FUSE filesystems a
#: stat may be an earlier one, and FAT has times of two seconds.
_KEEPS_TIMES: Final = frozenset(
    {0xEF53, 0x58465342, 0x9123683E, 0x01021994, 0x794C7630, 0xF2F52010, 0x2FC12FC1, 0xCA451A4E}
)
#: Devices remembered; of more the kernel is asked anew.
_DEVICES_MAX: Final = 1_000


class Filesystems:
    """Remembers by device number; owned by one thread. `forget` when the table of mounts has changed: numbers are given again."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self._invents: dict[int, bool] = {}
        self._virtual: dict[int, str] = {}
        self._keeps_times: dict[int, bool] = {}
        #: The device that was asked about last, and whether it invents its inode numbers; -1 for none.
        self.last = (-1, False)

    def forget(self) -> None:
        self._invents.clear()
        self._virtual.clear()
        self._keeps_times.clear()
        self.last = (-1, False)

    def identity(self, fd: int) -> tuple[int, int]:
        """(device, inode) of the directory open at `fd`, for as long as it is mounted; inode 0 where the numbers are invented."""
        found = self._disk.stat_open(fd)
        return found.st_dev, 0 if self.invents(found.st_dev, b".", fd) else found.st_ino

    def invents(self, dev: int, name: bytes, fd: int) -> bool:
        """Whether inode numbers on the device `dev`, where the file `name` in the directory open at `fd` lies, are made up. False
        where that can't be found out; it is asked again if it may be later.
        """
        known = self._invents.get(dev)
        if known is None:
            if len(self._invents) >= _DEVICES_MAX:
                self._invents.clear()
            kind = self._disk.filesystem_type(name, fd)
            if kind < 0:
                self.last = (-1, False)
                return False
            known = self._invents[dev] = kind in INVENTS_INODES
        self.last = (dev, known)
        return known

    def virtual_type(self, fd: int) -> str:
        """`Disk.virtual_type` of the directory open at `fd`."""
        dev = self._disk.stat_open(fd).st_dev
        known = self._virtual.get(dev)
        if known is None:
            if len(self._virtual) >= _DEVICES_MAX:
                self._virtual.clear()
            known = self._virtual[dev] = self._disk.virtual_type(fd)
        return known

    def keeps_times(self, dev: int, fd: int) -> bool:
        """Whether a change of the names in the directory open at `fd`, on the device `dev`, certainly changes its times."""
        known = self._keeps_times.get(dev)
        if known is None:
            if len(self._keeps_times) >= _DEVICES_MAX:
                self._keeps_times.clear()
            known = self._keeps_times[dev] = self._disk.filesystem_type(b".", fd) in _KEEPS_TIMES
        return known
