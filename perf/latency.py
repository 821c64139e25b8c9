"""From times to latencies. Pure."""

from __future__ import annotations

import bisect
import os
import time
from collections.abc import Mapping, Sequence

from trees import Tree


def percentile(values: list[float], part: float) -> float:
    """The value below which so much of them lies; `part` from 0 to 1."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))]


def latencies(tree: Tree, stamps: Sequence[float], log: list[tuple[str, float, float]]) -> tuple[list[float], int]:
    """Seconds from each write to the first hand-over of a look that was made after it; and the writes without one.

    The writer goes round the paths, so that write i was of path i modulo their number.
    """
    offset = time.time() - time.monotonic()
    writes = {os.fsdecode(path): stamps[number :: len(tree.paths)] for number, path in enumerate(tree.paths)}
    # The look is stamped before the lstat, by a clock that is read to the microsecond.
    found, missed = lags(writes, [(name, at, observed - offset + 1e-4) for name, at, observed in log])
    return [seconds for _, seconds in found], missed


def lags(
    writes: Mapping[str, Sequence[float]], log: Sequence[tuple[str, float, float]]
) -> tuple[list[tuple[float, float]], int]:
    """When each write was, and seconds from it to the first hand-over of a look that was made after it; and the number of writes
    without one.

    Args:
        writes: of each path, monotonic seconds.
        log: (path, when it was handed over, when it was looked at), monotonic seconds.
    """
    looks: dict[str, list[tuple[float, float]]] = {}
    for name, at, observed in log:
        looks.setdefault(name, []).append((observed, at))
    found: list[tuple[float, float]] = []
    missed = 0
    for name, written in writes.items():
        seen = sorted(looks.get(name, []))
        begun = [observed for observed, _ in seen]
        for write in written:
            first = bisect.bisect_left(begun, write)
            if first < len(seen):
                found.append((write, seen[first][1] - write))
            else:
                missed += 1
    return found, missed
