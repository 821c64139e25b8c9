"""Filesystems whose contents the kernel makes up while somebody reads them: /proc, /sys and the like.

Nobody keeps files there. There may be no end of them, as each process has some, and hardly a change of them raises an event.
So what a followed link leads to there is an empty directory. A root may lie there, save on /proc and /sys
(`supervisor/host/scouting.py`), because it was asked for.
"""

from __future__ import annotations

import os
from typing import Final

from .statx import filesystem_type

#: statfs(2) f_type -> name of the type (linux/magic.h).
TYPES: Final = {
    0x9FA0: "proc", 0x62656572: "sysfs", 0x27E0EB: "cgroup", 0x63677270: "cgroup2", 0x64626720: "debugfs",
    0x74726163: "tracefs", 0x73636673: "securityfs", 0xF97CFF8C: "selinuxfs", 0x43415D53: "smackfs", 0x6165676C: "pstore",
    0xDE5E81E4: "efivarfs", 0xCAFE4A11: "bpf", 0x1CD1: "devpts", 0x42494E4D: "binfmt_misc", 0x19800202: "mqueue",
    0x6E736673: "nsfs", 0x62656570: "configfs", 0x65735543: "fusectl", 0x7655821: "resctrl", 0x9FA1: "openpromfs",
    0xABBA1974: "xenfs",
}  # fmt: skip


def virtual_type(fd: int) -> str:
    """The name of the type of such a filesystem, on which the directory open at `fd` lies; "" where it lies on another one."""
    return TYPES.get(filesystem_type(b".", fd), "")


def behind_link(path: bytes, fd: int) -> bool:
    """Whether the absolute path by which the directory at `fd` was opened passes a link. Raises OSError."""
    return os.readlink(b"/proc/self/fd/%d" % fd) != path
