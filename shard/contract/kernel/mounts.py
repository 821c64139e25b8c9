"""The table of mounts (/proc/self/mountinfo): what is mounted where, and how such a filesystem behaves. Empty if /proc has
none.

The table can be read without accessing the filesystems themselves, which may never answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final

#: Filesystems on which another machine, or a host outside this one, or a daemon below the filesystem, changes files
#: without an event here: they are polled. `fuse.*` is treated likewise, but not `fuseblk` (ntfs-3g, exfat): a local disk whose
#: every change passes through this kernel. Cluster filesystems (gfs2, ocfs2) and virtual machines' shared folders are remote.
REMOTE: Final = frozenset(
    [
        *("nfs", "nfs4", "cifs", "smb3", "smbfs", "smb2", "9p", "drvfs", "ncpfs", "afs", "coda"),
        *("ceph", "glusterfs", "lustre", "gpfs", "beegfs", "orangefs", "pvfs2", "gfs2", "ocfs2", "acfs"),
        *("virtiofs", "vboxsf", "hgfs", "vmhgfs", "prl_fs", "fuse"),
    ]
)
#: Filesystems whose contents the kernel makes up while somebody reads them: statfs(2) f_type -> name of the type (linux/magic.h).
#: The table of mounts has the same names.
MADE_UP: Final = {
    0x9FA0: "proc", 0x62656572: "sysfs", 0x27E0EB: "cgroup", 0x63677270: "cgroup2", 0x64626720: "debugfs",
    0x74726163: "tracefs", 0x73636673: "securityfs", 0xF97CFF8C: "selinuxfs", 0x43415D53: "smackfs", 0x6165676C: "pstore",
    0xDE5E81E4: "efivarfs", 0xCAFE4A11: "bpf", 0x1CD1: "devpts", 0x42494E4D: "binfmt_misc", 0x19800202: "mqueue",
    0x6E736673: "nsfs", 0x62656570: "configfs", 0x65735543: "fusectl", 0x7655821: "resctrl", 0x9FA1: "openpromfs",
    0xABBA1974: "xenfs", 0x67596969: "rpc_pipefs", 0x6E667364: "nfsd", 0x6C6F6F70: "binder",
}  # fmt: skip
#: Those of them on which what a file says changes without an event, and without another time or size: no root may lie there.
UNSEEN: Final = frozenset(["proc", "sysfs"])
_MADE_UP_NAMES: Final = frozenset(MADE_UP.values())
#: Filesystems that raise every event, but whose system calls wait for another process, which may hang.
_SERVED: Final = frozenset(["fuseblk", "autofs"])

#: Options of an overlay that name directories on other filesystems.
_LAYERS: Final = frozenset([b"lowerdir", b"lowerdir+", b"datadir+", b"upperdir"])
#: Between the types of a filesystem and of the one that it lies on.
_OVER: Final = " over "

_PROC = Path("/proc")


def read_mounts(proc: Path = _PROC) -> Iterator[tuple[bytes, str]]:
    """(mount point, type of the filesystem), in the order of mounting: of several on one point the last is on top."""
    try:
        table = (proc / "self/mountinfo").read_bytes()
    except OSError:
        return
    yield from parse_mounts(table)


def backing_file(device: bytes) -> bytes:
    """The file that a loop device shows as a disk; b"" for any other device. Accesses only what the kernel makes up."""
    name = device.removeprefix(b"/dev/")
    if not name.startswith(b"loop"):
        return b""
    disk = name[4:].partition(b"p")[0]  # loop3p1 is a part of loop3
    try:
        return Path(f"/sys/block/loop{int(disk)}/loop/backing_file").read_bytes().rstrip(b"\n")
    except (OSError, ValueError):
        return b""


def parse_mounts(table: bytes, backing: Callable[[bytes], bytes] = backing_file) -> Iterator[tuple[bytes, str]]:
    """Lines that can't be understood are left out. See proc_pid_mountinfo(5).

    What itself lies on filesystems, an overlay and a disk in a file, has both types: `overlay over fuse`, if that may hang.

    Args:
        backing: `backing_file`.
    """
    found: list[tuple[bytes, str]] = []
    sources: list[list[bytes]] = []
    for line in table.splitlines():
        mount, separator, source = line.partition(b" - ")
        fields = mount.split(b" ")
        if separator and len(fields) >= 5:
            sources.append(source.split(b" "))
            found.append((unescaped(fields[4]), sources[-1][0].decode("ascii", "replace")))
    if any(can_hang(kind) for _, kind in found):
        for number, source_fields in enumerate(sources):
            point, kind = found[number]
            lies_on = next(filter(can_hang, (holder(path, found)[1] for path in _below(source_fields, backing))), "")
            if lies_on:
                found[number] = point, f"{kind}{_OVER}{lies_on.rpartition(_OVER)[2]}"
    yield from found


def _below(source: list[bytes], backing: Callable[[bytes], bytes]) -> Iterator[bytes]:
    """The paths on other filesystems from which a filesystem takes what it shows.

    Args:
        source: the fields of its line in the table, from the type on.
    """
    if source[0] == b"overlay" and len(source) > 2:
        for option in source[2].split(b","):
            key, _, value = option.partition(b"=")
            if key in _LAYERS:
                yield from filter(None, map(unescaped, value.split(b":")))
    elif len(source) > 1 and (file := backing(source[1])):
        yield file


def holder(path: bytes, mounts: Iterable[tuple[bytes, str]]) -> tuple[bytes, str]:
    """The mount that an absolute, resolved path lies on: its point and type; (b"", "unknown") where none is known."""
    found, longest = (b"", "unknown"), -1
    for point, kind in mounts:
        inside = point == b"/" or path == point or path.startswith(point + b"/")
        if inside and len(point) >= longest:
            found, longest = (point, kind), len(point)
    return found


def is_remote(kind: str) -> bool:
    """Whether a filesystem of this type tells nothing of changes made elsewhere."""
    return kind in REMOTE or kind.startswith("fuse.")


def can_hang(kind: str) -> bool:
    """Whether system calls on a filesystem of this type wait for another machine or process, so perhaps for ever."""
    return is_remote(kind) or kind in _SERVED or _OVER in kind


def is_made_up(kind: str) -> bool:
    """Whether the kernel makes up what is in a filesystem of this type."""
    return kind in _MADE_UP_NAMES


def may_hold_roots(mounts: Iterable[tuple[bytes, str]]) -> list[tuple[bytes, str]]:
    """Those of the mounts on which a root may lie. Any other that is mounted over a root hides it, and is no part of it."""
    return [(point, kind) for point, kind in mounts if kind not in UNSEEN]


def deeper(root: bytes, points: Iterable[bytes], known: bytes) -> bytes | None:
    """The mount point that a root lies on, if it is below `known`, one that it lay on before; else None. Pure."""
    point = holder(root, ((point, "") for point in points))[0]
    return point if len(point) > len(known or b"/") else None


def unescaped(field: bytes) -> bytes:
    """Undoes the kernel's octal escapes of space, tab, newline and backslash."""
    first, *rest = field.split(b"\\")
    return first + b"".join(bytes([int(part[:3], 8)]) + part[3:] for part in rest)
