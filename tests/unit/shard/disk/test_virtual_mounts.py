"""Where filesystems that the kernel makes up are mounted in the trees, by a table of mounts and by what is found there. Pure."""

from __future__ import annotations

import logging

import pytest

from shardwatch.shard.contract.kernel.mounts import MADE_UP, is_made_up
from shardwatch.shard.disk.virtual_mounts import StillTable, VirtualMounts

HOST = [(b"/", "ext4"), (b"/proc", "proc"), (b"/sys", "sysfs"), (b"/sys/fs/cgroup", "cgroup2"), (b"/dev", "devtmpfs")]
GUEST = [(b"/g/proc", "proc"), (b"/g/dev/pts", "devpts"), (b"/g/data", "xfs")]


class Kernel:
    """What statfs(2) would say of paths; counts how often it is asked."""

    def __init__(self, *mounts: tuple[bytes, str]) -> None:
        self.mounts = dict(mounts)
        self.asked: list[bytes] = []

    def __call__(self, path: bytes) -> str | None:
        self.asked.append(path)
        found = max((point for point in self.mounts if (path + b"/").startswith(point.rstrip(b"/") + b"/")), key=len)
        kind = self.mounts[found]
        return kind if is_made_up(kind) else ""


class Changing(StillTable):
    """A table that is read anew."""

    def change(self, *mounts: tuple[bytes, str]) -> None:
        super().__init__(mounts)
        self.version += 1


def test_an_ordinary_tree_costs_nothing() -> None:
    """Nothing is asked where none of these mounts lies in a tree, and nothing is asked of other paths."""
    kernel = Kernel(*HOST)
    it = VirtualMounts(StillTable(HOST), [b"/home/me", b"/srv"], kernel)
    assert it.none and it.at(b"/proc") == it.over(b"/srv", b"/srv") == "" and not it.among(b"/")
    names = [b"proc", b"b"]
    assert it.others(b"/home/me", names) is names and it.unsaid(b"/home/me", names) is names
    assert VirtualMounts(None, [b"/"], kernel).none and kernel.asked == []


def test_what_is_mounted_below_a_root() -> None:
    """Each type by its name; another filesystem is none; a name alone says nothing; asked once for each path."""
    kernel = Kernel(*HOST, *GUEST)
    it = VirtualMounts(StillTable([*HOST, *GUEST]), [b"/g"], kernel)
    assert not it.none
    for _ in range(2):
        assert it.at(b"/g/proc") == "proc" and it.at(b"/g/dev/pts") == "devpts"
        assert it.at(b"/g/data") == it.at(b"/g/x/proc") == it.at(b"/g/proc/1") == ""
    assert kernel.asked == [b"/g/proc", b"/g/dev/pts"]
    assert it.among(b"/g") and it.among(b"/g/dev") and not it.among(b"/g/proc")
    assert it.others(b"/g", [b"data", b"proc"]) == [b"data"]
    assert it.all_below() == [b"/g/dev/pts", b"/g/proc"]


def test_each_type_has_a_name_of_its_own() -> None:
    """The table of mounts and statfs(2) mean the same types."""
    assert len(set(MADE_UP.values())) == len(MADE_UP) and all(map(is_made_up, MADE_UP.values()))
    assert not any(map(is_made_up, ("ext4", "tmpfs", "devtmpfs", "overlay", "fuse.lxcfs", "hugetlbfs", "")))


def test_what_is_covered_does_not_count() -> None:
    """By another mount on the same point, which the table shows, or above it, which only the filesystem shows."""
    kernel = Kernel((b"/", "ext4"), (b"/g", "tmpfs"), (b"/g/sys", "tmpfs"))
    covered = [(b"/", "ext4"), (b"/g/proc", "proc"), (b"/g/sys", "sysfs"), (b"/g/sys", "tmpfs"), (b"/g", "tmpfs")]
    it = VirtualMounts(StillTable(covered), [b"/g"], kernel)
    assert it.at(b"/g/sys") == it.at(b"/g/proc") == "" and kernel.asked == [b"/g/proc"]
    assert it.all_below() == []


def test_a_root_that_was_asked_for() -> None:
    """It may lie on such a filesystem, and so may a root inside another; what is mounted below it is passed over."""
    mounts = [*HOST, (b"/sys/fs/cgroup/debug", "debugfs")]
    it = VirtualMounts(StillTable(mounts), [b"/", b"/sys/fs/cgroup"], Kernel(*mounts))
    assert it.at(b"/sys/fs/cgroup") == it.over(b"/sys/fs/cgroup", b"/sys/fs/cgroup") == ""
    assert it.over(b"/sys/fs/cgroup/a/b", b"/sys/fs/cgroup") == ""
    assert it.at(b"/sys/fs/cgroup/debug") == "debugfs" and it.at(b"/sys") == "sysfs"
    assert it.over(b"/sys/fs/cgroup/debug/x", b"/sys/fs/cgroup") == "debugfs"
    assert it.all_below() == [b"/proc", b"/sys", b"/sys/fs/cgroup/debug"]
    alone = VirtualMounts(StillTable(mounts[:-1]), [b"/sys/fs/cgroup"], Kernel(*mounts))
    assert alone.all_below() == [] and alone.over(b"/sys/fs/cgroup", b"/sys/fs/cgroup") == ""


def test_what_is_mounted_over_a_root() -> None:
    """proc and sysfs count there too, since no root may lie on them; others count below the root only."""
    for kind, counts in (("proc", "proc"), ("sysfs", "sysfs"), ("cgroup2", ""), ("tmpfs", "")):
        for point in (b"/g/top", b"/g"):
            mounts = [(b"/", "ext4"), (point, kind)]
            it = VirtualMounts(StillTable(mounts), [b"/g/top"], Kernel(*mounts))
            assert it.over(b"/g/top", b"/g/top") == counts
    mounts = [(b"/", "ext4"), (b"/g/top/a", "cgroup2")]
    it = VirtualMounts(StillTable(mounts), [b"/g/top/a/b"], Kernel(*mounts))
    assert it.over(b"/g/top/a/b", b"/g/top") == "cgroup2"


def test_what_was_passed_over(caplog: pytest.LogCaptureFixture) -> None:
    """It is told until it is unmounted, covered, or belongs to other tops; and the log names it once, however often that is."""
    caplog.set_level(logging.INFO)
    table, kernel = Changing([(b"/", "ext4"), (b"/g/proc", "proc")]), Kernel(*HOST, *GUEST)
    it = VirtualMounts(table, [b"/g"], kernel)
    assert it.unsaid(b"/g", [b"a", b"proc"]) == [b"a", b"proc"] and it.at(b"/g/proc")
    for _ in range(2):
        it.passed(b"/g/proc")
        assert it.all_passed() == [b"/g/proc"] and it.unsaid(b"/g", [b"a", b"proc"]) == [b"a"]
        it.begin_epoch()
        assert it.all_passed() == [] and it.unsaid(b"/g", [b"a", b"proc"]) == [b"a", b"proc"]
    it.passed(b"/g/proc")
    table.change((b"/", "ext4"), (b"/g/proc", "proc"), (b"/g/new", "tmpfs"))
    assert it.all_passed() == [b"/g/proc"]
    kernel.mounts[b"/g"] = "tmpfs"
    del kernel.mounts[b"/g/proc"]
    table.change((b"/", "ext4"), (b"/g/proc", "proc"), (b"/g", "tmpfs"))
    assert it.all_passed() == [] and it.at(b"/g/proc") == ""
    table.change((b"/", "ext4"))
    assert it.none and it.all_passed() == []
    it.keep_to([b"/other"])
    assert it.none
    assert [record.message for record in caplog.records] == ["/g/proc is not watched: the kernel makes up what is there (proc)"]


def test_what_cannot_be_asked_is_asked_again() -> None:
    """A directory above it can't be passed now: nothing is said of it, and nothing is remembered."""
    answers = [None, "proc"]
    it = VirtualMounts(StillTable([(b"/g/proc", "proc")]), [b"/g"], lambda path: answers.pop(0))
    assert it.at(b"/g/proc") == "" and it.at(b"/g/proc") == "proc" and it.at(b"/g/proc") == "proc"
