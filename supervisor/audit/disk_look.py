"""Looks at single directories and names for an audit. May block for as long as the filesystem takes."""

from __future__ import annotations

import os
import stat
from collections.abc import Collection
from typing import Final, NamedTuple

from shardwatch.aggregator.index.reading import Stat
from shardwatch.shard.contract.files.packed import DIRECTORY, FILE, INT_MAX, INT_MIN, LINK
from shardwatch.shard.contract.files.paths import join
from shardwatch.shard.contract.limits import PATH_BYTES_MAX
from shardwatch.shard.contract.state.directory import TAG_NAME, is_state_directory
from shardwatch.shard.disk.calls import open_directory
from shardwatch.shard.disk.virtual import behind_link, virtual_type

_KINDS: Final = {stat.S_IFREG: FILE, stat.S_IFDIR: DIRECTORY, stat.S_IFLNK: LINK}


class Entry(NamedTuple):
    """A name in a directory."""

    name: bytes
    #: As the index keeps it: the kind alone of a directory.
    stat: Stat
    #: Whether the name is a link, whatever it leads to.
    is_link: bool


def entries(path: bytes, *, follow: bool, mounted: Collection[bytes] = ()) -> list[Entry]:
    """All files, directories and links in a directory; none in a state directory, and none where a followed link leads to what
    the kernel makes up. Raises OSError if it can't be read.

    Args:
        path: absolute.
        mounted: paths where filesystems that may hang are mounted. These names are taken for directories without a look, since
            to look at one would be to ask its filesystem.
        follow: whether links, also those in `path`, are followed; one that leads nowhere, or back, is a link.
    """
    fd = open_directory(path, follow=follow)
    try:
        # Through the descriptor: a path may be longer than the kernel takes, and would be walked for each name.
        with os.scandir(fd) as items:
            names = [os.fsencode(item.name) for item in items]
        if TAG_NAME in names and is_state_directory(fd):
            return []
        if follow and virtual_type(fd) and behind_link(path, fd):
            return []
        short = [name for name in names if len(path) + 1 + len(name) <= PATH_BYTES_MAX]
        unasked = {name for name in short if join(path, name) in mounted} if mounted else set()
        found = [_entry(path, name, fd, follow=follow) for name in short if name not in unasked]
        found += [Entry(name, (DIRECTORY,), is_link=False) for name in unasked]
    finally:
        os.close(fd)
    return [entry for entry in found if entry is not None]


def entry_at(path: bytes, *, follow: bool) -> Entry | None:
    """What is at one path; None for nothing, or nothing of ours. Raises OSError if its directory can't be opened."""
    parent, name = os.path.split(path)
    fd = open_directory(parent, follow=follow)
    try:
        return _entry(parent, name, fd, follow=follow)
    finally:
        os.close(fd)


class Glance(NamedTuple):
    """What is at a path, whether the index should know it or not."""

    #: As lstat has it.
    mode: int
    #: Bytes.
    size: int
    mtime_ns: int
    #: Whether this process may read it; of a directory, whether it may also look into it.
    readable: bool
    #: Whether it is a state directory of shardwatch.
    is_state: bool


def glance(path: bytes, *, follow: bool) -> Glance | None:
    """What is at one path; None for nothing. A link in front of the last name is an error unless `follow`. Raises OSError."""
    parent, name = os.path.split(path)
    try:
        fd = open_directory(parent, follow=follow)
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        name = name or b"."
        found = os.stat(name, dir_fd=fd, follow_symlinks=False)
        is_directory = stat.S_ISDIR(found.st_mode)
        wanted = os.R_OK | os.X_OK if is_directory else os.R_OK
        readable = stat.S_ISLNK(found.st_mode) or os.access(name, wanted, dir_fd=fd)
        is_state = is_directory and readable and _is_state(name, fd)
        return Glance(found.st_mode, found.st_size, found.st_mtime_ns, readable, is_state)
    except FileNotFoundError:
        return None
    finally:
        os.close(fd)


def _is_state(name: bytes, at: int) -> bool:
    """Whether a directory is a state directory of shardwatch."""
    fd = open_directory(name, at=at)
    try:
        return is_state_directory(fd)
    finally:
        os.close(fd)


def _entry(directory: bytes, name: bytes, fd: int, *, follow: bool) -> Entry | None:
    """What a name in the directory that is open at `fd` is; None for nothing, or nothing of ours."""
    try:
        found = os.stat(name, dir_fd=fd, follow_symlinks=False)
        is_link = stat.S_ISLNK(found.st_mode)
        if follow and is_link and not _loops(join(directory, name)):
            found = _followed(name, fd, found)
    except OSError:
        return None
    kind = _KINDS.get(stat.S_IFMT(found.st_mode))
    if kind is None:
        return None
    if kind == DIRECTORY:
        return Entry(name, (kind,), is_link)
    numbers = (found.st_dev, found.st_ino, found.st_nlink, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
    return Entry(name, (kind, *(max(INT_MIN, min(number, INT_MAX)) for number in numbers)), is_link)


def _followed(name: bytes, fd: int, link: os.stat_result) -> os.stat_result:
    """The stat of what a link leads to, or of the link if that is nothing."""
    try:
        return os.stat(name, dir_fd=fd)
    except OSError:
        return link


def _loops(path: bytes) -> bool:
    """Whether a link leads to a directory that the path has passed already, or in which it lies."""
    target = os.path.realpath(path).rstrip(b"/") + b"/"
    above = os.path.dirname(path)
    while not (os.path.realpath(above) + b"/").startswith(target):
        above, below = os.path.dirname(above), above
        if above == below:
            return False
    return True
