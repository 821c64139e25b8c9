"""inotify limits and filesystems, read from a /proc made for the test."""

from __future__ import annotations

from pathlib import Path

import pytest

from shardwatch.shard.contract.kernel.usage import held_by, held_by_user
from shardwatch.supervisor.planning.limits import (
    InotifyLimits,
    budget,
    filesystem,
    instances_remedy,
    read_inotify_limits,
    watches_remedy,
)

LIMITS = InotifyLimits(watches=1000, instances=128, queue=16384, watches_used=300, instances_used=20)


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    """A /proc with limits, and three processes: two of user 7 (one with two instances), one of user 8."""
    knobs = tmp_path / "sys/fs/inotify"
    knobs.mkdir(parents=True)
    for name, value in (("max_user_watches", 1000), ("max_user_instances", 128), ("max_queued_events", 16384)):
        (knobs / name).write_text(f"{value}\n")
    (tmp_path / "uptime").write_text("1")
    process(tmp_path, 10, uid=7, instances=[3, 2])
    process(tmp_path, 11, uid=7, instances=[1])
    process(tmp_path, 12, uid=8, instances=[50])
    return tmp_path


def process(proc: Path, pid: int, *, uid: int, instances: list[int]) -> Path:
    """A process directory whose descriptor 0 is a file and the next ones inotify instances with so many watches."""
    at = proc / str(pid)
    (at / "fd").mkdir(parents=True)
    (at / "fdinfo").mkdir()
    (at / "status").write_text(f"Name:\tx\nUid:\t1\t{uid}\t1\t1\n")
    (at / "fd/0").symlink_to("pipe:[1]")
    (at / "fdinfo/0").write_text("pos:\t0\n")
    for fd, watches in enumerate(instances, 1):
        (at / f"fd/{fd}").symlink_to("anon_inode:inotify")
        lines = ["pos:\t0", "flags:\t00", *(f"inotify wd:{i} ino:1 sdev:1 mask:1" for i in range(watches))]
        (at / f"fdinfo/{fd}").write_text("\n".join(lines) + "\n")
    return at


def test_used_is_the_sum_over_the_users_processes(proc: Path) -> None:
    """Limits as they stand; watches and instances of all processes with that effective user."""
    assert read_inotify_limits(7, proc) == InotifyLimits(1000, 128, 16384, watches_used=6, instances_used=3)
    assert read_inotify_limits(9, proc).watches_used == 0
    assert held_by(10, proc) == (2, 5)
    assert held_by(99, proc) == (0, 0)
    assert held_by_user(7, proc, but=10) == (1, 1, 0)


def test_processes_that_vanish_or_are_closed_to_us_are_passed_over(proc: Path) -> None:
    """A process without fd directory is gone, one whose fd can't be listed is counted as unreadable."""
    gone = process(proc, 13, uid=7, instances=[4])
    (gone / "fdinfo/1").unlink()
    (proc / "14").mkdir()
    without_fd = proc / "15"
    without_fd.mkdir()
    (without_fd / "status").write_text("Uid:\t7\t7\t7\t7\n")
    closed = proc / "16"
    closed.mkdir()
    (closed / "status").write_text("Uid:\t7\t7\t7\t7\n")
    (closed / "fd").write_text("not a directory: listing it raises, as it does without permission")
    limits = read_inotify_limits(7, proc)
    assert (limits.watches_used, limits.instances_used, limits.unreadable) == (6, 3, 1)


def test_without_inotify_nothing_is_available(tmp_path: Path) -> None:
    """Another system has no such files: all zero, and no error."""
    limits = read_inotify_limits(7, tmp_path / "none")
    assert not limits.available
    assert filesystem(b"/", tmp_path / "none") == ("unknown", False)


def test_this_machine_can_be_read() -> None:
    """The real /proc gives limits that are available, and the real root a filesystem."""
    assert read_inotify_limits().available
    assert filesystem(b"/")[0] != "unknown"


def test_budget_keeps_a_reserve_and_counts_what_is_ours_as_free() -> None:
    """A tenth stays with others; what this service holds already is not taken twice; never below zero."""
    assert (budget(LIMITS).watches_max, budget(LIMITS).shards_max) == (600, 95)
    assert budget(LIMITS, own_watches=300, own_instances=20).watches_max == 900
    full = InotifyLimits(watches=100, instances=1, queue=1, watches_used=100, instances_used=1)
    assert (budget(full).watches_max, budget(full).shards_max) == (0, 0)


def test_remedies_make_enough_room() -> None:
    """The command to run: rounded up, above what there is, and enough for what is needed with the reserve."""
    assert watches_remedy(LIMITS, 5000) == "sysctl -w fs.inotify.max_user_watches=65536"
    assert watches_remedy(LIMITS, 100_000) == "sysctl -w fs.inotify.max_user_watches=196608"
    assert instances_remedy(LIMITS, 200) == "sysctl -w fs.inotify.max_user_instances=256"
    raised = InotifyLimits(watches=65536, instances=128, queue=1, watches_used=0, instances_used=0)
    assert int(watches_remedy(raised, 10).split("=")[1]) > raised.watches
    for need in (1, 10_000, 1_000_000):
        made = int(watches_remedy(LIMITS, need).split("=")[1])
        assert budget(InotifyLimits(made, 128, 1, LIMITS.watches_used, 0)).watches_max >= need


@pytest.mark.parametrize(
    ("path", "kind", "remote"),
    [
        (b"/", "ext4", False),
        (b"/home/me", "ext4", False),
        (b"/mnt/nfs", "nfs4", True),
        (b"/mnt/nfs/deep", "nfs4", True),
        (b"/mnt/nfsother", "ext4", False),
        (b"/mnt/with space/x", "cifs", True),
        (b"/mnt/ssh", "fuse.sshfs", True),
        (b"/mnt/ntfs", "fuseblk", False),
        (b"/mnt/vm", "virtiofs", True),
        (b"/mnt/over", "tmpfs", False),
        (b"/mnt/\xff", "9p", True),
    ],
)
def test_filesystem_is_that_of_the_longest_mount(tmp_path: Path, path: bytes, kind: str, remote: bool) -> None:
    """The mount point with the longest common path decides, the last of several on one; escapes are undone."""
    lines = [
        rb"1 0 8:1 / / rw - ext4 /dev/sda1 rw",
        rb"2 1 0:1 / /mnt/nfs rw shared:1 - nfs4 host:/x rw",
        rb"3 1 0:2 / /mnt/with\040space rw - cifs //host/x rw",
        rb"4 1 0:3 / /mnt/ssh rw - fuse.sshfs host: rw",
        rb"5 1 8:2 / /mnt/ntfs rw - fuseblk /dev/sdb1 rw",
        rb"6 1 0:4 / /mnt/vm rw - virtiofs vm rw",
        rb"7 1 0:5 / /mnt/over rw - nfs host:/y rw",
        rb"8 1 0:6 / /mnt/over rw - tmpfs none rw",
        b"9 1 0:7 / /mnt/\xff rw - 9p share rw",
        rb"damaged line",
    ]
    (tmp_path / "self").mkdir()
    (tmp_path / "self/mountinfo").write_bytes(b"\n".join(lines) + b"\n")
    assert filesystem(path, tmp_path) == (kind, remote)
