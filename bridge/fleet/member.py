"""One worker of a group: its connection, the partitions that it has, and the messages that come from them.

It decides nothing about messages (`course`), nor about who has which partition (`sharing`). When its connection is lost, it makes
another one, and begins to read anew what it has.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections import deque
from collections.abc import Callable, Collection, Sequence
from typing import Final, NamedTuple

import msgspec

from shardwatch.aggregator.client.absence import Absence
from shardwatch.aggregator.client.conversation import pauses
from shardwatch.shard.contract.errors import NotRunningError, ShardwatchError, UsageError

from ..jetstream.access import Access
from ..jetstream.broker import Broker
from ..jetstream.reader import StreamMessage, StreamReader
from ..protocol.bodies import NOTHING, Head, Message, decode_head
from ..protocol.stream import server_fault
from .course import Arrived
from .readings import Began, Chunk, LastGeneration, ReadingOpened
from .sharing import RENEWALS, Share, Write

logger = logging.getLogger("shardwatch.bridge.fleet")

#: Seconds for which a server may keep a question for messages.
_POLL_S: Final = 20.0
#: Messages of a partition that are taken at a time, and heads and leases.
_TAKEN_MAX: Final = 1_000
#: Seconds after which a lease that nobody renews goes from the stream of leases. Far above what a lease may last.
LEASES_KEPT_S: Final = 86_400.0
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


class _LeaseBody(msgspec.Struct):
    worker: str
    lease_s: float
    #: For people.
    name: str = ""


class _Reading:
    """A partition that is read over this connection."""

    def __init__(self, partition: int, number: int) -> None:
        self.partition = partition
        self.number = number
        self.start: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.wanted = asyncio.Event()
        self.task: asyncio.Task[None] | None = None
        #: Everything that was there was handed on, and is done with.
        self.is_idle = False


_lease_body = msgspec.json.Decoder(_LeaseBody)


class Member:
    """Made in the event loop in which it lives. `run` has to run."""

    def __init__(self, access: Access, options: MemberOptions) -> None:
        self._access = access
        self._options = options
        self._share = Share(os.urandom(8).hex(), options.away_s)
        self._leases = f"KV_{options.stream}-groups"
        self._subjects = f"$KV.{options.stream}-groups"
        self._absence = Absence(access.shown(), logger.warning)
        self._away_since: float | None = None
        self._partitions = 0
        #: Source -> its last head, and the sequence of that.
        self._heads: dict[str, tuple[Head, int]] = {}
        self._has_looked = False
        self._presence = 0
        self._readings: dict[int, _Reading] = {}
        self._number = 0
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
        current = self._current(partition, reading)
        if current is not None and not current.start.done():
            current.start.set_result(after)

    async def more(self, partition: int, reading: int) -> None:
        current = self._current(partition, reading)
        if current is not None:
            current.wanted.set()

    async def begin(self, partition: int, reading: int, lease_s: float) -> bool:
        """Something of the partition is handed out, for so long. False: it must not be; the partition is opened again if it is
        this worker's still.
        """
        now = time.monotonic()
        if self._current(partition, reading) is None or not self._share.may_hand_out(partition, now):
            await self.again(partition, reading)
            return False
        self._in_hand[partition] = now + lease_s
        return True

    async def extend(self, partition: int, lease_s: float) -> bool:
        """Returns False where it is too late."""
        if not await self.holds(partition):
            return False
        self._in_hand[partition] = time.monotonic() + lease_s
        return True

    async def holds(self, partition: int) -> bool:
        return self._share.holds(partition, time.monotonic())

    async def finish(self, partition: int) -> None:
        """Nothing of the partition is in hand any more."""
        self._in_hand.pop(partition, None)
        self._wake.set()

    async def again(self, partition: int, reading: int) -> None:
        """The partition is to be read anew: it is opened again."""
        if self._current(partition, reading) is not None:
            self._drop(partition)
            self._wake.set()

    async def is_idle(self, paused: Collection[int]) -> bool:
        """Whether everything that is there for this worker was handed on, and is in hand, paused, or done with."""
        now = time.monotonic()
        left = set(self._share.held(now)) - set(paused) - set(self._in_hand)
        is_done = all(partition in self._readings and self._readings[partition].is_idle for partition in left)
        return self._has_looked and not self._events and self._share.has_all(self._partitions, now) and is_done

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

    def _current(self, partition: int, number: int) -> _Reading | None:
        reading = self._readings.get(partition)
        return reading if reading is not None and reading.number == number else None

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
        broker = await Broker.connected(self._access, f"shardwatch {self._options.worker}")
        try:
            self._heads.clear()
            stream = await self._looked(broker)
            heads = await broker.reader(self._options.stream, f"{self._options.prefix}.*.head", None)
            leases = await broker.reader(self._leases, f"{self._subjects}.{self._options.group}.>", None)
            await self._write_presence(broker, self._options.away_s)
            while not (heads.is_drained and leases.is_drained):
                self._saw_heads(await broker.take(heads, _TAKEN_MAX, 0.0))
                self._saw_leases(await broker.take(leases, _TAKEN_MAX, 0.0))
            try:
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(self._watch(broker, heads, self._saw_heads))
                    tasks.create_task(self._watch(broker, leases, self._saw_leases))
                    await self._turns(broker, stream, tasks)
            except BaseExceptionGroup as group:
                raise group.exceptions[0] from None
        except asyncio.CancelledError:
            with contextlib.suppress(ShardwatchError, TimeoutError):
                async with asyncio.timeout(_GOODBYE_S):
                    await self._say_goodbye(broker)
            raise
        finally:
            for partition in list(self._readings):
                self._drop(partition)
            self._events.clear()
            await broker.close()

    async def _looked(self, broker: Broker) -> str:
        """The stream, by its name and the time at which it was made."""
        name = self._options.stream
        found = await broker.stream(name)
        if found is None:
            hint = "start `shardwatch ship --create` where the files are, or name another stream"
            raise NotRunningError(f"there is no stream {name} at {broker.where}", hint=hint, retryable=True)
        replicas = int(found.config.get("num_replicas") or 1)
        fault = server_fault(broker.version, replicas)
        if fault:
            raise UsageError(f"the NATS server at {broker.where} is too old: {fault}", hint="install a newer server")
        await broker.make_leases(self._leases, f"{self._subjects}.>", replicas, LEASES_KEPT_S)
        return f"{name} of {found.created}"

    async def _watch(self, broker: Broker, reader: StreamReader, saw: Callable[[Sequence[StreamMessage]], None]) -> None:
        while True:
            saw(await broker.take(reader, _TAKEN_MAX, _POLL_S))

    def _saw_heads(self, messages: Sequence[StreamMessage]) -> None:
        for message in messages:
            head = decode_head(message.body)
            if head is not None:
                self._heads[head.source] = head, message.sequence
                most = max(head.partitions, head.partitions_before)
                if most > self._partitions:
                    self._partitions = most
                    self._wake.set()

    def _saw_leases(self, messages: Sequence[StreamMessage]) -> None:
        now = time.monotonic()
        for message in messages:
            with contextlib.suppress(msgspec.MsgspecError, ValueError):  # of somebody else
                body = _lease_body.decode(message.body)
                key = message.subject.split(".")[3:]
                if key[0] == "worker":
                    self._share.saw_worker(body.worker, message.sequence, body.lease_s, now)
                else:
                    self._share.saw(int(key[0]), message.sequence, body.worker, body.lease_s, now)
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
                await self._write_presence(broker, self._options.away_s)
                said = now
            silent = {partition for partition, until in self._in_hand.items() if now >= until}
            await self._write(broker, self._share.plan(self._partitions, now, self._in_hand, silent))
            self._follow_leases(broker, stream, tasks)
            self._has_looked = True
            self._away_since = None
            self._absence.over()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(every_s / 2):
                    await self._wake.wait()

    async def _write(self, broker: Broker, writes: Sequence[Write]) -> None:
        if not writes:
            return
        sent = time.monotonic()
        for write, revision in zip(writes, await broker.put(self._leases, [self._lease(w) for w in writes]), strict=True):
            if revision is not None:
                self._share.wrote(write, revision, sent)
                continue
            self._share.refused(write.partition)
            found = await broker.last(self._leases, self._subject(write.partition))
            revision, body = found or (0, b'{"worker": "", "lease_s": 0}')
            self._saw_leases([StreamMessage(revision, self._subject(write.partition), body)])

    def _lease(self, write: Write) -> tuple[Message, int]:
        body = _LeaseBody(write.worker, self._options.away_s, self._options.worker if write.worker else "")
        return Message(self._subject(write.partition), NOTHING, msgspec.json.encode(body)), write.revision

    def _subject(self, partition: int | str) -> str:
        return f"{self._subjects}.{self._options.group}.{partition}"

    async def _write_presence(self, broker: Broker, lease_s: float) -> None:
        body = msgspec.json.encode(_LeaseBody(self._share.worker, lease_s, self._options.worker))
        message = Message(self._subject(f"worker.{self._share.worker}"), NOTHING, body)
        (revision,) = await broker.put(self._leases, [(message, self._presence)])
        if revision is None:  # an answer was lost
            found = await broker.last(self._leases, message.subject)
            self._presence = 0 if found is None else found[0]
        else:
            self._presence = revision

    async def _say_goodbye(self, broker: Broker) -> None:
        now = time.monotonic()
        await self._write(broker, self._share.goodbye(now))
        await self._write_presence(broker, 0.0)

    def _follow_leases(self, broker: Broker, stream: str, tasks: asyncio.TaskGroup) -> None:
        """Reads what this worker has, and nothing else."""
        held = self._share.held(time.monotonic())
        for partition in set(self._readings) - set(held):
            self._drop(partition)
        for partition in held:
            if partition not in self._readings:
                self._number += 1
                reading = self._readings[partition] = _Reading(partition, self._number)
                reading.task = tasks.create_task(self._read(broker, reading))
                self._happened(ReadingOpened(partition, reading.number, stream, self._generations(partition)))

    def _generations(self, partition: int) -> tuple[LastGeneration, ...]:
        return tuple(
            LastGeneration(source, head.generation, head.base or sequence)
            for source, (head, sequence) in self._heads.items()
            if partition < max(head.partitions, head.partitions_before)
        )

    def _drop(self, partition: int) -> None:
        reading = self._readings.pop(partition)
        reading.start.cancel()
        if reading.task is not None:
            reading.task.cancel()

    async def _read(self, broker: Broker, reading: _Reading) -> None:
        after = await reading.start
        if after > await broker.last_sequence(self._options.stream):
            after = 0  # the stream has lost its last messages
        subjects = f"{self._options.prefix}.*.{reading.partition}.*"
        reader = await broker.reader(self._options.stream, subjects, after)
        self._happened(Began(reading.partition, reading.number, after))
        while True:
            reading.is_idle = reader.is_drained
            messages = await broker.take(reader, _TAKEN_MAX, _POLL_S)
            if messages:
                reading.is_idle = False
                reading.wanted.clear()
                arrived = [Arrived(message.sequence, message.body) for message in messages]
                self._happened(Chunk(reading.partition, reading.number, arrived))
                await reading.wanted.wait()
