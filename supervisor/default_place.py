"""Where a service keeps its state when nobody names a directory: a place of its own for each configuration file, or set of roots.

One default for all projects of a user would give the second project the first one's index and groups, or no service at all. So
the default is a directory below `$XDG_STATE_HOME/shardwatch`, named after the configuration file, or after the roots where there
is none. A command that asks, and is given neither, looks which running service has to do with the working directory.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from shardwatch.shard.contract.errors import UsageError
from shardwatch.shard.contract.layout import Layout
from shardwatch.shard.contract.settings import read_settings

#: Hexadecimal digits of a place's name. Short: a socket's path is, too.
_DIGITS: Final = 12
#: Places that are looked at when a service is searched for.
_PLACES_MAX: Final = 1000


class Service(NamedTuple):
    """A running service in a default place."""

    state_dir: Path
    roots: tuple[bytes, ...]

    def __str__(self) -> str:
        return f"--state-dir {self.state_dir} ({', '.join(root.decode(errors='replace') for root in self.roots)})"


def default_place(base: Path, file: Path | None, roots: Sequence[bytes]) -> Path:
    """The state directory of a service with this configuration file, or (None) these roots; `base` where there are none.

    `base` itself was every service's default in earlier versions: it goes on being that of the roots that it served.
    """
    if file is None and not roots:
        return base
    if roots and sorted(_roots(base)) == sorted(roots):
        return base
    identity = b"file\0" + os.fsencode(os.path.realpath(file)) if file is not None else b"roots\0" + b"\0".join(sorted(roots))
    return base / hashlib.sha256(identity).hexdigest()[:_DIGITS]


def running_services(base: Path) -> Iterator[Service]:
    """Services of the caller's that run in default places."""
    from shardwatch.supervisor import service

    try:
        children = sorted(path for path in base.iterdir() if len(path.name) == _DIGITS)[:_PLACES_MAX]
    except OSError:
        children = []
    for place in (base, *children):
        try:
            if service.running(Layout(place)):
                yield Service(place, _roots(place))
        except (OSError, UsageError):
            continue  # it is no place of ours


def service_about(base: Path, directory: bytes) -> Path | None:
    """The state directory of the running service that has to do with a directory: one of its roots is there, above or below.

    The nearest root above counts more than any other. Raises UsageError where several are as good.
    """
    at = os.path.realpath(directory)
    above: dict[Path, int] = {}
    below: dict[Path, int] = {}
    for found in running_services(base):
        for root in found.roots:
            if _is_in(at, root):
                above[found.state_dir] = max(len(root), above.get(found.state_dir, 0))
            elif _is_in(root, at):
                below[found.state_dir] = 0
    candidates = above or below
    best = [place for place, length in candidates.items() if length == max(candidates.values())]
    if len(best) > 1:
        raise UsageError(
            f"several services watch something of {at.decode(errors='replace')}: {', '.join(map(str, sorted(best)))}",
            hint="name one with --state-dir",
        )
    return best[0] if best else None


def _is_in(path: bytes, directory: bytes) -> bool:
    return (path + b"/").startswith(directory.rstrip(b"/") + b"/")


def _roots(state_dir: Path) -> tuple[bytes, ...]:
    """Roots of the service that the directory served last; none where it is no state directory that can be read."""
    try:
        return read_settings(Layout(state_dir).settings).roots
    except (OSError, UsageError, msgspec.MsgspecError):
        return ()
