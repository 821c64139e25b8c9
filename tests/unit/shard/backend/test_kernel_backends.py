"""What the backends of the kernel have in common: which directory an event belongs to. Real kernel, real directories."""

from __future__ import annotations

import os
import select
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from waiting import eventually
from watched import Watched as WatchedBy

from shardwatch.shard.backend.base import Arrival, Backend
from shardwatch.shard.backend.beside import BesideBackend
from shardwatch.shard.backend.fanotify import FanotifyBackend
from shardwatch.shard.backend.inotify import InotifyBackend

Watched = WatchedBy[Backend]


def fanotify_first() -> BesideBackend:
    """As the service has it: inotify is not needed here."""
    return BesideBackend(InotifyBackend, FanotifyBackend, fanotify_first=True)


def inotify_first() -> BesideBackend:
    """fanotify is not needed here."""
    return BesideBackend(InotifyBackend, FanotifyBackend)


BACKENDS = [
    InotifyBackend,
    inotify_first,
    pytest.param(FanotifyBackend, marks=pytest.mark.root),
    pytest.param(fanotify_first, marks=pytest.mark.root),
]


@pytest.fixture(params=BACKENDS)
def watched(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Watched]:
    """The root is watched."""
    watched = Watched(tmp_path, request.param())
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
    assert hints.count >= 3
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
    d = watched.made("d")
    (watched.base.parent / "e").mkdir()
    (watched.base.parent / "e").rename(watched.base / "e")
    (watched.base / "e").rmdir()
    assert watched.take().directories == {(watched.root, b"d"): Arrival.MADE, (watched.root, b"e"): Arrival.RENAMED}
    (watched.base / "d").chmod(0o700)
    hints = watched.take()
    assert hints.directories == {(watched.root, b"d"): Arrival.NONE} or hints.selves == [d]
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
    assert watched.backend.watches() == len(watched.kernel()) == 1


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
    before = watched.kernel()
    (watched.base / "d").rename(watched.base / "e")
    e = watched.root.adopt(b"e")
    assert watched.watch(e) is d
    assert watched.watch(e) is d or watched.watch(e) is None
    watched.backend.forget(d.cut())
    watched.take()
    (watched.base / "e/f").write_text("x")
    assert watched.take().names == {e: {b"f"}}
    assert watched.kernel() == before


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
    before = watched.kernel()
    assert watched.watch(d) is None
    assert watched.kernel() == before


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


def test_what_can_not_be_watched_is_an_error(watched: Watched) -> None:
    """Of the kernel's own kind."""
    (watched.base / "f").write_text("x")
    fd = os.open(watched.base / "f", os.O_RDONLY)
    with pytest.raises(NotADirectoryError):
        watched.backend.watch(fd, watched.root.adopt(b"f"))
    os.close(fd)


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


@pytest.mark.parametrize("made", BACKENDS)
def test_nothing_is_left_behind(made: Callable[[], Backend], tmp_path: Path, no_leaks: None) -> None:
    """Neither the thread nor a descriptor."""
    for _ in range(3):
        watched = Watched(tmp_path, made())
        watched.watch(watched.root)
        watched.backend.close()
