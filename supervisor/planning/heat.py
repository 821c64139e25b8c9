"""Where the trees of a service change how often, and what of it lies below a directory. Does no input or output.

A shard that has no more files than others may have all the changes. `ChangeRates` is what was seen of a running service, and
`Heat` the same by directory.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import accumulate
from typing import Final

from msgspec import Struct

from shardwatch.shard.contract.files.paths import Nearest
from shardwatch.shard.contract.state.planfile import Owners

#: From here on a shard counts as hot: so many times the mean of all, and so many changes a second more than the mean. For less it
#: is not worth that subtrees are looked at again.
HOT: Final = 1.5
HOT_PER_S: Final = 500.0


class ChangeRates(Struct, frozen=True):
    """How often files change, by what a running service has counted for a while."""

    #: Of each shard that shares the trees with others, changes a second: events that were followed by a look.
    per_s: dict[str, float] = {}
    #: The last tick before that while: rows with a later one have changed in it.
    since: int = 0

    @property
    def total(self) -> float:
        """Changes a second of all of them."""
        return math.fsum(self.per_s.values())


NO_RATES: Final = ChangeRates()


def hottest(rates: ChangeRates) -> str:
    """The shard in which so much changes that its subtrees ought to be divided; "" if there is none."""
    if len(rates.per_s) < 2:
        return ""
    mean = rates.total / len(rates.per_s)
    shard = max(rates.per_s, key=rates.per_s.__getitem__)
    is_hot = rates.per_s[shard] > HOT * mean and rates.per_s[shard] - mean >= HOT_PER_S
    return shard if is_hot else ""


def may_be_hot(rates: ChangeRates, shards: int) -> bool:
    """Whether one of so many shards would be hot if it had all the changes."""
    return shards > 1 and rates.total * (1 - 1 / shards) >= HOT_PER_S


class Heat:
    """Changes a second by directory, in any unit.

    Args:
        own: of directories, without those below them; those that are not in it have none.
        tops: directories at which a tree of its own begins. What lies below one of them does not count for what is above it.
    """

    def __init__(self, own: Mapping[bytes, float], tops: Iterable[bytes]) -> None:
        self._own = own
        self._nearest = Nearest(sorted(tops))
        trees: dict[bytes | None, list[bytes]] = {}
        for path in sorted(own):
            trees.setdefault(self._nearest.of(path), []).append(path)
        #: By the top: paths in order, and the sums of what those before each of them have.
        self._trees = {top: (paths, [0.0, *accumulate(own[path] for path in paths)]) for top, paths in trees.items()}

    @property
    def total(self) -> float:
        """Of everything."""
        return math.fsum(self._own.values())

    def own(self, path: bytes) -> float:
        """Of a directory, without those below it."""
        return self._own.get(path, 0.0)

    def subtree(self, path: bytes) -> float:
        """Of a directory and everything below it that belongs to the same tree."""
        paths, sums = self._trees.get(self._nearest.of(path), ([], [0.0]))
        prefix = path.rstrip(b"/") + b"/"
        begin, end = bisect_left(paths, prefix), bisect_left(paths, prefix[:-1] + b"0")  # what follows "/" is "0"
        return sums[end] - sums[begin] + (0.0 if path == prefix else self.own(path))  # of "/" it is among them


NO_HEAT: Final = Heat({}, ())


def heat_of(rates: ChangeRates, changed: Mapping[bytes, int], owners: Owners, tops: Iterable[bytes], scale: float) -> Heat:
    """Divides what each shard has among its directories, by how many files have changed in each of them.

    Args:
        rates: what the shards have.
        changed: how many files have changed in a directory.
        owners: of the plan under which this was counted.
        tops: as of `Heat`.
        scale: of a change a second, in the unit of the result.
    """
    shards = {path: owner.shard for path in changed if (owner := owners.of(path)) is not None}
    totals: Counter[str] = Counter()
    for path, shard in shards.items():
        totals[shard] += changed[path]
    own = {path: scale * rates.per_s.get(shard, 0.0) * changed[path] / totals[shard] for path, shard in shards.items()}
    return Heat(own, tops)
