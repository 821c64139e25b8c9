"""The directories of a shard that have no watch, and what their looks have shown. Does no input or output."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterator
from typing import Final

from ..contract.files.packed import Seen, identifying, unpack
from ..disk.look import digest
from ..tree.nodes import Node
from .tiers import Tier, tier_of

#: No listing has been reported, or something else was reported after it.
_NOTHING_REPORTED: Final = 0
#: What a look is taken to cost before there was one, in `_COST_NS`.
_COST_GUESS: Final = 100
#: The unit in which costs are kept, ns: numbers up to 256 take no memory in each directory.
_COST_NS: Final = 1_000
#: The longest gap between two looks is told for so long at least, ns.
_GAPS_NS: Final = 60_000_000_000


class Polled:
    """One directory without a watch."""

    __slots__ = ("active_at", "anchor", "changed", "content", "cost", "digest", "looked_at", "node", "tier", "wanting")

    def __init__(self, node: Node, now: int, *, wanting: bool) -> None:
        self.node = node
        self.anchor = node.anchor
        #: Of the last listing that was sent (`digest`).
        self.digest = _NOTHING_REPORTED
        #: The same, but equal also where a look was racy and the next one was not.
        self.content = _NOTHING_REPORTED
        self.looked_at = now
        #: When a change was last seen in it, on the clock of the looks. That may be before the start.
        self.active_at: int | None = None
        #: Whether a change was seen in it since the last `settle`.
        self.changed = False
        self.cost = _COST_GUESS
        self.tier = Tier.QUIET
        #: Whether it would be watched if there were room.
        self.wanting = wanting


class Swept:
    """The directories without a watch, in their tiers. Owned by one thread.

    In each tier, that comes first which was looked at longest ago. A directory is in the queue of its tier, or in the hands of
    whoever took it (`take`) until `settle`. One that is no longer swept leaves the queue when its turn comes.

    Args:
        clock: monotonic, ns.
    """

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock = clock
        self._polled: dict[Node, Polled] = {}
        #: Those that have no place in a queue yet.
        self._new: list[Polled] = []
        self._queues: tuple[deque[Polled], ...] = tuple(deque() for _ in Tier)
        self._counts = [0] * len(Tier)
        #: How many there are of each anchor, by its index.
        self._of_anchor: dict[int, int] = {}
        self._costs = [0] * len(Tier)
        #: When each tier got its first directory.
        self._since = [0] * len(Tier)
        self._gaps = [0] * len(Tier)
        self._gaps_before = [0] * len(Tier)
        self._gaps_since = 0
        #: How many of the directories would be watched if there were room.
        self.wanting = 0

    def __len__(self) -> int:
        return len(self._polled)

    def __iter__(self) -> Iterator[Node]:
        return iter(self._polled)

    def __contains__(self, node: Node) -> bool:
        return node in self._polled

    def add(self, node: Node, *, wanting: bool = False) -> None:
        """Sweeps a directory from now on. Idempotent. `wanting`: it would be watched if there were room."""
        polled = self._polled.get(node)
        if polled is None:
            polled = self._polled[node] = Polled(node, self._clock(), wanting=wanting)
            self._new.append(polled)
            self._of_anchor[polled.anchor] = self.of_anchor(polled.anchor) + 1
            self._enter(polled, Tier.QUIET)
            self.wanting += wanting
        elif polled.wanting != wanting:
            polled.wanting = wanting
            self.wanting += 1 if wanting else -1

    def remove(self, node: Node) -> None:
        """Does not sweep a directory any more. Idempotent."""
        polled = self._polled.pop(node, None)
        if polled is not None:
            self._leave(polled)
            self._of_anchor[polled.anchor] -= 1
            self.wanting -= polled.wanting

    def of_anchor(self, index: int) -> int:
        """How many there are in the tree of one anchor."""
        return self._of_anchor.get(index, 0)

    def those_wanting(self) -> Iterator[Node]:
        """Those that would be watched if there were room, the active tier first. Nothing may be added or taken meanwhile."""
        for queue in (*self._queues, self._new):
            for polled in queue:
                if polled.wanting and polled.node.alive and self._polled.get(polled.node) is polled:
                    yield polled.node

    def first_wanting(self, but: Collection[int] = ()) -> tuple[Node | None, int]:
        """One of the directories that would be watched if there were room, and how many they are; without those in the trees of
        the anchors `but`."""
        if not self.wanting:
            return None, 0
        wanting = (polled for polled in self._polled.values() if polled.wanting and polled.anchor not in but)
        first = next(wanting, None)
        count = self.wanting if not but else (first is not None) + sum(1 for _ in wanting)
        return (None if first is None else first.node), count

    # -- what was reported of them

    def is_reported(self, node: Node, seen: Seen) -> bool:
        """Whether this listing is the last one that was reported of the directory."""
        polled = self._polled.get(node)
        return polled is not None and polled.digest == digest(seen)

    def report(self, node: Node, seen: Seen, at: int) -> bool:
        """Notes a listing of a directory that is swept, which began at the wall clock's time `at`, ns. Returns False if just this
        one was reported last: it need not be sent."""
        polled = self._polled[node]
        before, polled.digest = polled.digest, digest(seen)
        if before == polled.digest:
            return False
        content, polled.content = polled.content, digest(Seen(seen.names, identifying(seen.stats)))
        if content == _NOTHING_REPORTED:
            polled.active_at = polled.looked_at - max(0, at - _newest(seen))
        elif content != polled.content:
            polled.changed = True
        return True

    def report_names(self, node: Node) -> None:
        """Names of the directory are reported one by one, so its last listing is out of date."""
        if node in self._polled:
            self._polled[node].digest = _NOTHING_REPORTED

    def forget_reports(self) -> None:
        """A new epoch reports everything anew, whatever was reported before."""
        for polled in self._polled.values():
            polled.digest = _NOTHING_REPORTED

    # -- whose turn it is

    def arrange(self, now: int) -> None:
        """Gives the directories that were added a place in the tier that their files' times of change suggest."""
        new, self._new = self._new, []
        for polled in new:
            if self._polled.get(polled.node) is polled:
                self._place(polled, now)

    def count(self, tier: Tier) -> int:
        """The number of directories in a tier."""
        return self._counts[tier]

    def cost(self, tier: Tier) -> float:
        """What a look at every directory of a tier costs, ns of the processor, as the last looks have shown."""
        return float(self._costs[tier] * _COST_NS)

    def since(self, tier: Tier) -> int:
        """When a tier got its first directory."""
        return self._since[tier]

    def gap(self, tier: Tier) -> int:
        """The longest time between two looks at a directory of a tier, in the last minutes, ns; 0 if there was none."""
        return max(self._gaps[tier], self._gaps_before[tier]) if self._counts[tier] else 0

    def take(self, tier: Tier) -> Polled | None:
        """The directory of a tier that was looked at longest ago; None if there is none. It is out of turn until `settle`."""
        queue = self._queues[tier]
        while queue:
            polled = queue.popleft()
            if self._polled.get(polled.node) is not polled:
                continue  # it is not swept any more
            if polled.node.alive:
                return polled
            self.remove(polled.node)
        return None

    def settle(self, polled: Polled, now: int, cost_ns: int) -> None:
        """A directory that was taken has been looked at: puts it into the tier where it belongs by now."""
        self._note_gap(polled.tier, now - polled.looked_at, now)
        polled.looked_at = now
        if polled.changed:
            polled.changed = False
            polled.active_at = now
        if self._polled.get(polled.node) is not polled:
            return
        self._costs[polled.tier] -= polled.cost
        polled.cost = max(1, -(-cost_ns // _COST_NS))
        self._costs[polled.tier] += polled.cost
        self._place(polled, now)

    def _place(self, polled: Polled, now: int) -> None:
        tier = self._tier(polled, now)
        if tier is not polled.tier:
            self._leave(polled)
            self._enter(polled, tier)
        self._queues[tier].append(polled)

    @staticmethod
    def _tier(polled: Polled, now: int) -> Tier:
        return Tier.QUIET if polled.active_at is None else tier_of(now - polled.active_at)

    def _enter(self, polled: Polled, tier: Tier) -> None:
        polled.tier = tier
        if self._counts[tier] == 0:
            self._since[tier] = self._clock()
        self._counts[tier] += 1
        self._costs[tier] += polled.cost

    def _leave(self, polled: Polled) -> None:
        self._counts[polled.tier] -= 1
        self._costs[polled.tier] -= polled.cost

    def _note_gap(self, tier: Tier, gap: int, now: int) -> None:
        if now - self._gaps_since > max(_GAPS_NS, *self._gaps):
            self._gaps_since, self._gaps_before, self._gaps = now, self._gaps, [0] * len(Tier)
        self._gaps[tier] = max(self._gaps[tier], gap)


def _newest(seen: Seen) -> int:
    """The latest time of change of what was seen in a directory, ns since 1970; 0 for nothing."""
    return max((stat[3] for stat in unpack(seen.stats)), default=0)
