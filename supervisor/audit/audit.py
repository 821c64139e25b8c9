"""Compares the index of a running service with the disk, without stopping anything.

It walks the tree with its own code, and uses none of the shards' code, so that it does not overlook what they overlook.
Changes in progress are not differences: paths that differ at first are looked at again around further syncs. They count
only if the disk showed the same before and after these syncs, and the index still showed something else.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from shardwatch.aggregator.index.reading import IndexReader, Known, Stat
from shardwatch.shard.contract.files.identity import alike
from shardwatch.shard.contract.files.paths import is_exact, join

from .disk_tree import DiskTree

#: Paths that are looked at a second time, and repaired; how many more there are is counted.
SUSPECTS_MAX: Final = 10_000
#: Syncs after which a path that changes all the time is left alone.
_ROUNDS: Final = 12
#: Syncs over which a path must stand still, and differ, and the pause between two of them, seconds.
_STILL: Final = 3
_PAUSE_S: Final = 0.05


class AuditedService(Protocol):
    """What is asked of the running service."""

    def sync(self) -> Sequence[bytes]:
        """Returns when all that was done before is in the index, with the subtrees of which that can't be said."""

    def look(self, paths: Sequence[bytes]) -> None:
        """Has the owners look at these again."""


@dataclass
class Difference:
    """One path of which the index says something else than the disk."""

    path: bytes
    directory: bool
    #: None: it is not there.
    disk: Stat | None
    index: Stat | None
    repaired: bool = False


@dataclass
class Findings:
    """What an audit found."""

    files: int = 0
    directories: int = 0
    differences: list[Difference] = field(default_factory=list)
    #: Further paths that differed at the first look.
    more: int = 0
    #: Paths that changed so often that nothing can be said of them.
    unsettled: int = 0
    #: Subtrees that can't be read, or whose shard or filesystem does not answer.
    not_compared: list[bytes] = field(default_factory=list)
    #: Those of them whose filesystem did not answer the audit itself.
    unanswered: list[bytes] = field(default_factory=list)
    #: What is wrong in the index file itself.
    damage: str = ""

    @property
    def ok(self) -> bool:
        return not (self.differences or self.more or self.not_compared or self.damage)


def _agree(known: Known, there: Known) -> bool:
    return known == there or all(alike(known.get(key), there.get(key)) for key in known.keys() | there.keys())


class Audit:
    """One audit. `progress` is called with the number of directories compared."""

    def __init__(self, tree: DiskTree, reader: IndexReader, service: AuditedService, progress: Callable[[int], None]) -> None:
        self._tree = tree
        self._reader = reader
        self._service = service
        self._progress = progress
        self._findings = Findings()
        self._left_out: set[bytes] = set()

    def run(self, *, repair: bool) -> Findings:
        """Compares everything; has the owners look again at what differs, unless `repair` is false."""
        findings = self._findings
        self._sync()
        suspects = self._compare()
        findings.more = max(0, len(suspects) - SUSPECTS_MAX)
        suspects = dict.fromkeys(list(suspects)[:SUSPECTS_MAX])
        findings.differences, unsettled = self._confirm(suspects)
        findings.unsettled = len(unsettled)
        if repair and findings.differences:
            # A damaged row may name what no path is: there is nothing to look at.
            self._service.look([d.path for d in findings.differences if is_exact(d.path)])
            left, _ = self._confirm(dict.fromkeys(d.path for d in findings.differences))
            still = {d.path for d in left}
            for difference in findings.differences:
                difference.repaired = difference.path not in still
        findings.damage = self._reader.damage()
        findings.not_compared = sorted(self._left_out)
        findings.unanswered = sorted(self._tree.silent)
        return findings

    def _sync(self) -> None:
        self._left_out.update(self._service.sync())
        self._left_out.update(self._tree.unreadable)

    def _compared(self, path: bytes) -> bool:
        if not self._left_out:
            return True
        # The service names subtrees in text, which has U+FFFD for what is not UTF-8.
        names = {path, path.decode("utf-8", "replace").encode()}
        return not any(name == out or name.startswith(out.rstrip(b"/") + b"/") for name in names for out in self._left_out)

    def _compare(self) -> dict[bytes, None]:
        """Paths that differ at the first look, in-flight changes included."""
        findings = self._findings
        suspects: dict[bytes, None] = {}
        seen: set[bytes] = set()
        for path, there in self._tree.directories(self._compared):
            seen.add(path)
            findings.directories += 1
            findings.files += sum(1 for _, directory in there if not directory)
            known = self._reader.names(path)
            if known != there:  # mostly they are equal in everything
                names = {key[0] for key in known.keys() | there.keys() if not alike(known.get(key), there.get(key))}
                suspects.update(dict.fromkeys(join(path, name) for name in names))
            self._progress(findings.directories)
        self._left_out.update(self._tree.unreadable)
        for path in self._reader.directories():
            if path not in seen:
                suspects.update((join(path, name), None) for name, _ in self._reader.names(path))
        return {path: None for path in suspects if self._compared(path)} if self._left_out else suspects

    def _confirm(self, suspects: dict[bytes, None]) -> tuple[list[Difference], list[bytes]]:
        """(those that really differ, those that changed at every look).

        Once is not enough: a stat shows what a system call has done before its event is queued, so also before it returned.
        """
        found: list[Difference] = []
        #: path -> how often it stood still, and differed.
        left = dict.fromkeys(suspects, 0)
        for number in range(_ROUNDS):
            if not left:
                break
            if number:
                time.sleep(_PAUSE_S)
            before = [(path, self._tree.at(path)) for path in left]
            self._sync()
            for path, there in before:
                known = self._reader.at(*os.path.split(path))
                if _agree(known, there) or not self._compared(path):
                    del left[path]
                    continue
                left[path] = left[path] + 1 if _agree(there, self._tree.at(path)) else 0
                if left[path] < _STILL:
                    continue
                del left[path]
                for key in sorted(known.keys() | there.keys()):
                    if not alike(known.get(key), there.get(key)):
                        found.append(Difference(path, bool(key[1]), there.get(key), known.get(key)))
        return found, list(left)
