"""The layout `batches`: entries with many events, appended to the log of each partition. `protocol.logs` decides where."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence

from shardwatch.aggregator.protocol.messages import Event

from ..jetstream.broker import Broker
from ..protocol.bodies import stamp_of
from ..protocol.logs import (
    Append,
    AppendFlow,
    LogEntry,
    ProveOwner,
    Superseded,
    Tail,
    appending,
    end_entry,
    entries,
    mark_entry,
    needs_mark,
)  # fmt: skip
from ..protocol.names import Subjects
from ..protocol.publishing import NONE, GetLast, Last
from .outlet import LookAgain


class PartitionLogs:
    """An Outlet.

    Args:
        bytes_max: of a message's body.
        prove: makes sure that this process ships the source still; raises LookAgain.
    """

    def __init__(
        self, broker: Broker, stream: str, names: Subjects, bytes_max: int, prove: Callable[[], Awaitable[None]]
    ) -> None:
        self._broker = broker
        self._stream = stream
        self._names = names
        self._bytes_max = bytes_max
        self._prove = prove
        self._generation = 0
        self._tails: dict[int, Tail] = {}
        #: Changes and marks come from two tasks.
        self._lock = asyncio.Lock()

    @property
    def lasts(self) -> tuple[int, ...]:
        return tuple(self._tail(n).previous for n in range(self._names.partitions))

    def resume(self, generation: int, lasts: tuple[int, ...]) -> None:
        self._generation = generation
        self._tails = {n: Tail(last, last or None) for n, last in enumerate(lasts)}

    async def put(self, events: Collection[Event]) -> None:
        await self._append(entries(events, self._names, self._generation, self._bytes_max))

    async def put_ends(self, partitions: int) -> None:
        await self._append([end_entry(self._names, self._generation, n) for n in range(partitions)])

    async def tend(self) -> None:
        """Puts marks where a log could become empty."""
        first, last = await self._broker.bounds(self._stream)
        marked = [n for n in range(self._names.partitions) if needs_mark(self._tail(n), first, last)]
        await self._append([mark_entry(self._generation, n) for n in marked])

    async def tidy(self, swept: int, note: Callable[[int], None]) -> None:
        """There is nothing to be done: the stream removes what is old."""

    def _tail(self, partition: int) -> Tail:
        return self._tails.get(partition, Tail())

    async def _append(self, appended: Sequence[LogEntry]) -> None:
        """Those of a partition one after the other, and the partitions side by side."""
        waiting: dict[int, list[LogEntry]] = {}
        for entry in appended:
            waiting.setdefault(entry.partition, []).append(entry)
        async with self._lock:
            while waiting:
                await self._wave([rest.pop(0) for rest in waiting.values()])
                waiting = {partition: rest for partition, rest in waiting.items() if rest}

    async def _wave(self, wave: Sequence[LogEntry]) -> None:
        flows = [appending(entry.generation, self._tail(entry.partition)) for entry in wave]
        steps = {n: next(flow) for n, flow in enumerate(flows)}
        while steps:
            answers = await self._carry_out(wave, steps)
            steps = {}
            for n, answer in answers.items():
                step = _advance(flows[n], answer)
                if isinstance(step, int):
                    self._tails[wave[n].partition] = Tail(step, step)
                else:
                    steps[n] = step

    async def _carry_out(
        self, wave: Sequence[LogEntry], steps: dict[int, Append | GetLast | ProveOwner]
    ) -> dict[int, int | Last | None]:
        appends = {n: step for n, step in steps.items() if isinstance(step, Append)}
        looks = [n for n, step in steps.items() if isinstance(step, GetLast)]
        answers: dict[int, int | Last | None] = {n: None for n, step in steps.items() if isinstance(step, ProveOwner)}
        if answers:
            await self._prove()
        if appends:
            pairs = [(wave[n].message(self._names, step.previous), step.expected) for n, step in appends.items()]
            answers.update(zip(appends, await self._broker.put(self._stream, pairs), strict=True))
        if looks:
            found = await self._broker.last_of(self._stream, [self._names.log(wave[n].partition) for n in looks])
            answers.update(zip(looks, map(_last, found), strict=True))
        return answers


def _last(found: tuple[int, bytes] | None) -> Last:
    return NONE if found is None else Last(found[0], stamp_of(found[1]))


def _advance(flow: AppendFlow, answer: int | Last | None) -> Append | GetLast | ProveOwner | int:
    """The next step, or the result. Raises LookAgain."""
    try:
        return flow.send(answer)
    except StopIteration as end:
        return int(end.value)
    except Superseded:
        raise LookAgain from None
