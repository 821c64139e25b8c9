"""A consumer's mirror stays equal to a tree on every filesystem, whichever backend watches it; the table of docs/filesystems.md.

Every filesystem is a root of four services at once, one for each backend. So each change is made once, and four mirrors are
compared with what is there.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import pytest
import session
from filesystems import Made, filesystem
from random_changes import RandomChanges
from running import EQUAL_S, GUARD_S, Consumer, Running, Stat, consuming, running, settings_for, walk
from waiting import eventually
from written_tables import WrittenTable

pytestmark = [pytest.mark.root, pytest.mark.xdist_group("filesystems")]

DOCUMENT = Path(__file__).parents[2] / "docs" / "filesystems.md"
KINDS = ("ext4", "xfs", "btrfs", "tmpfs", "overlayfs", "FUSE (bindfs)", "FUSE (sshfs)")
BACKENDS = ("inotify", "fanotify", "polling", "native")
#: (turns, changes of each filesystem in a turn), with --long and without.
LONG, SHORT = (15, 100), (2, 15)
SECOND = 10**9


def sdev_of(mount: Path) -> int:
    """The device of a mounted filesystem as the kernel writes it in /proc/PID/fdinfo. On btrfs a stat has another one."""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields = line.split()
        if fields[4] == str(mount):
            major, minor = map(int, fields[2].split(":"))
            return major << 20 | minor
    raise AssertionError(f"{mount} is no mount point")


def watched_by(backend: str, pids: list[int], mount: Path) -> str:
    """By what the kernel says of these processes: `fanotify`, if one of them has a mark on the filesystem; `inotify`, if they
    have a watch for each of its directories; else `polled`.

    watchdog's observer, which uses inotify here, loses watches when directories are renamed: only some have to be left.
    """
    wanted, watches = f"sdev:{sdev_of(mount):x}", 0
    for pid in pids:
        for info in Path(f"/proc/{pid}/fdinfo").iterdir():
            with contextlib.suppress(FileNotFoundError):  # closed meanwhile
                for line in info.read_text().splitlines():
                    words = line.split()
                    if wanted in words[1:] and words[0] == "fanotify":
                        return "fanotify"
                    watches += words[:1] == ["inotify"] and wanted in words
    if backend == "native" and watches:
        return "watchdog"
    directories = sum(1 for _ in os.walk(mount))
    assert watches == 0 or watches >= directories, f"{watches} watches for {directories} directories"
    return "inotify" if watches else "polled"


class Watched:
    """One of the filesystems, and what changes it: by its mount and, where that is another way, behind it."""

    def __init__(self, kind: str, made: Made, seed: int) -> None:
        self.kind = kind
        self.at = made.at
        self._there = made.behind or made.at
        self._unit = SECOND if "sshfs" in kind else 1
        self.changes = RandomChanges(seed, *dict.fromkeys((made.at, self._there)))

    def expected(self) -> dict[bytes, Stat]:
        """What a mirror must hold, by what is there, behind the mount."""
        top, there = os.fsencode(self.at), os.fsencode(self._there)
        found = walk(self._there, settings_for(self._there, include=("*.json",), exclude=()))
        return {top + path[len(there) :]: (size, mtime // self._unit) for path, (size, mtime) in found.items()}

    def held(self, consumer: Consumer) -> dict[bytes, Stat]:
        """What a mirror holds of it."""
        prefix = os.fsencode(self.at) + b"/"
        mirror = dict(consumer.mirror)
        return {path: (size, mtime // self._unit) for path, (size, mtime) in mirror.items() if path.startswith(prefix)}


def assert_equal(one: Watched, backend: str, consumer: Consumer) -> None:
    """Waits until the mirror holds what is there."""

    def equal() -> bool:
        assert consumer.error is None, consumer.error
        there, held = one.expected(), one.held(consumer)
        wrong = {path: (there.get(path), held.get(path)) for path in {*there, *held} if there.get(path) != held.get(path)}
        assert not wrong, f"{backend} on {one.kind}: (there, mirror): {dict(list(wrong.items())[:5])}"
        return True

    eventually(equal, EQUAL_S, every_s=0.1)


def test_the_mirror_holds_on_every_filesystem_by_every_backend(
    tmp_path: Path, request: pytest.FixtureRequest, no_leaks: None
) -> None:
    """Random changes, on FUSE half of them behind the mount; what watches each is what the document says.

    No sync is asked for, but with watchdog's observer in the short form: it loses events, and its mirror may differ until the
    rescan that comes each minute.
    """
    is_long = bool(request.config.getoption("--long"))
    turns, count = LONG if is_long else SHORT
    with contextlib.ExitStack() as stack:
        watched = [
            Watched(kind, stack.enter_context(filesystem(kind, tmp_path / f"fs{number}")), number)
            for number, kind in enumerate(KINDS)
        ]
        for one in watched:
            one.changes.make(count)
        mirrors: dict[str, tuple[Running, Consumer]] = {}
        for backend in BACKENDS:
            settings = settings_for(
                *(one.at for one in watched), include=("*.json",), exclude=(), backend=backend, shards=1, settle_ms=20,
                poll_ms=200, poll_ms_max=2_000, poll_cpu_percent=20.0,
            )  # fmt: skip
            place = session.place()
            service = stack.enter_context(running(place, settings))
            mirrors[backend] = service, stack.enter_context(consuming(service.layout.state_dir))
        for _ in range(turns):
            for one in watched:
                one.changes.make(count)
            for backend, (service, consumer) in mirrors.items():
                if backend == "native" and not is_long:
                    service.client.sync(GUARD_S, patience_s=GUARD_S)
                for one in watched:
                    assert_equal(one, backend, consumer)
        assert {backend: consumer.fresh for backend, (_, consumer) in mirrors.items()} == dict.fromkeys(BACKENDS, 0)
        shards = {
            backend: [int(row["pid"]) for row in service.client.status()["shards"]] for backend, (service, _) in mirrors.items()
        }
        table = WrittenTable(DOCUMENT, ["filesystem", *(f"`{backend}`" for backend in BACKENDS)], request.config)
        for one in watched:
            # What was made last, and holds no file that is watched, may still wait for its watch.
            cells = [eventually(lambda: watched_by(backend, shards[backend], one.at)) for backend in BACKENDS]  # noqa: B023 - at once
            table.agree(one.kind, cells)
        assert list(table.rows()) == list(KINDS)
