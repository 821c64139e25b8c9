"""fanotify: marks on filesystems that come and go, filesystems that can't be marked, bounds. Real kernel, real filesystems."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import select
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import session
from descriptors import descriptors, opened_since
from disks import Image, small_disk
from filesystems import filesystem
from waiting import eventually
from watched import Watched as WatchedBy

from shardwatch.shard.backend import unreported
from shardwatch.shard.backend.beside import BesideBackend
from shardwatch.shard.backend.fanotify import FanotifyBackend
from shardwatch.shard.backend.inotify import InotifyBackend
from shardwatch.shard.contract.kernel import fanotify
from shardwatch.shard.tree.nodes import Top

pytestmark = [pytest.mark.root, pytest.mark.xdist_group("filesystems")]

Watched = WatchedBy[FanotifyBackend]


@pytest.fixture
def watched(tmp_path: Path, options: dict[str, Any]) -> Iterator[Watched]:
    """The root is watched."""
    watched = Watched(tmp_path, FanotifyBackend(**options))
    watched.watch(watched.root)
    yield watched
    watched.backend.close()


def test_what_happens_elsewhere_wakes_nobody(watched: Watched) -> None:
    """The kernel tells of the whole filesystem; only what concerns known directories becomes a hint. What is mounted anywhere
    does wake it, and another test may do that.
    """
    (watched.base / "unknown").mkdir()
    watched.take()
    for number in range(50):
        (watched.base / "unknown" / f"f{number}").write_text("x")
    watched.backend.drain()
    try:
        os.eventfd_read(watched.backend.fileno())
    except BlockingIOError:
        woken = False
    else:
        woken = not watched.backend._remounted
    assert not woken
    assert watched.backend.take().count == 0


def test_each_filesystem_has_a_mark(watched: Watched, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Mounted below the root: it is another one, whose changes its own mark reports."""
    before = watched.backend.watches()
    with small_disk(watched.base / "disk") as disk:
        node = watched.root.adopt(b"disk")
        watched.watch(node)
        (disk / "f").write_text("x")
        assert watched.take().names == {node: {b"f"}}
        assert watched.backend.watches() == len(watched.kernel()) == before + 1
        watched.backend.forget([node])
    eventually(lambda: watched.take() is not None and watched.backend.watches() == before)


def test_a_filesystem_that_is_mounted_again_is_marked_again(watched: Watched) -> None:
    """The kernel takes the mark back without a word. By the same device number, with the same handles, at the same place: all its
    directories are said to be in doubt, and what is watched anew is watched."""
    with Image(watched.base.with_name("disk"), ["mkfs.ext4", "-q", "-F"], 8 << 20) as disk:
        top = Top(os.fsencode(disk.at), 1)
        watched.watch(top)
        (disk.at / "d").mkdir()
        below = top.adopt(b"d")
        watched.watch(below)
        watched.take()
        disk.unmount()
        disk.mount()
        hints = watched.take()
        assert set(hints.selves) == {top, below}
        assert (top.wd, below.wd, watched.root.wd >= 0) == (-1, -1, True)
        assert not watched.same(disk.at, top)
        watched.watch(top)
        (disk.at / "f").write_text("x")
        assert watched.take().names == {top: {b"f"}}
        watched.backend.forget([top])


def test_the_thread_notices_that_something_was_unmounted(watched: Watched) -> None:
    """Nobody has to ask: the main loop is woken."""
    with small_disk(watched.base / "disk") as disk:
        node = Top(os.fsencode(disk), 1)
        watched.watch(node)
        watched.take()
    selves: list[object] = []

    def said() -> bool:
        selves.extend(watched.backend.take().selves)
        return node in selves

    eventually(said)
    assert node.wd == -1


@pytest.mark.parametrize(
    ("kind", "reason"), [("overlayfs", "no handles"), ("FUSE (bindfs)", "no id"), ("btrfs", "a subvolume")]
)
def test_a_filesystem_that_can_not_be_marked_is_refused(watched: Watched, kind: str, reason: str) -> None:
    """ENOSPC, so that something else watches it; with a reason for people. Asked again, the kernel is not asked again."""
    before = watched.kernel()
    with filesystem(kind, watched.base.with_name("fs")) as made:
        at = made.at
        if kind == "btrfs":
            at = made.at / "sub"
            subprocess.run(["btrfs", "-q", "subvolume", "create", at], check=True, capture_output=True)
        for _ in range(2):
            with pytest.raises(OSError, match=reason) as refused:
                watched.watch(Top(os.fsencode(at), 1))
            assert refused.value.errno == errno.ENOSPC
        assert watched.kernel() == before
        obstacle = fanotify.obstacle(os.fsencode(at))
        assert obstacle is not None


def test_a_copy_of_a_filesystem_is_refused(watched: Watched, tmp_path_factory: pytest.TempPathFactory) -> None:
    """It has the same id and the same handles, so its directories would be taken for those of the first."""
    base = tmp_path_factory.mktemp("copies")
    mkfs = ["mkfs.ext4", "-q", "-F", "-U", "5f2f4d0e-0000-4000-8000-000000000001"]
    with Image(base / "one", mkfs, 8 << 20) as one, Image(base / "two", mkfs, 8 << 20) as two:
        first, second = Top(os.fsencode(one.at), 1), Top(os.fsencode(two.at), 2)
        watched.watch(first)
        before = watched.kernel()
        with pytest.raises(OSError, match="the same id"):
            watched.watch(second)
        assert watched.kernel() == before
        assert not watched.same(two.at, first)
        (two.at / "f").write_text("x")
        assert watched.take().names == {}


def test_without_the_capability_nothing_is_marked(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the kernel says to a user, told with what is missing."""
    with small_disk(watched.base / "disk") as disk:
        monkeypatch.setattr(fanotify, "mark", lambda group, fd: (_ for _ in ()).throw(PermissionError(errno.EPERM, "no")))
        with pytest.raises(OSError, match="CAP_SYS_ADMIN"):
            watched.watch(Top(os.fsencode(disk), 1))
        monkeypatch.setattr(fanotify, "mark", lambda group, fd: (_ for _ in ()).throw(PermissionError(errno.EACCES, "no")))
        watched.backend._refused.clear()
        with pytest.raises(PermissionError):
            watched.watch(Top(os.fsencode(disk), 1))


def test_the_kernels_overflow_puts_everything_in_doubt() -> None:
    """Its queue is full because nobody reads. What it held is still looked at, and what comes after it is reported again."""
    base = session.place(where=session.memory())
    watched = Watched(base, FanotifyBackend())
    try:
        watched.watch(watched.root)
        most = int(Path("/proc/sys/fs/fanotify/max_queued_events").read_text())
        with watched.backend._deciding:  # the thread waits here
            for number in range(most + 100):
                os.mknod(base / f"f{number}")
        hints = watched.take()
        assert hints.overflow
        assert 0 < len(hints.names[watched.root]) <= most
        (base / "after").write_text("x")
        hints = watched.take()
        assert (hints.names, hints.overflow) == ({watched.root: {b"after"}}, False)
    finally:
        watched.backend.close()
        shutil.rmtree(base)


def test_without_a_group_there_is_no_backend(monkeypatch: pytest.MonkeyPatch, no_leaks: None) -> None:
    """fs.fanotify.max_user_groups is reached. What was opened before is closed."""

    def refuse(flags: int, how: int) -> int:
        ctypes.set_errno(errno.EMFILE)
        return -1

    before = descriptors()
    monkeypatch.setattr(fanotify, "_init", refuse)
    with pytest.raises(OSError, match="Too many open files"):
        FanotifyBackend()
    assert opened_since(before) == []


def feed(backend: FanotifyBackend, chunk: bytes) -> None:
    """As if the kernel had said so."""
    with backend._deciding:
        backend._decode(chunk)


def test_damage_puts_everything_in_doubt(watched: Watched) -> None:
    """Once; what comes after it counts again."""
    feed(watched.backend, b"damaged")
    assert watched.take().overflow
    (watched.base / "f").write_text("x")
    hints = watched.take()
    assert (hints.names, hints.overflow) == ({watched.root: {b"f"}}, False)


@pytest.mark.parametrize("options", [{"names_max": 10}])
def test_names_that_are_kept_are_bounded(watched: Watched) -> None:
    """Rule 15: one that changes again and again is one; beyond the bound, it is an overflow like the kernel's own."""
    for _ in range(30):
        (watched.base / "same").write_text("x")
        watched.backend.drain()
    hints = watched.backend.take()
    assert (hints.names, hints.overflow) == ({watched.root: {b"same"}}, False)
    for number in range(30):
        (watched.base / f"f{number}").write_text("x")
        watched.backend.drain()
    hints = watched.backend.take()
    assert hints.overflow
    assert len(hints.names.get(watched.root, ())) <= 11
    assert not watched.take().overflow


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Watched]:
    """The root is watched, on a filesystem on which nobody else writes; ten events make noise of a directory that is not."""
    with filesystem("tmpfs", tmp_path / "alone") as made:
        watched = Watched(made.at, FanotifyBackend(loud_events=10))
        watched.watch(watched.root)
        yield watched
        watched.backend.close()


def write(directory: Path, files: int = 20) -> None:
    directory.mkdir(exist_ok=True)
    for number in range(files):
        (directory / f"f{number}").write_text("x")


def reported(watched: Watched, directory: Path) -> bool:
    """Whether the kernel still reports what happens to files in a directory that is not watched."""
    watched.take()
    fd = os.open(directory, os.O_RDONLY)
    try:
        key = fanotify.filesystem_id(fd) + fanotify.Handles().of(fd)
    finally:
        os.close(fd)
    with watched.backend._deciding:  # the thread waits here
        counts = watched.backend._noise.counts
        counts.clear()
        write(directory, 2)
        while select.select([watched.backend._fd], [], [], 0)[0]:
            watched.backend._decode(os.read(watched.backend._fd, 1 << 16))
        return key in counts


def test_noise_is_ignored_by_the_kernel(alone: Watched) -> None:
    """Until the directory is watched: from then on, everything in it is reported."""
    quiet, busy = alone.base / "quiet", alone.base / "busy"
    write(quiet, 2)
    write(busy)
    assert reported(alone, quiet)
    assert not reported(alone, busy)
    node = alone.root.adopt(b"busy")
    alone.watch(node)
    assert len(alone.backend._unreported) == 0
    (busy / "f1").write_text("y")
    assert alone.take().names == {node: {b"f1"}}


def test_noise_that_is_moved_into_the_tree_is_reported(alone: Watched) -> None:
    """Its arrival is no change of a file, so it is reported in any case."""
    write(alone.base / "busy")
    assert not reported(alone, alone.base / "busy")
    (alone.base / "busy").rename(alone.base / "moved")
    assert (alone.root, b"moved") in alone.take().directories
    node = alone.root.adopt(b"moved")
    alone.watch(node)
    (alone.base / "moved" / "f1").unlink()
    assert alone.take().left == {node: {b"f1"}}


def test_no_more_than_so_many_directories_are_ignored(alone: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    """The longest ignored one is reported again."""
    monkeypatch.setattr(unreported, "IGNORED_MAX", 2)
    busy = [alone.base / f"busy{number}" for number in range(3)]
    for directory in busy:
        write(directory)
        alone.take()
    assert [reported(alone, directory) for directory in busy] == [True, False, False]


def test_noise_that_is_gone_is_forgotten(alone: Watched) -> None:
    """Whether it disappears before it is ignored, or is to make room for others."""
    write(alone.base / "gone")
    shutil.rmtree(alone.base / "gone")
    alone.take()
    assert len(alone.backend._unreported) == 0


def test_a_kernel_that_can_not_ignore_is_asked_once(alone: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before Linux 6.0, and without CAP_DAC_READ_SEARCH: all is reported and passed over."""
    asked = []

    def refuse(near: int, handle: bytes) -> int:
        asked.append(handle)
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(fanotify, "open_by_handle", refuse)
    for name in ("one", "two"):
        write(alone.base / name)
        alone.take()
    assert len(asked) == 1
    assert reported(alone, alone.base / "one")
    assert alone.take().count == 0


def test_what_can_not_be_reported_again_is_not_watched(alone: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    """Such a directory would lose changes: whoever wants to watch it is told, and polls it."""
    write(alone.base / "busy")
    assert not reported(alone, alone.base / "busy")

    def refuse(group: int, fd: int) -> None:
        raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))

    with monkeypatch.context() as patch:
        patch.setattr(fanotify, "report_again", refuse)
        with pytest.raises(OSError, match="allocate"):
            alone.watch(alone.root.adopt(b"busy"))
    alone.watch(alone.root.adopt(b"busy"))
    assert len(alone.backend._unreported) == 0


@contextlib.contextmanager
def beside(base: Path, **options: Any) -> Iterator[WatchedBy[BesideBackend]]:
    """Both, opened as needed."""
    watched = WatchedBy(base, BesideBackend(lambda: InotifyBackend(watches_max=1), FanotifyBackend, **options))
    try:
        yield watched
    finally:
        watched.backend.close()


def test_fanotify_takes_what_inotify_has_no_room_for(tmp_path: Path) -> None:
    """One watch for two directories; and each directory is known by who watches it."""
    with beside(tmp_path) as watched:
        assert watched.backend.name == "inotify"
        watched.watch(watched.root)
        assert (watched.backend.name, watched.backend.second()) == ("inotify", None)
        d = watched.made("d")
        assert watched.backend.name == "inotify+fanotify"
        assert watched.backend.watches() == 2
        assert watched.backend.second() == ("fanotify", "the plan's share of the watches is used up", 1, d)
        (tmp_path / "f").write_text("x")
        (tmp_path / "d/g").write_text("x")
        hints = watched.take()
        assert {node: names for node, names in hints.names.items() if names} == {watched.root: {b"f"}, d: {b"g"}}
        assert watched.same(tmp_path, watched.root) and watched.same(tmp_path / "d", d)
        assert not watched.same(tmp_path, d)
        watched.backend.forget([watched.root, d])
        assert (watched.root.wd, d.wd) == (-1, -1)
        assert not watched.same(tmp_path, watched.root)


def test_inotify_takes_what_fanotify_refuses(tmp_path: Path) -> None:
    """An overlay has no handles; where inotify has no room either, it says what would help."""
    with filesystem("overlayfs", tmp_path / "fs") as made, beside(made.at, fanotify_first=True) as watched:
        assert watched.backend.name == "fanotify"
        watched.watch(watched.root)
        assert (watched.backend.name, watched.root.wd < 1 << 31) == ("inotify", True)
        assert watched.backend.second() == ("inotify", "its filesystem has no handles for directories", 1, watched.root)
        (made.at / "f").write_text("x")
        assert watched.take().names == {watched.root: {b"f"}}
        with pytest.raises(OSError, match="share of the watches"):
            watched.made("d")
        watched.backend.forget([watched.root])
        assert watched.backend.second() is None


def test_what_can_not_be_opened_is_tried_once(tmp_path: Path) -> None:
    """No group is left, and no instance: then nothing is watched, for the reason that inotify gives."""
    tried: list[int] = []

    def refuse() -> InotifyBackend:
        tried.append(1)
        raise OSError(errno.EMFILE, "none")

    watched = WatchedBy(tmp_path, BesideBackend(refuse, refuse, fanotify_first=True))
    try:
        for _ in range(2):
            with pytest.raises(OSError, match="no inotify instance left") as refused:
                watched.watch(watched.root)
            assert refused.value.errno == errno.ENOSPC
        assert len(tried) == 2
        assert watched.backend.is_impossible("inotify")
        assert not watched.take()
    finally:
        watched.backend.close()
