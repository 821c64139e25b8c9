"""What the user named to be watched: directories, single files, and what is not there yet."""

from __future__ import annotations

import os
import stat
from typing import Final

import msgspec

from shardwatch.shard.contract.filter import Filter
from shardwatch.shard.contract.settings import Settings

#: The trouble of a path that `--wait-for-roots` waits for.
NOT_THERE: Final = "does not exist"


def with_files(settings: Settings, before: Settings | None = None) -> Settings:
    """The settings for the engine: of what was named, files become `files`, and what has to be watched for them `roots`.

    What is not there may become either, and is waited for as both, with `wait_for_roots`; or it is what it was before.

    Args:
        settings: as the configuration gives them: all that was named is in `roots`.
        before: those of the state directory's last service.
    """
    roots: list[bytes] = []
    files: list[bytes] = []
    for path in settings.roots:
        is_file = _is_file(path)
        known = before is not None and path in before.files
        waited_for = is_file is None and settings.wait_for_roots
        if is_file or (is_file is None and (known or waited_for)):
            files.append(path)
        if not is_file and (not known or waited_for or (before is not None and path in before.roots)):
            roots.append(path)
    filter = Filter(settings.include, settings.exclude)
    only: list[bytes] = []
    for directory in dict.fromkeys(os.path.dirname(path) for path in files):
        if not _is_reached(directory, roots, filter, recursive=settings.recursive):
            only.append(directory)
    return msgspec.structs.replace(settings, roots=(*roots, *only), files=tuple(files), only=tuple(only))


def _is_reached(directory: bytes, roots: list[bytes], filter: Filter, *, recursive: bool) -> bool:
    """Whether the nearest root above, or at, a directory has it watched."""
    above = [root for root in roots if directory == root or directory.startswith(root.rstrip(b"/") + b"/")]
    if not above:
        return False
    relative = directory[len(max(above, key=len)) :].lstrip(b"/")
    return not relative or (recursive and not filter.prunes(relative))


def _is_file(path: bytes) -> bool | None:
    """True for a file, and for a link to anything but a directory; False for whatever else is there; None for nothing."""
    try:
        mode = os.lstat(path).st_mode
        if stat.S_ISLNK(mode):
            return not os.path.isdir(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError:
        return False
    return stat.S_ISREG(mode)


def trouble_with(path: bytes) -> str:
    """Why what was named can't be watched; "" if it can."""
    is_file = _is_file(path)
    if is_file is None:
        return NOT_THERE
    try:
        directory = os.path.dirname(path) if is_file else path
        if not stat.S_ISDIR(os.stat(directory).st_mode):
            return "is neither a directory nor a file"
    except OSError as error:
        return f"can't be reached: {error.strerror}"
    if os.access(directory, os.R_OK | os.X_OK):
        return ""
    return "can't be watched: its directory can't be read" if is_file else "can't be read: permission denied"
