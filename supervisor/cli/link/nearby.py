"""Finds the running service that is connected with a directory, for a command without roots and without a state directory.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from shardwatch.shard.contract.errors import UsageError
from shardwatch.shard.contract.state.layout import Layout

from ...config.default_place import default_places, roots_served
from ...host.scouting import Scouts
from ...service import service


class RunningService(NamedTuple):
    """A running service in a default place."""

    state_dir: Path
    roots: tuple[bytes, ...]

    def __str__(self) -> str:
        return f"--state-dir {self.state_dir} ({', '.join(root.decode(errors='replace') for root in self.roots)})"


def running_services(base: Path) -> Iterator[RunningService]:
    """Services of the caller's that run in default places."""
    for place in default_places(base):
        try:
            if service.running(Layout(place)):
                yield RunningService(place, roots_served(place))
        except (OSError, UsageError):
            continue  # it is no place of ours


def service_about(base: Path, path: bytes) -> Path | None:
    """The state directory of the running service that has to do with a path: one of its roots is there, above or below.

    The nearest root above counts more than any other. Raises UsageError where several are as good.
    """
    with Scouts() as scouts:  # it may lie on a filesystem that hangs
        at = scouts.real(path)
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
            f"several services watch something in {at.decode(errors='replace')}: {', '.join(map(str, sorted(best)))}",
            hint="name one with --state-dir",
        )
    return best[0] if best else None


def _is_in(path: bytes, directory: bytes) -> bool:
    return (path + b"/").startswith(directory.rstrip(b"/") + b"/")
