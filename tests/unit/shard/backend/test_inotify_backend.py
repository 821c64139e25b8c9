"""inotify: which directory an event belongs to, and what the kernel's own words become. Real kernel, real directories."""

from __future__ import annotations

import errno
import os
import select
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from waiting import eventually

from shardwatch.shard.backend import calls
from shardwatch.shard.backend.base import Arrival, Hints
from shardwatch.shard.backend.inotify import InotifyBackend
from shardwatch.shard.tree.nodes import Node, Top


class Watched:
    """A backend, and directories by name."""

    def __init__(self, base: Path, **options: Any) -> None:
        self.base = base
        self.backend = InotifyBackend(**options)
        self.root = Top(os.fsencode(base), 0)

    def watch(self, node: Node) -> Node | None:
        fd = os.open(node.path(), os.O_RDONLY)
        try:
            return self.backend.watch(fd, node)
        finally:
            os.close(fd)

    def made(self, name: str, above: Node | None = None) -> Node:
        """A new directory, watched."""
        node = (above or self.root).adopt(os.fsencode(name))
        os.mkdir(node.path())
        assert self.watch(node) is None
        return node

    def same(self, path: Path, node: Node) -> bool:
        fd = os.open(path, os.O_RDONLY)
        try:
            return self.backend.same(fd, node)
        finally:
            os.close(fd)

    def take(self) -> Hints:
        self.backend.drain()
        return self.backend.take()

    def kernel(self) -> list[int]:
        """Watch descriptors that the kernel holds for this instance."""
        lines = Path(f"/proc/self/fdinfo/{self.backend._fd}").read_text().splitlines()
        return sorted(int(line.split("wd:")[1].split()[0], 16) for line in lines if line.startswith("inotify"))


@pytest.fixture
def options() -> dict[str, Any]:
    """Of the backend of `watched`; a test may set some."""
    return {}


@pytest.fixture
def watched(tmp_path: Path, options: dict[str, Any]) -> Iterator[Watched]:
    """The root is watched."""
    watched = Watched(tmp_path, **options)
    watched.watch(watched.root)
    yield watched
    watched.backend.close()


def test_files_become_names_to_look_at(watched: Watched) -> None:
    """One name each, however often it was written; exact bytes."""
    d = watched.made("d")
    odd = b"new\nline \xff .json"
    for name in (b"a", odd):
        for _ in range(3):
            Path(os.fsdecode(d.path() + b"/" + name)).write_text("x")
    (watched.base / "top").write_text("x")
    hints = watched.take()
    assert hints.names == {d: {b"a", odd}, watched.root: {b"top"}}
    assert hints
    assert hints.count >= 4
    assert not watched.take()


def test_reading_is_no_event(watched: Watched) -> None:
    """Else every scan would ask for the next."""
    (watched.base / "f").write_text("x")
    watched.take()
    (watched.base / "f").read_text()
    list(watched.base.iterdir())
    assert watched.take().count == 0


def test_directories_are_hints_of_their_own(watched: Watched) -> None:
    """One that was moved there must be scanned, even if it is known; a deletion after it takes nothing of that back. One that was
    made there need not be: if it is known, it was scanned since."""
    (watched.base / "d").mkdir()
    (watched.base.parent / "e").mkdir()
    (watched.base.parent / "e").rename(watched.base / "e")
    (watched.base / "e").rmdir()
    assert watched.take().directories == {(watched.root, b"d"): Arrival.MADE, (watched.root, b"e"): Arrival.RENAMED}
    (watched.base / "d").chmod(0o700)
    assert watched.take().directories == {(watched.root, b"d"): Arrival.NONE}
    (watched.base / "d").rename(watched.base / "g")
    assert watched.take().directories == {(watched.root, b"d"): Arrival.NONE, (watched.root, b"g"): Arrival.RENAMED}


def test_a_name_that_came_by_a_rename_is_said_to(watched: Watched) -> None:
    """It is a hint like any other, and one that a file may have moved; what was written there is not."""
    (watched.base / "a").write_text("1")
    watched.take()
    (watched.base / "a").rename(watched.base / "b")
    (watched.base / "c").write_text("2")
    hints = watched.take()
    assert hints.names == {watched.root: {b"a", b"b", b"c"}}
    assert hints.came == {watched.root: {b"b"}}


def test_a_directory_tells_its_own_end(watched: Watched) -> None:
    """Its parent may have no watch to tell. The kernel took the watch back by itself."""
    d = watched.made("d")
    (watched.base / "d").rmdir()
    hints = watched.take()
    assert d in hints.selves
    assert d.wd == -1
    assert watched.backend.watches() == 1
    assert len(watched.kernel()) == 1


def test_a_directory_tells_that_it_was_moved(watched: Watched, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Wherever to. Its watch goes along until it is cut."""
    d = watched.made("d")
    (watched.base / "d").rename(tmp_path_factory.mktemp("out") / "d")
    hints = watched.take()
    assert hints.selves == [d]
    assert d.wd > 0


def test_the_last_events_of_a_directory_that_is_gone_are_dropped(watched: Watched) -> None:
    """Rule 9: pending hints die with the watch."""
    d = watched.made("d")
    (watched.base / "d/f").write_text("x")
    (watched.base / "d/f").unlink()
    (watched.base / "d").rmdir()
    assert watched.take().names == {}
    assert not d.wd >= 0


def test_what_is_open_is_watched_not_what_its_path_leads_to(watched: Watched) -> None:
    """Rule 9: a path may lead elsewhere by the time that it is watched; and it may be too long for one."""
    (watched.base / "d").mkdir()
    fd = os.open(watched.base / "d", os.O_RDONLY)
    (watched.base / "d").rename(watched.base / "e")
    (watched.base / "elsewhere").mkdir()
    (watched.base / "d").symlink_to("elsewhere")
    node = watched.root.adopt(b"e")
    watched.backend.watch(fd, node)
    os.close(fd)
    (watched.base / "e/f").write_text("x")
    assert watched.take().names[node] == {b"f"}


def test_a_directory_that_was_moved_has_its_old_node_returned(watched: Watched) -> None:
    """The caller cuts it; the new one keeps the watch."""
    d = watched.made("d")
    (watched.base / "d").rename(watched.base / "e")
    e = watched.root.adopt(b"e")
    assert watched.watch(e) is d
    assert watched.watch(e) is d or watched.watch(e) is None
    watched.backend.forget(d.cut())
    watched.take()
    (watched.base / "e/f").write_text("x")
    assert watched.take().names == {e: {b"f"}}
    assert watched.backend.watches() == 2


def test_a_directory_in_two_places_hints_at_both(watched: Watched) -> None:
    """Rule 9: bind mounts and nested roots. The watch goes when the last of them goes."""
    d = watched.made("d")
    twins = []
    for name in (b"b1", b"b2"):  # as if it were mounted there
        fd = os.open(watched.base / "d", os.O_RDONLY)
        twins.append(watched.root.adopt(name))
        assert watched.backend.watch(fd, twins[-1]) is d
        os.close(fd)
    (watched.base / "d/f").write_text("x")
    (watched.base / "d/g").mkdir()
    hints = watched.take()
    assert hints.names == {node: {b"f"} for node in (d, *twins)}
    assert {node for node, name in hints.directories if name == b"g"} == {d, *twins}
    watched.backend.forget([d])
    (watched.base / "d/f").write_text("y")
    assert watched.take().names == {node: {b"f"} for node in twins}
    watched.backend.forget([twins[0], twins[0]])
    (watched.base / "d/f").write_text("z")
    assert watched.take().names == {twins[1]: {b"f"}}
    watched.backend.forget([twins[1]])
    assert len(watched.kernel()) == 1
    assert all(node.wd == -1 for node in (d, *twins))


def test_a_twin_can_be_the_first_to_go(watched: Watched) -> None:
    """The one that was registered first stays."""
    d = watched.made("d")
    fd = os.open(watched.base / "d", os.O_RDONLY)
    twin = watched.root.adopt(b"b")
    watched.backend.watch(fd, twin)
    os.close(fd)
    watched.backend.forget([twin])
    (watched.base / "d/f").write_text("x")
    assert watched.take().names == {d: {b"f"}}


def test_the_end_of_a_directory_is_the_end_of_all_its_places(watched: Watched) -> None:
    """None keeps a number that the kernel has taken back."""
    d = watched.made("d")
    fd = os.open(watched.base / "d", os.O_RDONLY)
    twin = watched.root.adopt(b"b")
    watched.backend.watch(fd, twin)
    os.close(fd)
    (watched.base / "d").rmdir()
    assert {d, twin} <= set(watched.take().selves)
    assert (d.wd, twin.wd, watched.backend.watches()) == (-1, -1, 1)


def test_watching_twice_is_watching_once(watched: Watched) -> None:
    """The same directory for the same node."""
    d = watched.made("d")
    assert watched.watch(d) is None
    assert watched.backend.watches() == 2


def test_same_tells_one_directory_from_another(watched: Watched) -> None:
    """Even with the number of its predecessor; and it leaves no watch behind."""
    d = watched.made("d")
    assert watched.same(watched.base / "d", d)
    before = watched.kernel()
    (watched.base / "other").mkdir()
    assert not watched.same(watched.base / "other", d)
    assert watched.kernel() == before
    (watched.base / "d").rmdir()
    (watched.base / "d").mkdir()
    assert not watched.same(watched.base / "d", d)
    watched.take()
    assert not watched.same(watched.base / "d", d)


def test_without_room_for_another_watch_it_is_another_directory(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel's limit is reached: the one that is watched would need no more room."""
    d = watched.made("d")
    code = [errno.ENOSPC]

    def refuse(fd: int) -> int:
        raise OSError(code[0], os.strerror(code[0]))

    monkeypatch.setattr(watched.backend, "_add", refuse)
    assert not watched.same(watched.base / "d", d)
    code[0] = errno.EACCES
    with pytest.raises(PermissionError):
        watched.same(watched.base / "d", d)


def test_no_more_watches_than_the_plan_gives(tmp_path: Path) -> None:
    """Rule 15: the rest is left to the user's other programs; the caller sweeps."""
    watched = Watched(tmp_path, watches_max=1)
    watched.watch(watched.root)
    with pytest.raises(OSError, match="share") as raised:
        watched.made("d")
    assert raised.value.errno == errno.ENOSPC
    watched.backend.forget([watched.root])
    assert watched.backend.watches() == 0
    watched.watch(watched.root)
    watched.backend.close()


def test_what_can_not_be_watched_is_an_error(watched: Watched) -> None:
    """Of the kernel's own kind."""
    (watched.base / "f").write_text("x")
    fd = os.open(watched.base / "f", os.O_RDONLY)
    with pytest.raises(NotADirectoryError):
        watched.backend.watch(fd, watched.root.adopt(b"f"))
    os.close(fd)


def test_without_an_instance_there_is_no_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    """fs.inotify.max_user_instances is reached."""
    monkeypatch.setattr(calls, "_init1", lambda flags: -1)
    with pytest.raises(OSError, match="inotify_init1"):
        InotifyBackend()


def event(wd: int, mask: int, name: bytes = b"") -> bytes:
    padded = name + b"\0" * (-len(name) % 16 or 16 if name else 0)
    return struct.pack("iIII", wd, mask, 0, len(padded)) + padded


def feed(backend: InotifyBackend, *events: bytes) -> Hints:
    """As if the kernel had said so."""
    with backend._reading:
        backend._chunks.append(b"".join(events))
        backend._backlog += len(backend._chunks[-1])
    return backend.take()


def test_the_kernels_overflow_puts_everything_in_doubt(watched: Watched) -> None:
    """The names that did come are still looked at."""
    hints = feed(
        watched.backend, event(watched.root.wd, calls.IN_MODIFY, b"f"), event(-1, calls.IN_Q_OVERFLOW),
        event(watched.root.wd, calls.IN_MODIFY, b"g"),
    )  # fmt: skip
    assert hints.overflow
    assert hints.names == {watched.root: {b"f", b"g"}}
    assert not watched.backend.take().overflow


def test_an_unmounted_filesystem_is_the_end_of_its_directories(watched: Watched) -> None:
    """Rule 12: whatever is there now is looked at, and not by a watch that the kernel has taken back."""
    d = watched.made("d")
    hints = feed(watched.backend, event(d.wd, calls.IN_UNMOUNT), event(d.wd, calls.IN_IGNORED))
    assert d in hints.selves
    assert d.wd == -1


def test_events_of_unknown_watches_are_nobodys(watched: Watched) -> None:
    """Left over from a watch that was given up."""
    hints = feed(
        watched.backend, event(999, calls.IN_MODIFY, b"f"), event(999, calls.IN_CREATE | calls.IN_ISDIR, b"d"),
        event(999, calls.IN_IGNORED), event(watched.root.wd, calls.IN_ATTRIB),
    )  # fmt: skip
    assert not hints
    assert hints.count == 4


def test_the_same_name_under_two_watches_is_two_names(watched: Watched) -> None:
    """What repeats is skipped by watch and name."""
    d = watched.made("d")
    watched.take()
    hints = feed(watched.backend, event(d.wd, calls.IN_MODIFY, b"f"), event(watched.root.wd, calls.IN_MODIFY, b"f"))
    assert hints.names == {d: {b"f"}, watched.root: {b"f"}}


@pytest.mark.parametrize("options", [{"backlog_bytes_max": 0}])
def test_a_backlog_is_bounded(watched: Watched) -> None:
    """Rule 15: beyond it, it is an overflow like the kernel's own; nothing is lost without a word."""
    (watched.base / "a").write_text("x")
    watched.backend.drain()
    eventually(lambda: watched.backend._backlog > 0)
    (watched.base / "b").write_text("x")
    watched.backend.drain()
    eventually(lambda: watched.backend._lost)
    hints = watched.take()
    assert hints.overflow
    assert watched.backend._backlog == 0
    (watched.base / "c").write_text("x")
    assert watched.take().names == {watched.root: {b"c"}}


def test_the_descriptor_wakes_the_main_loop_up(watched: Watched) -> None:
    """By itself: a thread does nothing but drain the kernel's queue."""
    poller = select.poll()
    poller.register(watched.backend.fileno(), select.POLLIN)
    assert poller.poll(0) == []
    for i in range(300):
        (watched.base / f"some-file-with-a-long-name-{i}").write_text("x")
    assert poller.poll(30_000)
    names: set[bytes] = set()

    def all_there() -> bool:
        names.update(watched.backend.take().names.get(watched.root, set()))
        return len(names) == 300

    eventually(all_there)
    eventually(lambda: not watched.backend.take() and poller.poll(0) == [])


def test_nothing_is_left_behind(tmp_path: Path, no_leaks: None) -> None:
    """Neither the thread nor a descriptor."""
    for _ in range(3):
        watched = Watched(tmp_path)
        watched.watch(watched.root)
        watched.backend.close()


#: For each line that it reads, 8,000 events, and then a line.
_MAKE = """
import os, sys
os.chdir(sys.argv[1])
for line in sys.stdin:
    for n in range(4_000):
        os.mknod("f")
        os.unlink("f")
    print(flush=True)
"""


def test_a_look_at_a_watched_directory_costs_no_event(watched: Watched) -> None:
    """While `same` asks the kernel about a directory again and again, another process makes and removes files there: each of
    the 200,000 events comes. Without IN_MASK_ADD some are lost.

    They come in parts that the kernel's queue of 16,384 holds, so that none is lost where nobody reads it for a while.
    """
    fd = os.open(watched.base, os.O_RDONLY)
    with subprocess.Popen([sys.executable, "-c", _MAKE, watched.base], stdin=-1, stdout=-1) as maker:
        assert maker.stdin is not None and maker.stdout is not None
        for _ in range(25):
            watched.backend.drain()
            os.write(maker.stdin.fileno(), b"\n")
            while not select.select([maker.stdout], [], [], 0)[0]:
                for _ in range(200):
                    assert watched.backend.same(fd, watched.root)
            assert maker.stdout.readline() == b"\n"
        maker.stdin.close()
    os.close(fd)
    watched.backend.drain()
    hints = watched.backend.take()
    assert (hints.count, hints.overflow) == (200_000, False)
