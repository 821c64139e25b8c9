"""Exact paths: absolute, as bytes, without `.`, `..` or empty names, and without a slash at the end (except for `/`
itself).

A path from a socket is checked by these functions before it is compared with anything. Only then does "begins with"
mean "lies in".
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Final

_NO_NAMES: Final = frozenset((b"", b".", b".."))


def join(directory: bytes, name: bytes) -> bytes:
    """The path of `name` in `directory`."""
    return directory + name if directory == b"/" else directory + b"/" + name


def is_below(path: bytes, directory: bytes) -> bool:
    """Whether an absolute path is this directory, or lies below it."""
    return path == directory or path.startswith(directory.rstrip(b"/") + b"/")


def are_names(names: Collection[bytes]) -> bool:
    """Whether each of these can be the name of something in a directory. Fastest for a set."""
    together = b"\0".join(names)
    return _NO_NAMES.isdisjoint(names) and b"/" not in together and together.count(b"\0") == max(0, len(names) - 1)


def is_exact(path: bytes) -> bool:
    """Whether this is a path as `join` makes it: nothing in it leads upwards or sideways."""
    return path == b"/" or (path[:1] == b"/" and are_names(path[1:].split(b"/")))


def are_exact(paths: Sequence[bytes]) -> bool:
    """Whether all of them are. Those without a dotted name are told by a few searches in all of them together: a frame may
    have hundreds."""
    together = b"\0%b\0" % b"\0".join(paths)
    each_begins = together.count(b"\0/") == len(paths) == together.count(b"\0") - 1
    odd = b"//" in together or b"/." in together or b"/\0" in together
    return (each_begins and not odd) or all(map(is_exact, paths))


class Nearest:
    """Finds which of some directories a path lies in, or is. Pure.

    It tries the lengths that these directories have, the longest first, and does not walk up from the path. Paths may have
    thousands of components, and the directories (roots, anchors) are few.
    """

    def __init__(self, directories: Iterable[bytes]) -> None:
        self._directories = frozenset(directories)
        self._lengths = sorted({len(d) for d in self._directories}, reverse=True)

    def of(self, path: bytes) -> bytes | None:
        """The innermost of the directories that is `path` (absolute) or lies above it, or None."""
        for length in self._lengths:
            head = path[:length]
            if head in self._directories and (head == b"/" or len(path) == length or path[length : length + 1] == b"/"):
                return head
        return None
