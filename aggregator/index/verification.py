"""Handles the results of the shards' verification: compares folds with rows, asks for ranges of names, counts findings.

A finding is a path whose row differed from the disk although no hint concerned it. Each is a defect, or one of the
limits that docs/noticing.md names. It is logged, and repaired by the same record that showed it.
"""

from __future__ import annotations

import logging
from collections import Counter, deque
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from shardwatch.shard.contract.files.identity import Verdict, compare
from shardwatch.shard.contract.files.packed import DIRECTORY, Seen, unpack
from shardwatch.shard.contract.files.paths import join
from shardwatch.shard.contract.process.log import Sparse

from .row import GONE, Known, stat_of

log = logging.getLogger("shardwatch.aggregator")

#: Ranges that a shard is asked for with one reply, and those that are remembered. What is beyond that is found in the next pass.
_ASKED_MAX: Final = 20
_SUSPECTS_MAX: Final = 1_000
#: Seconds for which a range is asked for: the directory may be gone, or its shard busy.
_ASKED_S: Final = 60.0
#: Findings that `status` names.
_RECENT: Final = 20

#: (directory, after, upto).
Range = tuple[bytes, bytes | None, bytes | None]


class Finding(NamedTuple):
    """One path, and what the rows said of it: `missing` (nothing), `extra` (it is not there) or `differs`."""

    path: bytes
    what: str


class Verification:
    """Owned by one thread. Knows no disk and no clock: `now` is any that goes forward, in seconds."""

    def __init__(self) -> None:
        self._suspects: dict[str, dict[Range, float]] = {}
        self._log = Sparse(log)
        #: Findings by shard, since the aggregator started.
        self.findings: Counter[str] = Counter()
        #: The last ones: (shard, path, what, when it was seen, ns since 1970).
        self.recent: deque[tuple[str, bytes, str, int]] = deque(maxlen=_RECENT)

    def differs(self, shard: str, range_: Range, now: float) -> None:
        """The rows of this range fold to something else than the disk."""
        suspects = self._suspects.setdefault(shard, {})
        if len(suspects) < _SUSPECTS_MAX:
            suspects.setdefault(range_, now + _ASKED_S)

    def asked(self, shard: str, now: float) -> list[Range]:
        """What the shard is to look at again, asked for until it answers."""
        suspects = self._suspects.get(shard)
        if not suspects:
            return []
        for range_ in [r for r, until in suspects.items() if now >= until]:
            del suspects[range_]
        return list(suspects)[:_ASKED_MAX]

    def answered(self, shard: str, range_: Range, findings: Iterable[Finding], at: int) -> None:
        """The shard has looked again, and this was found."""
        self._suspects.get(shard, {}).pop(range_, None)
        for found in findings:
            self.findings[shard] += 1
            self.recent.append((shard, found.path, found.what, at))
            self._log.warning(f"the verification found {found.path!r}: {found.what} in the index, without a hint; repaired")


def differences(
    path: bytes,
    known: Mapping[tuple[bytes, int], Known],
    seen: Seen,
    hinted: Iterable[bytes],
    *,
    content_only: bool,
) -> list[Finding]:
    """What of a whole range of a directory the rows had otherwise, save names that are changing. Pure."""
    found = []
    skipped = set(hinted)
    there = set()
    for name, stat in zip(seen.names, unpack(seen.stats), strict=True):
        directory = 1 if stat[6] == DIRECTORY else 0
        there.add((name, directory))
        row = known.get((name, directory))
        if name in skipped:
            continue
        if row is None or row.kind == GONE:
            found.append(Finding(join(path, name), "missing"))
        elif not directory:
            known_stat = stat_of(row._replace(racy=0))
            if compare(known_stat, stat, content_only=content_only) is Verdict.CHANGED:
                found.append(Finding(join(path, name), "differs"))
    for (name, directory), row in known.items():
        if row.kind != GONE and (name, directory) not in there and name not in skipped:
            found.append(Finding(join(path, name), "extra"))
    return found
