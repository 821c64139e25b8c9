"""From times to latencies. Pure."""

from __future__ import annotations

import bisect
import os
import time
from collections.abc import Sequence

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
    looks: dict[str, list[tuple[float, float]]] = {}
    for name, at, observed in log:
        looks.setdefault(name, []).append((observed - offset, at))
    found: list[float] = []
    missed = 0
    for number, path in enumerate(tree.paths):
        seen = sorted(looks.get(os.fsdecode(path), []))
        begun = [observed for observed, _ in seen]
        for write in range(number, len(stamps), len(tree.paths)):
            # The look is stamped before the lstat, by a clock that is read to the microsecond.
            first = bisect.bisect_left(begun, stamps[write] - 1e-4)
            if first < len(seen):
                found.append(seen[first][1] - stamps[write])
            else:
                missed += 1
    return found, missed
