"""The table of mounts: read, compared, and asked where a root lies."""

from __future__ import annotations

from pathlib import Path

import pytest

from shardwatch.shard.contract.kernel.mounts import backing_file, can_hang, holder, is_remote, parse_mounts, read_mounts
from shardwatch.shard.disk.mounts import Mounts

ROOT = b"22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/vda rw"
DATA = b"30 22 0:30 / /data rw - tmpfs none rw"
ODD = b"31 30 0:31 / /data/with\\040space\\134\\012 rw - nfs4 server:/x rw"


class Table:
    """A file in place of /proc/self/mountinfo. A real one wakes poll(2) up when it changes; this one always does."""

    def __init__(self, path: Path, *lines: bytes, homes: tuple[tuple[bytes, bytes], ...] = ()) -> None:
        self.path = path / "mountinfo"
        self.write(*lines)
        self.mounts = Mounts(homes, str(self.path))
        self.mounts._poll = self  # type: ignore[assignment]

    def poll(self, timeout: int) -> list[int]:
        return [1]

    def write(self, *lines: bytes) -> None:
        self.path.write_bytes(b"\n".join(lines) + b"\n")


def test_points_are_exact_bytes() -> None:
    """The kernel escapes spaces, tabs, newlines and backslashes. What can't be understood is left out."""
    table = b"\n".join((ROOT, ODD, b"", b"nonsense", b"1 2 3 - x"))
    assert list(parse_mounts(table)) == [(b"/", "ext4"), (b"/data/with space\\\n", "nfs4")]


#: The options of an overlay, or the device of another filesystem -> the type that it is known by.
ON_OTHERS: dict[tuple[bytes, ...], str] = {
    (b"overlay", b"overlay", b"rw,lowerdir=/local:/net/a,upperdir=/up,workdir=/w"): "overlay over nfs4",
    (b"overlay", b"overlay", b"rw,lowerdir=/local,upperdir=/net"): "overlay over nfs4",
    (b"overlay", b"overlay", b"rw,lowerdir+=/local,lowerdir+=/with\\040space/x"): "overlay over fuse.sshfs",
    (b"overlay", b"overlay", b"rw,lowerdir=/local:/network,upperdir=/up,workdir=/net"): "overlay",
    (b"overlay", b"none", b"rw,lowerdir=/on/net,upperdir=/up"): "overlay over nfs4",
    (b"ext4", b"/dev/loop3", b"rw"): "ext4 over nfs4",
    (b"ext4", b"/dev/sda1", b"rw"): "ext4",
}


@pytest.mark.parametrize("source", ON_OTHERS, ids=lambda source: b" ".join(source).decode())
def test_what_lies_on_others_may_hang_as_they_do(source: tuple[bytes, ...]) -> None:
    """Overlays by their layers, disks in files by the files; also one above another. They are not remote for that."""
    lines = [
        ROOT, b"30 1 0:30 / /net rw - nfs4 server rw", b"31 1 0:31 / /with\\040space rw - fuse.sshfs x rw",
        b"32 1 0:32 / /on rw - overlay overlay rw,lowerdir=/net/layer,upperdir=/up",
        b"33 1 0:33 / /top rw - " + b" ".join(source),
    ]  # fmt: skip
    found = dict(parse_mounts(b"\n".join(lines), backing))
    assert found[b"/top"] == ON_OTHERS[source]
    assert can_hang(found[b"/top"]) is (" over " in ON_OTHERS[source])
    assert not is_remote(found[b"/top"])
    alone = dict(parse_mounts(b"\n".join((ROOT, lines[-1])), backing))
    assert alone[b"/top"] == source[0].decode()


def backing(device: bytes) -> bytes:
    """The one loop device of the test."""
    return b"/net/disk.img" if device == b"/dev/loop3" else b""


@pytest.mark.parametrize("device", [b"/dev/sda1", b"/dev/loop", b"/dev/loop-control", b"/dev/loop999999", b"none", b""])
def test_other_devices_have_no_file(device: bytes) -> None:
    """Nor does a loop device that does not exist."""
    assert backing_file(device) == b""


def test_the_table_is_read_where_there_is_one(tmp_path: Path) -> None:
    """None is no error."""
    (tmp_path / "self").mkdir()
    assert list(read_mounts(tmp_path)) == []
    (tmp_path / "self/mountinfo").write_bytes(DATA + b"\n")
    assert list(read_mounts(tmp_path)) == [(b"/data", "tmpfs")]


@pytest.mark.parametrize(
    ("path", "point"),
    [(b"/data", b"/data"), (b"/data/x/y", b"/data/x"), (b"/database", b"/"), (b"/data/xy", b"/data")],
)
def test_a_path_lies_on_the_innermost_mount(path: bytes, point: bytes) -> None:
    """Of several on one point the last is on top."""
    mounts = [(b"/", "ext4"), (b"/data", "xfs"), (b"/data/x", "nfs"), (b"/data", "tmpfs")]
    kinds = {b"/": "ext4", b"/data": "tmpfs", b"/data/x": "nfs"}
    assert holder(path, iter(mounts)) == (point, kinds[point])
    assert holder(b"/x", iter(())) == (b"", "unknown")


def test_what_comes_and_goes_is_named_once(tmp_path: Path) -> None:
    """Rule 12: mounting over a directory, unmounting, and another filesystem in the same place."""
    table = Table(tmp_path, ROOT, DATA)
    assert table.mounts.take_changes() == set()
    table.write(ROOT, DATA, ODD)
    assert table.mounts.take_changes() == {b"/data/with space\\\n"}
    assert table.mounts.take_changes() == set()
    table.write(ROOT, DATA.replace(b"30 22 0:30", b"33 22 0:33"))
    assert table.mounts.take_changes() == {b"/data", b"/data/with space\\\n"}
    table.mounts.close()


def test_a_root_whose_filesystem_is_not_mounted_is_told(tmp_path: Path) -> None:
    """Rule 12: by the point that it lay on when it was planned. Changes seen on that occasion are not lost."""
    homes = ((b"/data/tree", b"/data"), (b"/home/tree", b"/"), (b"/odd", b""))
    table = Table(tmp_path, ROOT, DATA, homes=homes)
    assert not any(table.mounts.gone(root) for root, _ in homes)
    table.write(ROOT)
    assert table.mounts.gone(b"/data/tree")
    assert not table.mounts.gone(b"/home/tree")
    assert not table.mounts.gone(b"/odd")
    assert not table.mounts.gone(b"/unplanned")
    assert table.mounts.take_changes() == {b"/data"}
    table.write(ROOT, DATA)
    assert not table.mounts.gone(b"/data/tree")
    table.mounts.close()


def test_what_was_mounted_after_planning_is_known_when_it_leaves(tmp_path: Path) -> None:
    """Rule 12: by the deepest point that the root lay on; until what is there without it is accepted."""
    tree = b"/data/tree"
    inner = b"32 30 0:32 / /data/tree rw - tmpfs none rw"
    table = Table(tmp_path, ROOT, homes=((tree, b"/"), (b"/home", b"/")))
    assert not table.mounts.left(tree)
    table.write(ROOT, DATA)
    assert not table.mounts.left(tree)
    table.write(ROOT, DATA, inner)
    assert not table.mounts.left(tree)
    table.write(ROOT, DATA)
    assert table.mounts.left(tree)
    assert not table.mounts.gone(tree)
    table.write(ROOT)
    assert table.mounts.left(tree)
    table.write(ROOT, DATA, inner)
    assert not table.mounts.left(tree)
    table.write(ROOT)
    table.mounts.stay(tree)
    assert not table.mounts.left(tree)
    assert not table.mounts.left(b"/home")
    table.write(ROOT, DATA)
    table.write(ROOT, DATA, ODD)
    assert not table.mounts.left(tree)
    table.write(ROOT)
    assert table.mounts.left(tree)
    table.mounts.close()


@pytest.mark.parametrize("kind", [b"proc", b"sysfs"])
def test_what_no_root_may_lie_on_is_not_waited_for(tmp_path: Path, kind: bytes) -> None:
    """It hides the root while it is mounted over it or above it, and nothing is missing when it is taken away."""
    tree = b"/data/tree"
    table = Table(tmp_path, ROOT, homes=((tree, b"/"),))
    for point in (tree, b"/data"):
        table.write(ROOT, b"32 30 0:32 / %b rw - %b none rw" % (point, kind))
        assert not table.mounts.left(tree)
        table.write(ROOT)
        assert not table.mounts.left(tree) and not table.mounts.gone(tree)
    table.mounts.close()


def test_a_shard_that_starts_later_is_told_by_the_plan(tmp_path: Path) -> None:
    """What came after planning and is away again by now."""
    path = tmp_path / "mountinfo"
    path.write_bytes(ROOT + b"\n")
    mounts = Mounts([(b"/data/tree", b"/")], str(path), later=[(b"/data/tree", b"/data")])
    assert mounts.left(b"/data/tree")
    assert not mounts.gone(b"/data/tree")
    mounts.close()


def test_without_a_table_nothing_changes(tmp_path: Path) -> None:
    """Elsewhere than on Linux, or where /proc is hidden."""
    mounts = Mounts([(b"/data/tree", b"/data")], str(tmp_path / "none"))
    assert mounts.take_changes() == set()
    assert not mounts.gone(b"/data/tree")
    mounts.close()


def test_the_kernels_table_can_be_watched(no_leaks: None) -> None:
    """Nothing is mounted in this moment, most likely; what matters is that poll(2) takes it."""
    mounts = Mounts()
    assert isinstance(mounts.take_changes(), set)
    mounts.close()
