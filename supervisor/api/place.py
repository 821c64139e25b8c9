"""Where a watcher keeps what must outlive a crash: its state directory, kept or temporary, and the queue in it."""

from __future__ import annotations

import os
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from .types import WatcherConfig

if TYPE_CHECKING:
    from shardwatch.aggregator.queue.event_queue import EventQueue

#: Name of the queue's file in the state directory: a name space of its own, that no rescan touches.
QUEUE_FILE: Final = "queue.db"


class WatcherPlace:
    """Made on first use, and made anew after `close`. A temporary directory is removed with it, also where nobody closes it."""

    def __init__(self, config: WatcherConfig) -> None:
        self._config = config
        self._path: Path | None = None
        self._remove: weakref.finalize[Any, Any] | None = None
        self._queue: EventQueue | None = None

    @property
    def path(self) -> Path | None:
        """The state directory; None while there is none."""
        return self._path

    def take(self) -> Path:
        """The state directory: the kept one, which need not exist yet, or a temporary one, which does then."""
        if self._path is None and self._config.state_dir is not None:
            self._path = Path(os.path.abspath(self._config.state_dir))
        elif self._path is None:
            from ..service.temporary import make_temporary, remove_temporary

            self._path = make_temporary("WatcherConfig.state_dir")
            self._remove = weakref.finalize(self, remove_temporary, self._path)
        return self._path

    def open_queue(self) -> EventQueue:
        """The queue in it. Raises UsageError where the directory can't be used."""
        if self._queue is None:
            from shardwatch.aggregator.queue.event_queue import EventQueue

            from ..service.state_dir import mark

            config, state_dir = self._config, self.take()
            mark(state_dir)
            self._queue = EventQueue(
                state_dir / QUEUE_FILE,
                queue_size=config.queue_size,
                lease_s=config.lease_s,
                durability=config.durability,
                priorities=config.priorities,
            )
        return self._queue

    def known_roots(self) -> set[bytes]:
        """Roots that this state directory has watched before: the service may wait for them."""
        state_dir = self._path or self._config.state_dir
        if state_dir is None:
            return set()
        import msgspec

        from shardwatch.shard.contract.state.layout import Layout
        from shardwatch.shard.contract.state.planfile import read_plan

        try:
            plan = read_plan(Layout(state_dir).plan)
        except (OSError, msgspec.MsgspecError):
            return set()
        return {anchor.root for anchor in plan.anchors} if plan is not None else set()

    def counts(self) -> tuple[int, int]:
        """How many events of the queue are pending, and how many are on lease."""
        if self._queue is None:
            return 0, 0
        found = self._queue.stats()
        return found["pending"], found["leased"]

    def loses_nothing(self) -> bool:
        """Whether no event would be lost by closing it: the directory is kept, or the queue is empty."""
        return self._queue is None or self._remove is None or len(self._queue) == 0

    async def close(self) -> None:
        """Closes the queue, and removes a temporary directory."""
        if self._queue is not None:
            await self._queue.close()
            self._queue = None
        if self._remove is not None:
            self._remove()
            self._remove = None
        self._path = None
