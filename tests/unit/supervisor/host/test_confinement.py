"""What control groups of both versions allow, as the files of containers, units and machines have it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from shardwatch.supervisor.host.confinement import Confinement, Limit, read_confinement

V2 = "31 23 0:28 / /sys/fs/cgroup rw,relatime shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"
#: A machine with both, as this one: the controllers are in version 1.
MIXED = (
    "30 23 0:27 / / rw - ext4 /dev/sda rw\n"
    "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
    "35 31 0:32 / /sys/fs/cgroup/mem\\040ory rw - cgroup cgroup rw,memory\n"
    "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
)
LIMITS = "Limit  Soft Limit  Hard Limit  Units\nMax open files            1024                 4096                 files\n"


class Machine:
    """What a process would see."""

    def __init__(self, base: Path, cgroup: str, mountinfo: str) -> None:
        self.root = base
        for name, text in (("7/cgroup", cgroup), ("self/mountinfo", mountinfo), ("7/limits", LIMITS)):
            self.put(f"proc/{name}", text)

    def put(self, name: str, text: str) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def read(self, environ: Mapping[str, str] | None = None) -> Confinement:
        return read_confinement(7, proc=self.root / "proc", root=self.root, environ=environ or {})


def test_the_tightest_group_of_a_unit_counts(tmp_path: Path) -> None:
    """Version 2: a unit in a slice. "max" is no limit, and what is used is that of the group with the limit."""
    machine = Machine(tmp_path, "0::/system.slice/sw.service\n", V2)
    top = "sys/fs/cgroup"
    files = {
        "system.slice/sw.service/memory.max": "max", "system.slice/sw.service/memory.high": "500",
        "system.slice/sw.service/memory.current": "200", "system.slice/memory.max": "400", "system.slice/memory.current": "300",
        "system.slice/sw.service/cpu.max": "50000 100000", "system.slice/cpu.max": "max 100000",
        "system.slice/sw.service/pids.max": "77", "system.slice/sw.service/pids.current": "5", "system.slice/pids.max": "max",
    }  # fmt: skip
    for name, text in files.items():
        machine.put(f"{top}/{name}", f"{text}\n")
    slice_ = str(tmp_path / top / "system.slice")
    assert machine.read() == Confinement(
        by="systemd", open_files=4096,
        memory=Limit(400, 300, "memory.max", slice_),
        processors=Limit(0.5, None, "cpu.max", f"{slice_}/sw.service"),
        processes=Limit(77, 5, "pids.max", f"{slice_}/sw.service"),
    )  # fmt: skip


@pytest.mark.parametrize("path", ["/", "/../../elsewhere", "/gone"])
def test_a_container_has_its_limits_at_the_top(tmp_path: Path, path: str) -> None:
    """Version 2 with a name space of its own; also where the group is none of those that can be seen."""
    machine = Machine(tmp_path, f"0::{path}\n", V2)
    machine.put("sys/fs/cgroup/memory.max", "1048576")
    machine.put(".dockerenv", "")
    found = machine.read()
    assert found.memory is not None and (found.memory.value, found.memory.used) == (1 << 20, None)
    assert (found.by, found.is_container, found.processors) == ("Docker", True, None)


@pytest.mark.parametrize(("path", "above"), [("/", "/../.."), ("/inner", "/../.."), ("/../x", "/../..")])
def test_a_group_without_a_name_is_found_by_its_processes(tmp_path: Path, path: str, above: str) -> None:
    """In a name space of control groups, with a mount from outside of it: what is above is called "..", for the mount too."""
    machine = Machine(tmp_path, f"0::{path}\n", V2.replace(" / /sys", f" {above} /sys"))
    group = {"/": "a/b", "/inner": "a/b/inner", "/../x": "a/x"}[path]
    for name, processes in ((group, "3\n7\n"), (group.replace("a/", "c/", 1), "17\n"), ("a/d", "70\n")):
        machine.put(f"sys/fs/cgroup/{name}/cgroup.procs", processes)
        machine.put(f"sys/fs/cgroup/{name}/memory.max", f"{len(processes)}000")
    machine.put("sys/fs/cgroup/a/pids.max", "9")
    found = machine.read()
    assert found.memory == Limit(4000, None, "memory.max", str(tmp_path / "sys/fs/cgroup" / group))
    assert found.processes is not None and found.processes.value == 9


def test_a_group_that_can_not_be_found_has_the_limits_at_the_top(tmp_path: Path) -> None:
    """Its processes have no numbers here, or it lies above all that is mounted."""
    for path, above in (("/", "/../.."), ("/../x", "/"), ("/", "/../b"), ("/a", "/b")):
        machine = Machine(tmp_path, f"0::{path}\n", V2.replace(" / /sys", f" {above} /sys"))
        machine.put("sys/fs/cgroup/memory.max", "5000")
        found = machine.read()
        assert found.memory is not None and found.memory.value == 5000


def test_the_mount_that_shows_the_group_counts(tmp_path: Path) -> None:
    """Others may show the groups of other containers, or a part of what is above."""
    mounts = V2.replace(" / /sys/fs/cgroup", " /a/b /one") + V2 + V2.replace(" / /sys/fs/cgroup", " /other /two")
    machine = Machine(tmp_path, "0::/a/b\n", mounts)
    for name, limit in (("one", 900), ("sys/fs/cgroup/a/b", 900), ("sys/fs/cgroup/a", 800), ("two", 100)):
        machine.put(f"{name}/memory.max", f"{limit}")
    found = machine.read()
    assert found.memory is not None and found.memory.value == 800


@pytest.mark.parametrize(("text", "killed"), [("low 0\noom 4\noom_kill 3\n", 3), ("", 0), ("oom_kill many\n", 0)])
def test_who_was_killed_counts_where_memory_is_limited(tmp_path: Path, text: str, killed: int) -> None:
    """In both versions; without a limit it was another one's."""
    second, first = Machine(tmp_path / "2", "0::/a\n", V2), Machine(tmp_path / "1", "5:memory:/a\n0::/a\n", MIXED)
    second.put("sys/fs/cgroup/a/memory.events", text)
    first.put("sys/fs/cgroup/mem ory/a/memory.oom_control", f"oom_kill_disable 0\n{text}")
    assert (second.read().killed, first.read().killed) == (0, 0)
    second.put("sys/fs/cgroup/memory.max", "5000")
    first.put("sys/fs/cgroup/mem ory/a/memory.limit_in_bytes", "5000")
    assert (second.read().killed, first.read().killed) == (killed, killed)


def test_version_1_is_understood(tmp_path: Path) -> None:
    """Each kind of limits has a mount of its own; a number near 2^63 and -1 are no limits."""
    machine = Machine(tmp_path, "5:memory:/a/b\n4:cpu,cpuacct:/a\n3:pids:/a\n0::/a\n", MIXED)
    for name, text in (("a/b", str((1 << 63) - 4096)), ("a", "9000"), ("", str(1 << 62))):
        machine.put(f"sys/fs/cgroup/mem ory/{name}/memory.limit_in_bytes", text)
    machine.put("sys/fs/cgroup/mem ory/a/memory.usage_in_bytes", "1")
    for name, quota in (("a", "-1"), ("", "150000")):
        machine.put(f"sys/fs/cgroup/cpu,cpuacct/{name}/cpu.cfs_quota_us", quota)
        machine.put(f"sys/fs/cgroup/cpu,cpuacct/{name}/cpu.cfs_period_us", "100000")
    top = f"{tmp_path}/sys/fs/cgroup"
    assert machine.read() == Confinement(
        open_files=4096,
        memory=Limit(9000, 1, "memory.limit_in_bytes", f"{top}/mem ory/a"),
        processors=Limit(1.5, None, "cpu.cfs_quota_us", f"{top}/cpu,cpuacct"),
    )


@pytest.mark.parametrize(
    ("cgroup", "files", "environ", "by"),
    [
        ("0::/kubepods.slice/x\n", [".dockerenv"], {}, "Kubernetes"),
        ("0::/\n", [".dockerenv"], {"KUBERNETES_SERVICE_HOST": "1"}, "Kubernetes"),
        ("0::/system.slice/docker-abc.scope\n", [], {}, "Docker"),
        ("0::/\n", ["run/.containerenv"], {}, "Docker"),
        ("0::/user.slice/x.scope\n", [], {}, "systemd"),
        ("0::/\n", [], {}, ""),
    ],
)
def test_who_has_set_them_is_recognised(
    tmp_path: Path, cgroup: str, files: list[str], environ: dict[str, str], by: str
) -> None:
    """By the names of groups, and by what containers leave in their files and environment."""
    machine = Machine(tmp_path, cgroup, V2)
    for name in files:
        machine.put(name, "")
    assert machine.read(environ).by == by


def test_what_can_not_be_read_is_no_limit(tmp_path: Path) -> None:
    """No /proc, and files that say something else."""
    assert read_confinement(7, proc=tmp_path, root=tmp_path, environ={}) == Confinement()
    machine = Machine(tmp_path, "0::/\nwhat\n", V2 + "short\n1 2 3 - cgroup\n")
    for name, text in (("memory.max", "much"), ("cpu.max", "1"), ("pids.max", "")):
        machine.put(f"sys/fs/cgroup/{name}", text)
    machine.put("proc/7/limits", LIMITS.replace("4096", "unlimited"))
    assert machine.read() == Confinement()
    (tmp_path / "sys/fs/cgroup/memory.max").write_bytes(b"\xff")
    assert machine.read().memory is None
    assert read_confinement(os.getpid()).open_files is not None
