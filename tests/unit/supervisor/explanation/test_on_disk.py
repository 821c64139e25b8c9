"""What is at a path, and what on the way to it stops those who look."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from shardwatch.shard.contract.state.directory import TAG, TAG_TEXT
from shardwatch.shard.disk.virtual_mounts import StillTable, VirtualMounts
from shardwatch.supervisor.audit.bounded_look import BoundedLook
from shardwatch.supervisor.explanation.on_disk import OnDisk, found_at
from shardwatch.supervisor.host.scouting import Scouts

Find = Callable[..., OnDisk]


@pytest.fixture
def find(tmp_path: Path) -> Iterator[Find]:
    """Looks for a path below `tmp_path`, its root."""
    with Scouts() as scouts:

        def found(relative: str, *, follow: bool = False) -> OnDisk:
            with BoundedLook(scouts, follow=follow) as look:
                return found_at(look, os.fsencode(tmp_path), os.fsencode(tmp_path / relative), follow=follow)

        yield found


def test_what_is_there(tmp_path: Path, find: Find) -> None:
    """A file with its stat as the index has it, a directory, a link, a FIFO, and nothing."""
    (tmp_path / "d").mkdir()
    file = tmp_path / "d" / "f"
    file.write_text("four")
    (tmp_path / "l").symlink_to("d")
    os.mkfifo(tmp_path / "p")
    stat = file.stat()
    found = find("d/f")
    assert (found.what, found.obstacle) == ("file", "")
    assert found.stat == (1, stat.st_dev, stat.st_ino, 1, 4, stat.st_mtime_ns, stat.st_ctime_ns)
    assert [find(name).what for name in ("d", "", "p", "d/none")] == ["directory", "directory", "special", "nothing"]
    link = find("l")
    assert (link.what, link.stat is not None) == ("link", True)
    assert find("l", follow=True).what == "directory"


def test_what_stands_in_the_way(tmp_path: Path, find: Find) -> None:
    """A link that is not followed, a missing directory, a file in its place, a state directory."""
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "f").write_text("")
    (tmp_path / "l").symlink_to("d")
    state = tmp_path / "state"
    state.mkdir()
    (state / TAG).write_bytes(TAG_TEXT)
    at = os.fsencode(tmp_path)
    assert find("l/f")[2:4] == (at + b"/l", "link")
    assert find("l/f", follow=True).what == "file"
    assert find("none/x/f")[2:4] == (at + b"/none", "missing")
    assert find("d/f/x")[2:4] == (at + b"/d/f", "no directory")
    assert find("state/x")[2:4] == (at + b"/state", "state directory")
    assert find("state") == OnDisk("directory", stop=at + b"/state", obstacle="state directory")


def test_a_name_that_no_filesystem_takes_is_no_defect(find: Find) -> None:
    """The error of the system is told."""
    found = find("x" * 300)
    assert (found.what, found.obstacle, bool(found.error)) == ("unknown", "unreadable", True)


def test_what_the_kernel_makes_up(tmp_path: Path) -> None:
    """At the mount point and below it, whatever is seen there; a file on which such a filesystem is mounted; and beside it."""
    root = os.fsencode(tmp_path)
    (tmp_path / "p/1").mkdir(parents=True)
    (tmp_path / "stat").write_text("x")
    mounts = StillTable([(b"/", "ext4"), (root + b"/p", "proc"), (root + b"/stat", "proc")])
    virtual = VirtualMounts(mounts, [root], lambda path: "proc")
    with Scouts() as scouts, BoundedLook(scouts, follow=False) as look:
        paths = (b"/p", b"/p/1/x", b"/stat", b"/q")
        found = {path: found_at(look, root, root + path, follow=False, virtual=virtual)[:4] for path in paths}
    assert found[b"/p"] == ("directory", None, root + b"/p", "made up")
    assert found[b"/p/1/x"] == ("nothing", None, root + b"/p", "made up")
    assert found[b"/stat"] == ("file", None, root + b"/stat", "made up")
    assert found[b"/q"] == ("nothing", None, None, "")
