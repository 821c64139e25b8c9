"""Looks at the directories that have no watch, again and again, with a share of the processor that is measured.

What is looked at next is decided by `territory.tiers`: directories in which something changed lately come more often.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Generator
from typing import Final, NamedTuple

from ..backend.share import WatchShare
from ..contract.wire.frames import Polling, PollingTier
from ..territory.sweep import enter_those_found, look_at_links, look_at_swept, watch_if_possible, watch_instead
from ..territory.swept import Polled, Swept
from ..territory.territory import Steps, Territory
from ..territory.tiers import Tier, Turns, intervals, needed_share
from ..tree.nodes import Node

#: Part of a core for all shards together, and the longest time between two looks at a directory (`poll_cpu_percent`,
#: `poll_ms_max`), where nothing else is said.
SHARE: Final = 0.05
LONGEST_NS: Final = 60_000_000_000
#: What is done besides each look: taking turns, waking up, ns of the processor (measured: 7,000 to 11,000).
_AROUND_NS: Final = 10_000
#: Time in which a look waits, for a disk or a file server, counts as such a part of it.
_WAITING: Final = 4
#: The part of the longest time that is planned with. The rest is for what comes between a change and its event besides.
_IN_TIME: Final = 0.9
#: By how much looks may take longer than they took before, as a factor and in ns, before less is done.
_SURPRISE: Final = 2
_SURPRISE_NS: Final = 10_000_000
#: The processor time that was used is told of so long a time, ns.
_USED_NS: Final = 30_000_000_000


class PollPace(NamedTuple):
    """How often directories are looked at. Times are ns."""

    #: Between two looks at a directory. The longest time is kept as far as the share suffices.
    shortest_ns: int
    longest_ns: int = LONGEST_NS
    #: Part of a processor core for all shards that poll.
    cpu_share: float = SHARE


class Poller:
    """Runs in the thread of the shard, between other work. Times are ns of one monotonic clock.

    Args:
        watch_share: how many watches there may be; None: that does not change.
        shards: how many these are at the start; `share_with` tells it later.
        cpu: processor time of this thread, ns.
        chance: a random number from 0 to 1.
    """

    def __init__(
        self,
        territory: Territory,
        pace: PollPace,
        *,
        watch_share: WatchShare | None = None,
        shards: int = 1,
        clock: Callable[[], int],
        cpu: Callable[[], int] = time.thread_time_ns,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._territory = territory
        self.take_over(pace)
        self._share = watch_share
        #: How often a directory got the watch of another one.
        self.exchanged = 0
        self._shards = max(1, shards)
        self._clock = clock
        self._cpu = cpu
        self._chance = chance
        self._rounds = [Turns() for _ in Tier]
        self._links_at = 0
        #: Processor time used since `_used_since`, and the share that this was before.
        self._used = 0.0
        self._used_since = 0
        self._used_share = 0.0

    @property
    def _swept(self) -> Swept:
        return self._territory.directories.swept

    def take_over(self, pace: PollPace) -> None:
        """Goes on at this pace."""
        self._shortest_ns = pace.shortest_ns
        self._longest_ns = max(pace.shortest_ns, int(pace.longest_ns * _IN_TIME))
        self._cpu_share = pace.cpu_share

    def share_with(self, shards: int) -> None:
        """So many shards of the service poll now."""
        self._shards = max(1, shards)

    def next_due(self) -> int:
        """When `run` has something to do."""
        swept = self._swept
        due = [
            turns.next_due(swept.count(tier), self._cost(tier), interval, since=swept.since(tier))
            for tier, turns, interval in zip(Tier, self._rounds, self._intervals(), strict=True)
            if swept.count(tier)
        ]
        if self._territory.links.ways.unwatched or not due:
            due.append(self._links_at + self._shortest_ns)
        return min(due)

    def run(self) -> Steps:
        """Looks at those directories whose turn it is."""
        now = self._clock()
        swept = self._swept
        swept.arrange(now)
        self._tell_used(now)
        for tier, turns, interval in zip(Tier, self._rounds, self._intervals(), strict=True):
            count = turns.take(
                now, swept.count(tier), self._cost(tier), interval, since=swept.since(tier), chance=self._chance()
            )
            turns.missed(count - (yield from self._look_at_some(tier, count)))
        if self._territory.links.ways.unwatched and now >= self._links_at + self._shortest_ns:
            self._links_at = now
            yield from look_at_links(self._territory, unwatched=True)

    def _look_at_some(self, tier: Tier, count: int) -> Generator[None, None, int]:
        """Looks at so many directories of a tier, or fewer, if that takes much longer than was expected. Returns how many."""
        enough = _SURPRISE * count * self._cost(tier) / max(1, self._swept.count(tier)) + _SURPRISE_NS
        begun = self._used
        for looked in range(count):
            if self._used - begun > enough:
                return looked
            polled = self._swept.take(tier)
            if polled is None:
                break
            yield from self._look_at(polled)
        return count

    def _look_at(self, polled: Polled) -> Steps:
        node, begun, begun_at = polled.node, self._cpu(), self._clock()
        names = look_at_swept(self._territory, node, recalls=True)
        spent, took = self._cpu() - begun, self._clock() - begun_at
        # Whoever changes for the second time within a minute is worth a watch that another one has to give up.
        busy = polled.changed and polled.tier is Tier.ACTIVE and polled.wanting
        self._swept.settle(polled, self._clock(), max(spent, took // _WAITING))
        self._used += spent + _AROUND_NS
        yield
        if names:
            yield from enter_those_found(self._territory, node, names)
        if busy:
            yield from self._watch_instead(node)

    def _watch_instead(self, node: Node) -> Steps:
        """Watches a directory in place of one that has been quiet for long, if there is such a one."""
        activity, now, begun = self._territory.directories.activity, self._clock(), self._cpu()
        if node not in self._swept or not node.alive:
            return
        quiet = activity.quietest(now)
        if quiet is not None:
            self.exchanged += 1
            activity.note([node], now)
            yield from watch_instead(self._territory, node, quiet)
        self._used += self._cpu() - begun

    def watch_more(self) -> Steps:
        """Watches directories that had to be polled for want of watches, as far as there is room, the active ones first."""
        swept, room = self._swept, self._territory.directories.room
        if self._share is not None and self._share.renew(self._clock()):
            room.freed()
        first = next(swept.those_wanting(), None)
        waiting = [] if first is None or not room.open else [first]
        for node in waiting:
            if node not in swept or not node.alive:
                continue
            if not watch_if_possible(self._territory, node):
                return
            if node is first:
                waiting.extend(one for one in swept.those_wanting() if one is not first)
            names = look_at_swept(self._territory, node, recalls=False) if node.wd >= 0 else None
            yield
            if names:
                yield from enter_those_found(self._territory, node, names)

    def _cost(self, tier: Tier) -> float:
        return self._swept.cost(tier) + _AROUND_NS * self._swept.count(tier)

    def _intervals(self) -> list[int]:
        costs = [self._cost(tier) for tier in Tier]
        share = self._cpu_share / self._shards
        return intervals(costs, share=share, shortest_ns=self._shortest_ns, longest_ns=self._longest_ns)

    def _tell_used(self, now: int) -> None:
        if now - self._used_since >= _USED_NS:
            self._used_share = self._used / (now - self._used_since)
            self._used, self._used_since = 0.0, now

    def state(self) -> Polling:
        """The state that the beat reports."""
        swept, now = self._swept, self._clock()
        if not swept:
            return Polling()
        tiers = [
            PollingTier(tier.name.lower(), swept.count(tier), max(interval, swept.gap(tier)) // 1_000_000)
            for tier, interval in zip(Tier, self._intervals(), strict=True)
        ]
        needed = needed_share(sum(map(self._cost, Tier)), self._longest_ns)
        used = self._used / (now - self._used_since) if now - self._used_since > _USED_NS / 2 else self._used_share
        return Polling(tiers, round(100 * used, 2), round(100 * needed, 2), swept.wanting)
