"""A day of a fleet: which sources there are, and when which of their files change. Pure, and the same for the same sizes.

Three kinds of source, with the rhythm of people, of a clock, and of nights:

- a *desk* of 500 files is used from 9 to 18 o'clock of its own time zone, one of three. A file is saved every two minutes or so,
  and six times a day a checkout rewrites 100 files.
- a *builder* of 2,000 files rewrites 200 of them each hour, and all of them do so at the same second, as timers do.
- a *share* of 2,000 files has a change every 20 s or so, and at 2 o'clock a synchronisation rewrites all of them.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

DAY_S: Final = 86_400.0
HOUR_S: Final = 3_600.0
#: Seconds of the day within which what is rewritten at once is written.
_AT_ONCE_S: Final = 2.0


@dataclass(frozen=True)
class FleetSize:
    """How many sources of each kind, and into how many seconds their day is compressed."""

    desks: int
    builders: int
    shares: int
    day_s: float


FULL_DAY: Final = FleetSize(desks=80, builders=15, shares=5, day_s=144.0)
QUICK_DAY: Final = FleetSize(desks=5, builders=1, shares=1, day_s=10.0)


@dataclass(frozen=True)
class FleetSource:
    name: str
    files: int

    def path(self, number: int) -> str:
        return f"/{self.name}/unit{number}.ast.json"


class Change(NamedTuple):
    """A file of a source is rewritten."""

    #: Seconds since midnight.
    at_s: float
    source: int
    number: int


def fleet(size: FleetSize) -> list[FleetSource]:
    kinds = (("desk", size.desks, 500), ("builder", size.builders, 2_000), ("share", size.shares, 2_000))
    return [FleetSource(f"{kind}{n}", files) for kind, count, files in kinds for n in range(count)]


def day(sources: list[FleetSource]) -> list[Change]:
    """Every change, in order."""
    return sorted(change for number, source in enumerate(sources) for change in _changes(number, source))


def _changes(number: int, source: FleetSource) -> Iterator[Change]:
    chance = random.Random(source.name)
    if source.name.startswith("desk"):
        morning = (9 + 8 * (number % 3)) % 24 * HOUR_S
        for at_s in _now_and_then(chance, 9 * HOUR_S, 120.0):
            yield Change((morning + at_s) % DAY_S, number, chance.randrange(source.files))
        for _ in range(6):
            yield from _at_once(chance, (morning + chance.uniform(0, 9 * HOUR_S)) % DAY_S, number, source, 100)
    elif source.name.startswith("builder"):
        for hour in range(24):
            yield from _at_once(chance, hour * HOUR_S, number, source, 200)
    else:
        for at_s in _now_and_then(chance, DAY_S, 20.0):
            yield Change(at_s, number, chance.randrange(source.files))
        yield from _at_once(chance, 2 * HOUR_S, number, source, source.files)


def _now_and_then(chance: random.Random, until_s: float, mean_s: float) -> Iterator[float]:
    at_s = chance.expovariate(1 / mean_s)
    while at_s < until_s:
        yield at_s
        at_s += chance.expovariate(1 / mean_s)


def _at_once(chance: random.Random, at_s: float, number: int, source: FleetSource, count: int) -> Iterator[Change]:
    for n, file in enumerate(chance.sample(range(source.files), count)):
        yield Change(at_s + _AT_ONCE_S * n / count, number, file)
