"""inotify: which directory an event belongs to, and what the kernel's own words become. Real kernel, real directories."""

from __future__ import annotations

import errno
import os
import select
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from waiting import eventually
from watched import Watched as WatchedBy

from shardwatch.shard.backend import calls
from shardwatch.shard.backend.base import Hints
from shardwatch.shard.backend.inotify import InotifyBackend
from shardwatch.shard.backend.patience import Patience, Untaken

Watched = WatchedBy[InotifyBackend]


@pytest.fixture
def watched(tmp_path: Path, options: dict[str, Any]) -> Iterator[Watched]:
    """The root is watched."""
    watched = Watched(tmp_path, InotifyBackend(**options))
    watched.watch(watched.root)
    yield watched
    watched.backend.close()


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
    watched = Watched(tmp_path, InotifyBackend(watches_max=1))
    watched.watch(watched.root)
    with pytest.raises(OSError, match="share") as raised:
        watched.made("d")
    assert raised.value.errno == errno.ENOSPC
    watched.backend.forget([watched.root])
    assert watched.backend.watches() == 0
    watched.watch(watched.root)
    watched.backend.close()


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
        backend._kept.add(b"".join(events), 1)
    return backend.take()


def test_names_wait_where_they_were_read_for_the_debounce_time(watched: Watched) -> None:
    """Nobody is woken for a save before it is over; whoever wants to know sooner is told all the same. What was read at another
    time is told by itself, and so is what could not wait."""
    patience = Patience()
    watched.backend._kept = Untaken(patience)
    patience.quiet_ns = 400_000_000

    def saved(name: str) -> None:
        size = watched.backend._kept.size
        (watched.base / name).write_text("x")
        eventually(lambda: watched.backend._kept.size > size)

    begun = time.monotonic_ns()
    saved("a")
    assert not select.select([watched.backend], [], [], 0)[0]
    hints = watched.take()
    assert (hints.names, hints.more) == ({watched.root: {b"a"}}, 0)
    assert begun < hints.at <= time.monotonic_ns()
    saved("b")
    assert select.select([watched.backend], [], [], 30.0)[0]
    assert time.monotonic_ns() - begun > patience.quiet_ns // 2
    (watched.base / "d").mkdir()
    assert select.select([watched.backend], [], [], 30.0)[0]
    later = [watched.take(), watched.backend.take()]
    assert [bool(hints.at) for hints in later] == [True, False]
    assert [hints.more for hints in later] == [1, 0]
    assert later[1].directories


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
    eventually(lambda: watched.backend._kept.size > 0)
    (watched.base / "b").write_text("x")
    watched.backend.drain()
    eventually(lambda: watched.backend._lost)
    hints = watched.take()
    assert hints.overflow
    assert watched.backend._kept.size == 0
    (watched.base / "c").write_text("x")
    assert watched.take().names == {watched.root: {b"c"}}


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
