"""Weighs the shards of a running service for the coordinator, which asks itself to rebalance them if their shares are uneven."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from shardwatch.shard.contract.errors import ShardwatchError, UsageError
from shardwatch.shard.contract.process.loading import Loading
from shardwatch.shard.contract.state.layout import Layout
from shardwatch.shard.contract.state.planfile import Plan
from shardwatch.shard.contract.state.settings import Settings

from ..host.log_line import log_line
from ..planning.heat import NO_RATES, ChangeRates
from ..planning.rebalances import RATE, Uneven

#: What a child may answer, in bytes: counters of 64 shards are less than a tenth of it.
_ANSWER_BYTES: Final = 1 << 16


class Scales:
    """Weighs the shards, as long as anything changes, or too much of it changed in one of them the last time."""

    def __init__(self, layout: Layout, settings: Settings, in_child: Callable[[Callable[[], None]], None]) -> None:
        """`in_child`: does something in a child, and waits for it; raises ShardwatchError where that failed."""
        self._layout = layout
        self._settings = settings
        self._in_child = in_child
        self._stamp: object = None
        self._found = Uneven()
        #: What the shards had counted when they were weighed, as the child writes it; b"": they were not.
        self._counted = b""
        #: How often files changed between the last two times.
        self.rates = NO_RATES

    def weigh(self, plan: Plan) -> Uneven:
        """Why the trees ought to be divided anew. Asked by a child, since a client of the aggregator takes memory."""
        stamp = plan.generation, *map(_changed_at, (self._layout.index_db, self._layout.index_db.with_name("index.db-wal")))
        if stamp == self._stamp and self._found.what != RATE:
            self.rates = NO_RATES  # nothing has changed since
            return self._found
        reader, writer = os.pipe2(os.O_CLOEXEC)

        def job() -> None:
            with Loading():
                from ..service.shares import Counted, shares

            before = msgspec.json.decode(self._counted, type=Counted) if self._counted else None
            found = shares(self._layout, self._settings, plan, before)
            if found is not None:
                counted = msgspec.Raw(msgspec.json.encode(found.counted))
                os.write(writer, msgspec.json.encode((found.uneven, found.rates, counted)))

        try:
            self._in_child(job)
            os.set_blocking(reader, False)
            answer = os.read(reader, _ANSWER_BYTES)
        except (BlockingIOError, ShardwatchError):  # it is scanning, or does not answer: it is asked again
            return Uneven()
        finally:
            os.close(reader)
            os.close(writer)
        self._found, self.rates, counted = msgspec.json.decode(answer, type=tuple[Uneven, ChangeRates, msgspec.Raw])
        self._counted = bytes(counted)
        self._stamp = stamp
        return self._found


def _changed_at(path: Path) -> int:
    """When a file was last written to; 0 where there is none."""
    try:
        return os.stat(path).st_mtime_ns
    except OSError:
        return 0


def ask_to_rebalance(layout: Layout, plan: Plan, why: str, rates: ChangeRates) -> None:
    """Leaves a request, as `shardwatch rebalance` does. Where that can't be written, or a file that says what the service runs
    with can't be read, the log says so, and the next time comes.

    Args:
        why: the trees are to be divided anew, for the log.
        rates: how often files have changed.
    """
    from .asking import in_force
    from .request import ReloadRequest, write

    log_line(f"{why}: subtrees move to other shards")
    try:
        now = in_force(layout)
        write(layout.reload, ReloadRequest(id="", before=now, after=now, rebalance=True, generation=plan.generation, rates=rates))
    except (OSError, UsageError, msgspec.MsgspecError) as error:
        log_line(f"that can't be asked for: {error}")
