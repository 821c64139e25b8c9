"""Is the machine as it was before the tests? `take FILE` notes how it is, `compare FILE` names what differs.

Looked at: what lies in the folders that no test may touch (type, mode, owner, size, time of change, where a link leads to),
sysctls, mounts, loop devices, cgroups and processes of ours, and what tests leave in folders of temporary files. Exits with 1
where anything differs. Standard library only. Files are not read: a write changes their times.
"""

from __future__ import annotations

import json
import os
import stat
import sys
import time
from collections.abc import Iterator
from pathlib import Path

FOLDERS = ("/etc", "/home", "/root", "/usr/local", "/var/lib", "/opt", "/srv")
#: Where this Python lies it writes what it compiled, whoever runs it.
_COMPILED = "__pycache__"
_PYTHON = tuple({os.path.realpath(path) + "/" for path in (sys.base_prefix, "/usr/local/lib/python3", "/usr/lib/python3")})
#: Sysctls below these, as far as they can be written.
SYSCTLS = ("/proc/sys/fs", "/proc/sys/user", "/proc/sys/vm", "/proc/sys/kernel")
#: What the kernel changes by itself, or what is no setting but a command.
_NO_SETTING = ("random/", "ns_last_pid", "drop_caches", "compact_memory", "stat_refresh", "sched_domain", "firmware_config")
#: Places where tests work, and the names of what is theirs.
TEMPORARY = ("/tmp", "/dev/shm", "/var/tmp")
_OURS = ("swt-", "sw-", "shardwatch", "swperf-", "own-")
#: Locks of the tests, and what is not theirs (`make test` in one clone while another is checked).
_STAYS = ("shardwatch-tests-",)
#: Seconds in which a process may still end by itself.
_GRACE_S = 5.0


def entries(folder: str, left_out: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """(path, what it is) of a folder and of everything in it; links are not followed."""
    waiting = [folder]
    while waiting:
        path = waiting.pop()
        if path in left_out or path.endswith(_COMPILED):
            continue
        try:
            st = os.lstat(path)
        except OSError:
            continue
        leads = f" -> {os.readlink(path)!r}" if stat.S_ISLNK(st.st_mode) else ""
        size = "" if stat.S_ISDIR(st.st_mode) else f" {st.st_size} bytes"
        times = "" if stat.S_ISDIR(st.st_mode) and path.startswith(_PYTHON) else f" {st.st_mtime_ns} {st.st_ctime_ns}"
        yield path, f"{stat.filemode(st.st_mode)} {st.st_uid}:{st.st_gid}{size}{times}{leads}"
        if stat.S_ISDIR(st.st_mode):
            try:
                waiting += [entry.path for entry in os.scandir(path)]
            except OSError:
                continue


def sysctls() -> Iterator[tuple[str, str]]:
    for base in SYSCTLS:
        for above, _, names in os.walk(base):
            for path in (os.path.join(above, name) for name in names):
                if any(part in path for part in _NO_SETTING):
                    continue
                try:
                    if os.lstat(path).st_mode & 0o200:
                        yield path, Path(path).read_bytes().decode(errors="replace").strip()
                except OSError:
                    continue


def mounts() -> Iterator[tuple[str, str]]:
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields = line.split()
        yield f"mount {fields[4]} ({fields[0]})", " ".join(fields[2:])


def devices() -> Iterator[tuple[str, str]]:
    for device in Path("/sys/block").glob("loop*/loop/backing_file"):
        yield f"loop device {device.parts[3]}", device.read_text().strip()
    for above, _, _ in os.walk("/sys/fs/cgroup"):
        if os.path.basename(above).startswith(_OURS):  # others come and go with whoever else is on the machine
            yield f"cgroup {above}", "a cgroup"


def processes() -> Iterator[tuple[str, str]]:
    """Ours: by their modules, or by the mark of a run of tests."""
    for entry in os.scandir("/proc"):
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                command = Path(entry.path, "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
                marked = b"SW_TESTS_MARK=" in Path(entry.path, "environ").read_bytes()
            except OSError:
                continue
            if marked or "-m shardwatch." in command or "-m chaos" in command or "tests/guard.py" in command:
                yield f"process {entry.name}", command


def leftovers() -> Iterator[tuple[str, str]]:
    for folder in TEMPORARY:
        for entry in os.scandir(folder) if os.path.isdir(folder) else ():
            if entry.name.startswith(_OURS) and not entry.name.startswith(_STAYS):
                yield entry.path, "there"


PARTS = (sysctls, mounts, devices, processes, leftovers)


def taken(left_out: tuple[str, ...]) -> dict[str, str]:
    found: dict[str, str] = {}
    for folder in FOLDERS:
        found.update(entries(folder, left_out))
    for part in PARTS:
        found.update(part())
    return found


def differences(before: dict[str, str], now: dict[str, str]) -> list[str]:
    """One line for everything that is new, gone or another."""
    lines = []
    for what in sorted(before.keys() | now.keys()):
        old, new = before.get(what), now.get(what)
        if old is None:
            lines.append(f"new: {what}: {new}")
        elif new is None:
            # A process that was there before may end, and a folder of somebody else's run may go.
            if old != "there" and not what.startswith("process "):
                lines.append(f"gone: {what}: {old}")
        elif old != new:
            lines.append(f"changed: {what}: {old} | {new}")
    return lines


def main(arguments: list[str]) -> int:
    what, file, *left_out = arguments
    # The clone itself, where it lies in one of the folders: make writes there.
    own = tuple(os.path.realpath(path) for path in (*left_out, Path(__file__).parents[1]))
    if what == "take":
        Path(file).write_text(json.dumps(taken(own)))
        return 0
    before = json.loads(Path(file).read_text())
    deadline = time.monotonic() + _GRACE_S
    while (lines := differences(before, taken(own))) and time.monotonic() < deadline:
        time.sleep(0.5)
    for line in lines:
        print(line)
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
