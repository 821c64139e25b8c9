"""Remembers of which filesystems the inode numbers are meaningful, and which the kernel makes up (`virtual`)."""

from __future__ import annotations

from typing import Final

from ..contract.files.identity import INVENTS_INODES
from .disk import Disk

#: Devices remembered; of more the kernel is asked anew.
_DEVICES_MAX: Final = 1_000


class Filesystems:
    """Remembers by device number; owned by one thread. `forget` when the table of mounts has changed: numbers are given again."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self._invents: dict[int, bool] = {}
        self._virtual: dict[int, str] = {}
        #: The device that was asked about last, and whether it invents its inode numbers; -1 for none.
        self.last = (-1, False)

    def forget(self) -> None:
        self._invents.clear()
        self._virtual.clear()
        self.last = (-1, False)

    def identity(self, fd: int) -> tuple[int, int]:
        """(device, inode) of the directory open at `fd`, for as long as it is mounted; inode 0 where the numbers are invented."""
        found = self._disk.stat_open(fd)
        return found.st_dev, 0 if self.invents(found.st_dev, b".", fd) else found.st_ino

    def invents(self, dev: int, name: bytes, fd: int) -> bool:
        """Whether inode numbers on the device `dev`, where the file `name` in the directory open at `fd` lies, are made up."""
        known = self._invents.get(dev)
        if known is None:
            if len(self._invents) >= _DEVICES_MAX:
                self._invents.clear()
            known = self._invents[dev] = self._disk.filesystem_type(name, fd) in INVENTS_INODES
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
