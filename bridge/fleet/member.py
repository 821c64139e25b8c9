"""One worker of a group: its connection, and what whoever handles its messages asks for.

It decides nothing about messages (`course`), nor about who has which partition (`sharing`). `leases` writes who has it, and
`partition_reader` reads what is there. When the connection is lost, it makes another one, and begins to read anew what it has.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final, NamedTuple

from shardwatch.aggregator.client.absence import Absence
from shardwatch.aggregator.client.conversation import pauses
from shardwatch.shard.contract.errors import NotRunningError, ShardwatchError, UsageError

from ..jetstream.access import Access
from ..jetstream.broker import Broker
from ..jetstream.reader import StreamMessage, StreamReader
from ..jetstream.unused_consumers import UnusedConsumers
from ..protocol.stream import server_fault
from .heads import FleetHeads
from .leases import PartitionLeases
from .listings import WantedListings
from .partition_reader import POLL_S, TAKEN_MAX, PartitionReader
from .readings import Began, Chunk, ReadingOpened
from .sharing import RENEWALS

logger = logging.getLogger("shardwatch.bridge.fleet")

_GOODBYE_S: Final = 5.0


class MemberOptions(NamedTuple):
    """Whom a worker belongs to."""

    stream: str
    prefix: str
    group: str
    #: For people; a random part is added.
    worker: str
    #: Seconds without a sign of life after which others take its partitions.
    away_s: float
    #: Seconds for which a server that is away is tried again.
    patience_s: float


class Member:
    """Made in the event loop in which it lives."""

    def __init__(self, access: Access, options: MemberOptions) -> None:
        self._access = access
        self._options = options
        self._leases = PartitionLeases(options.stream, options.group, options.worker, options.away_s)
        self._heads = FleetHeads()
        self._reading = PartitionReader(options.stream, options.prefix, self._happened)
        self._unused = UnusedConsumers()
        self._listings = WantedListings(options.prefix)
        self._absence = Absence(access.shown(), logger.warning)
        self._away_since: float | None = None
        self._has_looked = False
        #: Partitions of which something is in hand, and until when it may be.
        self._in_hand: dict[int, float] = {}
        self._events: deque[ReadingOpened | Began | Chunk] = deque()
        self._came = asyncio.Event()
        self._wake = asyncio.Event()
        self._closed = False
        self._task = asyncio.ensure_future(self._run())
        self._task.add_done_callback(lambda task: self._came.set())

    # -- what whoever handles the messages asks for

    async def next(self, wait_s: float | None) -> ReadingOpened | Began | Chunk | None:
        """What happens next; None if nothing does within `wait_s` (None: without end).

        Raises NotRunningError when it is closed, and what ends it: no server answers for too long, or refuses for good.
        """
        if not self._events and not self._task.done():
            self._came.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._came.wait()
        if self._closed:
            raise NotRunningError("the client is closed", hint="make a new one")
        if self._task.done():
            self._task.result()
        return self._events.popleft() if self._events else None

    async def start(self, partition: int, reading: int, after: int) -> None:
        """Reads what comes after this sequence; from the beginning, if the stream has not come so far."""
        self._reading.start(partition, reading, after)

    async def more(self, partition: int, reading: int) -> None:
        """What was told last is done with: the next messages are wanted."""
        self._reading.more(partition, reading)

    async def begin(self, partition: int, reading: int, lease_s: float) -> bool:
        """Something of the partition is handed out, for so long. False: it must not be; the partition is opened again if it is
        this worker's still.
        """
        if not self._reading.is_current(partition, reading) or not self._leases.may_hand_out(partition):
            await self.again(partition, reading)
            return False
        self._in_hand[partition] = time.monotonic() + lease_s
        return True

    async def extend(self, partition: int, lease_s: float) -> bool:
        """Returns False where it is too late."""
        if not await self.holds(partition):
            return False
        self._in_hand[partition] = time.monotonic() + lease_s
        return True

    async def holds(self, partition: int) -> bool:
        return self._leases.holds(partition)

    async def finish(self, partition: int) -> None:
        """Nothing of the partition is in hand any more."""
        self._in_hand.pop(partition, None)
        self._wake.set()

    async def again(self, partition: int, reading: int) -> None:
        """The partition is to be read anew: it is opened again."""
        if self._reading.is_current(partition, reading):
            self._reading.drop(partition)
            self._wake.set()

    async def missed(self, missed: Mapping[str, int]) -> None:
        """Something of these generations was missed: has all of these sources told again, as later ones."""
        for source, generation in missed.items():
            if self._heads.generation(source) <= generation:  # otherwise it is there already, and is read in its turn
                self._listings.want(source, generation)

    async def is_idle(self, paused: Collection[int], missing: Collection[int]) -> bool:
        """Whether everything that is there for this worker was handed on, and is in hand, paused, or done with. It is not where
        something is `missing` in one of its partitions that is to be told again.

        Raises ServiceError where nobody tells it again.
        """
        self._listings.check()
        if not self._has_looked or self._events or not self._leases.has_all(self._heads.partitions):
            return False
        held = set(self._leases.held())
        return held.isdisjoint(missing) and self._reading.are_idle(held - set(paused) - set(self._in_hand))

    async def close(self) -> None:
        """Gives back what it has, if a server answers. Blocks for some seconds at most. Idempotent."""
        self._closed = True
        self._came.set()
        for _ in range(2):
            self._task.cancel()
            # A task that is cancelled at the moment in which a connection fails or stands does not hear of it (asyncio.wait_for).
            if (await asyncio.wait({self._task}, timeout=_GOODBYE_S + 1))[0]:
                break
        if self._task.done() and not self._task.cancelled():
            self._task.exception()  # whoever waits was told of it

    def _happened(self, event: ReadingOpened | Began | Chunk) -> None:
        self._events.append(event)
        self._came.set()

    # -- the connection

    async def _run(self) -> None:
        waits = pauses()
        while True:
            try:
                await self._connection()
            except ShardwatchError as error:
                if self._closed:
                    return
                now = time.monotonic()
                self._away_since = now if self._away_since is None else self._away_since
                if not error.retryable or now - self._away_since >= self._options.patience_s:
                    raise
                self._absence.noted(error)
                waits = pauses() if self._has_looked else waits
                self._has_looked = False
                await asyncio.sleep(next(waits))

    async def _connection(self) -> None:
        """One connection: until it is lost."""
        broker = await Broker.connected(self._access, f"shardwatch {self._options.worker}", self._unused)
        try:
            self._heads.forget()
            stream = await self._looked(broker)
            async with self._heads_reading(broker) as heads, self._leases.reading(broker) as leases:
                await self._take_part(broker, stream, heads, leases)
        except asyncio.CancelledError:
            with contextlib.suppress(ShardwatchError, TimeoutError):
                async with asyncio.timeout(_GOODBYE_S):
                    await self._leases.give_back(broker)
            raise
        finally:
            self._reading.drop_all()
            self._events.clear()
            await broker.close()

    async def _take_part(self, broker: Broker, stream: str, heads: StreamReader, leases: StreamReader) -> None:
        """Sees everything that is there, and then what comes: reads its partitions, and shares them with others."""
        await self._leases.say_alive(broker)
        while not (heads.is_drained and leases.is_drained):
            self._saw_heads(await broker.take(heads, TAKEN_MAX, 0.0))
            self._saw_leases(await broker.take(leases, TAKEN_MAX, 0.0))
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._watch(broker, heads, self._saw_heads))
                tasks.create_task(self._watch(broker, leases, self._saw_leases))
                tasks.create_task(self._listings.ask(broker.connection))
                await self._turns(broker, stream, tasks)
        except BaseExceptionGroup as group:
            raise group.exceptions[0] from None

    async def _looked(self, broker: Broker) -> str:
        """The stream, by its name and the time at which it was made. There is a bucket of leases afterwards."""
        name = self._options.stream
        found = await broker.stream(name)
        if found is None:
            hint = "start `shardwatch ship --create` where the files are, or name another stream"
            raise NotRunningError(f"there is no stream {name} at {broker.where}", hint=hint, retryable=True)
        replicas = int(found.config.get("num_replicas") or 1)
        fault = server_fault(broker.version, replicas)
        if fault:
            raise UsageError(f"the NATS server at {broker.where} is too old: {fault}", hint="install a newer server")
        await self._leases.make(broker, replicas)
        return f"{name} of {found.created}"

    async def _watch(self, broker: Broker, reader: StreamReader, saw: Callable[[Sequence[StreamMessage]], None]) -> None:
        while True:
            saw(await broker.take(reader, TAKEN_MAX, POLL_S))

    def _saw_heads(self, messages: Sequence[StreamMessage]) -> None:
        before = self._heads.partitions
        for message in messages:
            self._heads.saw(message.sequence, message.body)
        if self._heads.partitions > before:
            self._wake.set()

    def _saw_leases(self, messages: Sequence[StreamMessage]) -> None:
        self._leases.saw(messages)
        if messages:
            self._wake.set()

    # -- partitions

    async def _turns(self, broker: Broker, stream: str, tasks: asyncio.TaskGroup) -> None:
        """Renews, takes and gives back, now and then and when something has changed."""
        every_s = self._options.away_s / RENEWALS
        said = time.monotonic()
        while True:
            self._wake.clear()
            now = time.monotonic()
            if now >= said + every_s:
                await self._leases.say_alive(broker)
                said = now
            silent = {partition for partition, until in self._in_hand.items() if now >= until}
            await self._leases.turn(broker, self._heads.partitions, self._in_hand, silent)
            await self._read_what_is_held(broker, stream, tasks)
            self._has_looked = True
            self._away_since = None
            self._absence.over()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(every_s / 2):
                    await self._wake.wait()

    async def _read_what_is_held(self, broker: Broker, stream: str, tasks: asyncio.TaskGroup) -> None:
        """And nothing else."""
        held = self._leases.held()
        read = self._reading.partitions()
        for partition in read - set(held):
            self._reading.drop(partition)
        opened = [partition for partition in held if partition not in read]
        if opened:
            bounds = await broker.bounds(self._options.stream)
            await self._see_heads(broker)
            for partition in opened:
                self._reading.open(broker, tasks, partition, stream, bounds, self._heads.generations(partition))

    def _heads_reading(self, broker: Broker) -> contextlib.AbstractAsyncContextManager[StreamReader]:
        return broker.reading(self._options.stream, f"{self._options.prefix}.*.head", None)

    async def _see_heads(self, broker: Broker) -> None:
        """All heads that the stream has now. They are read as they come, too, but may come late. What lies in a partition up to
        the bounds that were asked for before is of no later generation than these."""
        async with self._heads_reading(broker) as heads:
            while not heads.is_drained:
                self._saw_heads(await broker.take(heads, TAKEN_MAX, 0.0))
