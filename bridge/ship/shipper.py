"""Ships the files of one service: connects, checks, and carries batch after batch.

A batch is acknowledged only when the stream has confirmed every message of it. Whatever ends in between, the batch comes again,
and publishing it again changes nothing (`protocol.publishing`).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable, Iterator
from typing import Final

from msgspec.structs import replace

from shardwatch.aggregator.client.absence import Absence
from shardwatch.aggregator.client.asynchronous import AsyncBatch, AsyncExtractClient
from shardwatch.aggregator.client.conversation import pauses
from shardwatch.shard.contract.errors import InUseError, ShardwatchError, UsageError

from ..jetstream.access import Access
from ..jetstream.broker import Broker
from ..jetstream.server_connection import READING_API, AwayError
from ..protocol.generations import ShipOptions, why_new
from ..protocol.layouts import KEEP_S
from ..protocol.names import Subjects
from ..protocol.stream import StreamFacts, made_for, server_fault, stream_fault
from .notebook import Notebook
from .outlet import LookAgain
from .report import Reporter
from .source import ShippedSource
from .syncs import ShipSyncs

#: Seconds between two heads of a source where nothing changes.
BEAT_S: Final = 10.0
#: Most seconds between two searches for what is old.
TIDY_S_MAX: Final = 3_600.0
#: Events of a batch: so few that publishing them takes a small part of a lease.
BATCH_MAX: Final = 1_000
#: The worker's name. It is the same for every process, so that what a dead one had on lease is taken back at once.
WORKER: Final = "ship"
#: Seconds of one wait for a service that is not ready; the next one begins at once.
READY_WAIT_S: Final = 30.0


class Shipper:
    """Ships until it is cancelled.

    Args:
        service: makes a client of the service.
        notebook: what is kept between two lives.
        reporter: is told whether it ships.
        tell: receives what a person should know, a line each.
    """

    def __init__(
        self,
        service: Callable[[], AsyncExtractClient],
        notebook: Notebook,
        reporter: Reporter,
        access: Access,
        wanted: ShipOptions,
        tell: Callable[[str], object],
    ) -> None:
        self._service = service
        self._notebook = notebook
        self._reporter = reporter
        self._access = access
        self._wanted = wanted
        self._target = wanted.target
        self._names = Subjects(wanted.target.prefix, wanted.target.source, wanted.partitions)
        self._life = os.urandom(8).hex()
        self._tell = tell
        self._absence = Absence(access.shown(), tell)
        #: It has been shipping once, so that what is wrong from now on may pass.
        self._attached = False
        self._has_claimed = False
        #: A batch is being shipped.
        self._has_batch = False
        self._take_over = wanted.take_over

    async def run(self) -> None:
        """Goes on through everything that passes by itself, once it has begun. Raises ShardwatchError for what does not pass, and
        for everything at the first try.
        """
        waits: Iterator[float] = pauses()
        while True:
            try:
                await self._connection()
            except LookAgain:
                waits = pauses()
            except ShardwatchError as error:
                if not (self._attached and error.retryable):
                    raise
                self._reporter.failed(error)
                self._absence.noted(error)
                await asyncio.sleep(next(waits))

    async def _connection(self) -> None:
        """One connection: ships until it is lost."""
        broker = await Broker.connected(self._access)
        self._client = self._service()
        try:
            stream = await self._checked_stream(broker)
            source = ShippedSource(
                broker, self._notebook, self._names, self._target, self._life, stream, self._wanted.wish.keep_s or KEEP_S
            )
            await self._claim(source)
            self._absence.over()
            self._reporter.connected(broker.where)
            if not self._attached:
                self._tell(f"shipping {self._target.source} to the stream {self._target.stream} at {broker.where}")
            self._attached = True
            await self._carry(broker, source)
        finally:
            # A pull that was given up would still be answered, and nobody would hear of its batch until the lease is over.
            self._client.close()
            await broker.close()

    async def _checked_stream(self, broker: Broker) -> StreamFacts:
        """Raises UsageError where the server or the stream would lose something."""
        name = self._target.stream
        found = await broker.stream(name)
        replicas = int(found.config.get("num_replicas") or 1) if found is not None else self._wanted.wish.replicas or 1
        fault = server_fault(broker.version, replicas)
        if fault:
            hint = "install a newer server" if replicas == 1 else "install a newer server, or use a stream of one replica"
            raise UsageError(f"the NATS server at {broker.where} is too old: {fault}", hint=hint)
        if found is None:
            if not self._wanted.create:
                hint = "give --create (in [ship]: create = true) to have it made"
                raise UsageError(f"there is no stream {name} at {broker.where}", hint=hint)
            found = await broker.create(name, self._names.stream_subjects, self._wanted.wish)
        fault = stream_fault(found.config, self._names.stream_subjects, self._wanted.wish)
        if fault:
            other = made_for(found.config)
            is_other = other not in (None, self._wanted.wish.layout)
            instead = f"give --layout {other}, or " if is_other else ""
            hint = f"{instead}change it (`nats stream edit`), or give another --stream and --prefix, and --create"
            raise UsageError(f"the stream {name} at {broker.where} can't be used: {fault}", hint=hint)
        return found

    async def _claim(self, source: ShippedSource) -> None:
        """Makes sure that nobody else ships under this name, and that the stream has what was shipped to it. If it has not, the
        group is told to begin again.

        Raises InUseError.
        """
        head = await source.look()
        progress = self._notebook.progress
        if head is not None and head.service != progress.service and not self._take_over:
            raise InUseError(
                f"the source {head.source} is shipped by another service to the stream {self._target.stream}",
                hint="give another --source; or --take-over, if that service's state directory is lost or this is its new one",
            )
        if head is not None and self._has_claimed and head.service == progress.service and head.life != self._life:
            raise InUseError(
                f"the source {head.source} is also shipped by a service with a copy of this state directory",
                hint="stop one of them, and remove its state directory",
            )
        await self._client.ready(patience_s=None)
        why = why_new(progress, self._target, self._wanted.partitions, source.stream.created, head)
        if self._target.group in {row["name"] for row in await self._client.groups()}:
            await self._client.release(self._target.group, worker=WORKER)
        else:
            why = why or "the group was lost"
        if why or (head is not None and head.service != progress.service):
            self._notebook.write(replace(progress, base=0))
            if not await self._client.create(self._target.group, from_="fresh"):
                await self._client.reset(self._target.group)
        else:
            await source.publish_head()
            self._claimed()
            await self._client.retry(self._target.group)

    async def _carry(self, broker: Broker, source: ShippedSource) -> None:
        """Ships batch after batch, with a head now and then where there are none."""
        self._has_batch = False
        await self._complete(source)  # its last batch may have been acknowledged just before the last connection was lost
        batches = self._client.batches(self._target.group, max=BATCH_MAX, from_="fresh", patience_s=None)
        try:
            async with asyncio.TaskGroup() as tasks, contextlib.aclosing(batches):
                tasks.create_task(self._beat(source))
                tasks.create_task(self._tidy(broker, source))
                syncs = ShipSyncs(self._service, self._target.group, source)
                tasks.create_task(broker.connection.serve(self._names.sync, syncs.answer))
                async for batch in batches:
                    self._has_batch = True
                    await self._ship(source, batch)
                    self._has_batch = False
        except ExceptionGroup as group:
            raise group.exceptions[0] from None

    async def _beat(self, source: ShippedSource) -> None:
        """A head now and then. Raises LookAgain where a generation is not complete, and no batch comes after which it would be:
        what was left of it may have gone in the meantime.
        """
        before = None
        while True:
            await asyncio.sleep(BEAT_S)
            progress = self._notebook.progress
            if progress.base and not progress.complete and progress == before and not self._has_batch:
                raise LookAgain
            before = progress
            await source.beat()

    async def _tidy(self, broker: Broker, source: ShippedSource) -> None:
        """Removes what is old now and then. Where the permissions forbid it, it stays, and is tried again less and less often."""
        broker.connection.do_without(READING_API)
        pause_s = again_s = BEAT_S
        told = ""
        while True:
            await asyncio.sleep(pause_s)
            try:
                await source.tidy()
                pause_s, again_s = min(TIDY_S_MAX, max(BEAT_S, (self._wanted.wish.keep_s or KEEP_S) / 50)), BEAT_S
            except AwayError as error:  # if the connection is lost, others notice; it may pass, as when a leader is elected
                pause_s, again_s = again_s, min(TIDY_S_MAX, again_s * 2)
                if told != error.message:
                    told = error.message
                    self._tell(f"old deletions stay in the stream for now (docs/fleet.md, Permissions): {told}")

    async def _ship(self, source: ShippedSource, batch: AsyncBatch) -> None:
        if batch.fresh is not None:
            await source.begin(until=await self._last_tick())
            self._claimed()
        elif self._notebook.progress.base:
            await source.ship(batch.events)
        else:  # somebody else has made the group: a generation has to begin before anything is shipped
            self._notebook.write(replace(self._notebook.progress, base=0))
            raise LookAgain
        await batch.ack()
        progress = self._notebook.progress
        if not batch.more or progress.tick >= progress.until:  # otherwise another batch follows; the question takes long then
            await self._complete(source)

    async def _last_tick(self) -> int:
        """The tick of the last change, once every file that exists is known. A notice to begin afresh may come before that."""
        while await self._client.ready(READY_WAIT_S, patience_s=None) is None:
            pass
        return int((await self._client.hello())["tick"])

    async def _complete(self, source: ShippedSource) -> None:
        """Completes the generation, once everything of it is shipped."""
        progress = self._notebook.progress
        if progress.base and not progress.complete and await self._all_shipped():
            await source.complete()

    async def _all_shipped(self) -> bool:
        """Whether the group has acknowledged everything that was there when the generation began."""
        row = next((row for row in await self._client.groups() if row["name"] == self._target.group), None)
        if row is None or row["state"] != "active" or row["parked_paths"]:
            return False
        pending = row["backlog"] or row["leased"] or row["retrying"]
        return not pending or int(row["cursor"]) >= self._notebook.progress.until

    def _claimed(self) -> None:
        """A head of this process is in the stream."""
        self._has_claimed, self._take_over = True, False
