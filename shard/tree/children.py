"""The children of a directory by name, in little memory. Does no input or output.

They are in a list that is sorted by name, which takes a fifth of what a dictionary takes, and in a dictionary if they are so many
that adding to a list would take long. Who has none has no container.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from operator import attrgetter
from typing import Any, Final, Protocol, TypeVar


class Named(Protocol):
    """What has a name that does not change."""

    name: bytes


#: More than so many are in a dictionary, until none is left.
LISTED_MAX: Final = 256
_name: Final[Any] = attrgetter("name")
N = TypeVar("N", bound=Named)


def find(children: list[N] | dict[bytes, N], name: bytes) -> N | None:
    """The child of that name, if there is one."""
    if isinstance(children, dict):
        return children.get(name)
    if name < children[0].name:
        return None  # as nearly always in a scan, which takes names from the last to the first
    at = bisect_left(children, name, key=_name)
    if at < len(children) and children[at].name == name:
        return children[at]
    return None


def add(children: list[N] | dict[bytes, N] | None, child: N) -> list[N] | dict[bytes, N]:
    """Adds a child, whose name none has; returns the container that holds them all from now on."""
    if children is None:
        return [child]
    if isinstance(children, list):
        if len(children) < LISTED_MAX:
            at = 0 if child.name < children[0].name else bisect_left(children, child.name, key=_name)
            children.insert(at, child)
            return children
        children = {one.name: one for one in children}
    children[child.name] = child
    return children


def remove(children: list[N] | dict[bytes, N], child: N) -> list[N] | dict[bytes, N] | None:
    """Removes a child, which must be one of them, and returns the container of the others."""
    if isinstance(children, dict):
        del children[child.name]
    else:
        del children[bisect_left(children, child.name, key=_name)]
    return children or None


def each(children: list[N] | dict[bytes, N] | None) -> Iterable[N]:
    """All of them, in no particular order. None may be added or removed meanwhile."""
    if children is None:
        return ()
    return children.values() if isinstance(children, dict) else children
