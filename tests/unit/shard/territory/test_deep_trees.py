"""A chain of nested directories costs its length, however it comes about; what is nested too deep is left out and told."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from descriptors import descriptors, opened_since
from engine import Engine, rows
from faulty_disk import FaultyDisk

from shardwatch.shard.contract.files.paths import Nearest
from shardwatch.shard.contract.filter.filter import Filter
from shardwatch.shard.contract.limits import PATH_BYTES_MAX
from shardwatch.shard.disk import calls
from shardwatch.shard.territory import descent
from shardwatch.shard.territory.descent import DESCRIPTORS_MAX, Descent, Level, OpenLevels
from shardwatch.shard.tree.nodes import Node, Top
from shardwatch.supervisor.config import profile


@pytest.fixture
def disk() -> FaultyDisk:
    """Counts the listings of the engine's shard."""
    return FaultyDisk()


@pytest.fixture
def engine(tmp_path: Path, disk: FaultyDisk) -> Iterator[Engine]:
    engine = Engine(tmp_path, {"": "s0"}, disk=disk)
    engine.until_quiet()
    yield engine
    engine.close()
    subprocess.run(["rm", "-rf", tmp_path / "tree"], check=True)  # Python's own rmtree recurses


def chain(top: bytes, names: list[bytes], each: Callable[[int], object] = lambda fd: None) -> None:
    """Directories one in another; `each` is called with the descriptor of every one, the innermost last."""
    fd = os.open(top, os.O_RDONLY)
    for name in names:
        os.mkdir(name, dir_fd=fd)
        below = os.open(name, os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
        each(fd)
    os.close(fd)


def put(fd: int, name: bytes = b"f.json") -> None:
    os.close(os.open(name, os.O_WRONLY | os.O_CREAT, dir_fd=fd))


def test_a_chain_that_grows_while_it_is_scanned_is_listed_once(engine: Engine, disk: FaultyDisk) -> None:
    """Each directory is made after its parent is watched and before it is listed: the scan comes upon it, and a hint tells of it.
    Every such hint once led to a scan of all that was below."""
    left = 300

    def grow(path: bytes) -> None:
        nonlocal left
        if left and b"d" not in os.listdir(path):
            left -= 1
            os.mkdir(path + b"/d")
            (Path(os.fsdecode(path)) / "f.json").touch()

    disk.before_listing = grow
    disk.listed.clear()
    os.mkdir(engine.root + b"/d")
    engine.until_quiet()
    assert left == 0
    assert engine.difference() == ({}, {})
    assert len(disk.listed) < 3 * 300


def test_a_directory_that_is_moved_in_is_scanned_although_it_is_known(engine: Engine) -> None:
    """It is moved out of the tree, changed there, and moved back: hints of what was changed there led nowhere."""
    os.makedirs(engine.root + b"/d/e")
    engine.until_quiet()
    os.rename(engine.root + b"/d", engine.root + b"/../away")
    Path(os.fsdecode(engine.root + b"/../away/e/f.json")).write_text("{}")
    engine.until_quiet()
    os.rename(engine.root + b"/../away", engine.root + b"/d")
    engine.until_quiet()
    assert engine.difference() == ({}, {})


def test_a_renamed_chain_is_listed_once_more(engine: Engine, disk: FaultyDisk) -> None:
    """Its top has another name: 400 listings, not 400 for each level."""
    chain(engine.root, [b"d"] * 400, put)
    engine.until_quiet()
    disk.listed.clear()
    os.rename(engine.root + b"/d", engine.root + b"/e")
    engine.until_quiet()
    assert engine.difference() == ({}, {})
    assert len(disk.listed) < 3 * 400


def test_a_chain_of_any_length_is_removed(engine: Engine) -> None:
    chain(engine.root, [b"d"] * 400, put)
    engine.until_quiet()
    subprocess.run(["rm", "-rf", engine.root + b"/d"], check=True)
    engine.until_quiet()
    assert rows(engine.index) == {}
    assert len(engine.shards["s0"].territory.directories) == 1
    assert engine.shards["s0"].backend.watches() == 1


def test_what_is_nested_too_deep_is_left_out_and_told(engine: Engine) -> None:
    """Files and directories up to the bound have rows, none beyond it; status names one directory for all, until it is gone."""
    shard = engine.shards["s0"]

    def deep() -> list[tuple[str, int]]:
        engine.until_quiet()
        found = shard.territory.report()
        return [(d.state, len(d.path)) for d in found]

    assert deep() == []
    name = b"n" * 100
    chain(engine.root, [name] * 100, put)
    [(state, length)] = deep()
    assert state == "too deep"
    assert PATH_BYTES_MAX - 101 <= length <= PATH_BYTES_MAX
    known = rows(engine.index)
    longest = max(len(path) for path, _ in known)
    assert longest <= PATH_BYTES_MAX
    assert len([path for path, directory in known if directory]) == (PATH_BYTES_MAX - len(engine.root)) // 101
    assert engine.sync() == {"ok": True}
    subprocess.run(["rm", "-rf", engine.root + b"/" + name], check=True)
    assert deep() == []
    assert rows(engine.index) == {}


def test_a_name_at_the_bound_is_kept_and_the_next_longer_one_is_not(engine: Engine) -> None:
    """A path of exactly the bound's length; one made later than its directory was listed, too."""
    rest = PATH_BYTES_MAX - len(engine.root) - 1 - len(b"/.json")
    names = [b"n" * 200] * (rest // 201)
    room = rest - 201 * len(names)
    last = -1

    def keep(fd: int) -> None:
        nonlocal last
        if last >= 0:
            os.close(last)
        last = os.dup(fd)

    chain(engine.root, names, keep)
    engine.until_quiet()
    try:
        for length in (room, room + 1):
            put(last, b"x" * (length + 1) + b".json")
        engine.until_quiet()
        files = [path for path, directory in rows(engine.index) if not directory]
        assert [len(path) for path in files] == [PATH_BYTES_MAX]
    finally:
        os.close(last)


def test_a_scan_holds_few_descriptors(engine: Engine, disk: FaultyDisk) -> None:
    """In each of 150 levels two directories: at each level something is left to enter while the scan goes down."""
    most = 0

    def count(path: bytes) -> None:
        nonlocal most
        most = max(most, len(opened_since(before)))

    def two(fd: int) -> None:
        os.mkdir("a", dir_fd=fd)
        put(fd)

    chain(engine.root, [b"d"] * 150, two)
    before = descriptors()
    disk.before_listing = count
    engine.until_quiet()
    assert engine.difference() == ({}, {})
    assert most < DESCRIPTORS_MAX + 8


@pytest.mark.parametrize("when", ["closed", "opened again"])
def test_a_descent_that_cannot_tell_directories_apart_leaves_one_in_doubt(
    when: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_leaks: None
) -> None:
    """Its filesystem answers no more, as when its server has ended: no error ends the scan, nor is anything passed over in
    silence."""
    doubts: list[int] = []

    def refuse(fd: int) -> tuple[int, int]:
        raise OSError(errno.ENOTCONN, "")

    found = Descent(lambda path: os.open(path, os.O_RDONLY), lambda level, error: doubts.append(error.errno or 0), OpenLevels())
    path, node = os.fsencode(tmp_path), Top(os.fsencode(tmp_path), 0)
    levels = [Level(os.open(path, os.O_RDONLY), node, path, [b"d"]) for _ in range(DESCRIPTORS_MAX + 1)]
    if when == "closed":
        monkeypatch.setattr(descent, "identity", refuse)
    for level in levels:
        found.push(level)
    monkeypatch.setattr(descent, "identity", refuse)
    left = 0
    while (nearest := found.nearest()) is not None:
        left += 1
        nearest.names.pop()
    assert (left, doubts) == (DESCRIPTORS_MAX, [errno.ENOTCONN])
    found.close()


@pytest.mark.parametrize("change", ["same", "replaced", "gone", "unreadable"])
def test_a_descent_comes_back_to_a_directory_that_it_had_closed(change: str, tmp_path: Path) -> None:
    """It goes on there only if it is the same directory; one that can't be opened again is in doubt."""
    doubts: list[bytes] = []

    def opens(path: bytes) -> int:
        if change == "unreadable":
            raise OSError(errno.EMFILE, "")
        return calls.open_directory(path)

    descent = Descent(opens, lambda level, error: doubts.append(level.path), OpenLevels())
    path, node = os.fsencode(tmp_path), Node(None, b"")
    node = Top(path, 0)
    for n in range(DESCRIPTORS_MAX + 1):
        descent.push(Level(os.open(path, os.O_RDONLY), node, path, [b"left"] if n == 0 else [b"d"]))
        path += b"/d"
        os.mkdir(path)
        node = node.adopt(b"d")
    base = tmp_path.with_name("base")
    if change in ("replaced", "gone"):
        tmp_path.rename(base)
    if change == "replaced":
        tmp_path.mkdir()
    left = []
    while (level := descent.nearest()) is not None:
        left.append(level.names.pop())
    assert (b"left" in left) == (change == "same")
    assert doubts == ([os.fsencode(tmp_path)] if change == "unreadable" else [])
    if base.exists():
        if tmp_path.exists():
            tmp_path.rmdir()
        base.rename(tmp_path)
    descent.close()


def test_a_verdict_below_many_levels_costs_no_walk_from_the_top() -> None:
    """More levels than verdicts are remembered: going down decides each directory once."""
    ours = Filter([*profile.INCLUDE, "/keep/**/x?.json"], profile.EXCLUDE)
    decided = 0
    below = ours._below

    def count(*arguments: object) -> object:
        nonlocal decided
        decided += 1
        return below(*arguments)  # type: ignore[arg-type]

    ours._below = count  # type: ignore[method-assign, assignment]
    path = b"d"
    for _ in range(2_000):
        assert not ours.prunes(path)
        assert ours.keeps(path + b"/f.json")
        path += b"/d"
    assert decided == 2_000


def test_the_nearest_directory_is_found_without_walking_up() -> None:
    """Roots and anchors above a path, the root of all among them; a longer name is no directory below."""
    nearest = Nearest([b"/a", b"/a/b", b"/ab/c"])
    paths = [b"/a", b"/a/x", b"/a/b", b"/a/b/c", b"/ab", b"/ab/c/d", b"/a/bc", b"/", b"/x"]
    assert [nearest.of(p) for p in paths] == [b"/a", b"/a", b"/a/b", b"/a/b", None, b"/ab/c", b"/a", None, None]
    assert [Nearest([b"/", b"/a"]).of(p) for p in (b"/", b"/x/y", b"/a/y")] == [b"/", b"/", b"/a"]
    assert Nearest([]).of(b"/a") is None


@pytest.mark.parametrize("openat2", [True, False])
def test_a_path_of_any_length_is_opened(openat2: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In pieces, without following a link in any of them; a component that is too long is told as such."""
    monkeypatch.setattr(calls, "_have_openat2", openat2 and calls._have_openat2)
    top = os.fsencode(tmp_path)
    names = [b"n" * 250] * 40
    chain(top, names, put)
    path = b"/".join([top, *names])
    fd = calls.open_directory(path)
    assert os.listdir(fd) == ["f.json"]
    os.close(fd)
    with pytest.raises(NotADirectoryError):
        calls.open_directory(path + b"/f.json")
    with pytest.raises(FileNotFoundError):
        calls.open_directory(path + b"/none")
    with pytest.raises(OSError, match="too long"):
        calls.open_directory(top + b"/" + b"n" * 5_000)
    (tmp_path / "link").symlink_to(os.fsdecode(names[0]))
    with pytest.raises(OSError, match="link") as caught:
        calls.open_directory(b"/".join([top, b"link", *names[1:]]))
    assert caught.value.errno in calls.ABSENT
    subprocess.run(["rm", "-rf", top + b"/" + names[0]], check=True)
