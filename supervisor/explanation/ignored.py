"""Which line of which ignore file leaves a path out."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from shardwatch.shard.contract.files.paths import join
from shardwatch.shard.contract.state.settings import Settings
from shardwatch.shard.disk.ignore_setting import ignore_files_of

from ..audit.bounded_look import BoundedLook

if TYPE_CHECKING:
    from shardwatch.shard.contract.filter.ignores import IgnoreCause


class Ignored(NamedTuple):
    """A path that is left out."""

    #: The path, or the first directory above it that is left out.
    at: bytes
    #: What leaves it out; None for `.git` itself.
    cause: IgnoreCause | None


def ignored(settings: Settings, root: bytes, path: bytes, look: BoundedLook, *, directory: bool) -> Ignored | None:
    """What leaves a path below a root out, as the ignore files are now; None if nothing does. Those that cannot be read, or lie
    on a filesystem that does not answer, count as absent.

    Args:
        directory: whether the path is asked about as one of a directory.
    """
    files = ignore_files_of(settings, look.guard)
    if files is None:
        return None
    files.descend(root)
    at, names = root, path[len(root) :].strip(b"/").split(b"/")
    for number, name in enumerate(names, 1):
        files.read(at)
        above, at = at, join(at, name)
        is_directory = directory or number < len(names)
        kept = files.directories if is_directory else files.files
        if not kept(above, [name]):
            return Ignored(at, files.cause(at, directory=is_directory))
    return None
