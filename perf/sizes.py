"""How large everything is, and how often it is measured. QUICK=1: small enough for five minutes in all; no result."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Final

QUICK: Final = os.environ.get("QUICK", "") not in ("", "0")


@dataclass(frozen=True)
class Sizes:
    """Files of the usual tree, and of each tree that memory is measured with."""

    files: int
    many: tuple[int, int, int]
    #: Rounds of a row whose round takes seconds; longer ones take fewer.
    rounds: int
    #: Rewrites of the storm.
    storm: int
    #: Saves whose latency is measured.
    saves: int
    #: Changes a second, and for how long.
    rate: int
    sustained_s: int
    idle_s: int
    work_s: int
    #: Generated files, and a tenth of them.
    generated: int


FULL: Final = Sizes(
    100_000, (10_000, 100_000, 1_000_000), 5, storm=1_000_000, saves=1_000, rate=20_000, sustained_s=60, idle_s=60, work_s=120,
    generated=10_000_000,
)
SMALL: Final = Sizes(
    10_000, (1_000, 10_000, 20_000), 2, storm=50_000, saves=60, rate=5_000, sustained_s=4, idle_s=4, work_s=10, generated=200_000,
)
SIZES: Final = SMALL if QUICK else FULL
