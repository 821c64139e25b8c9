"""`FleetClient`: receives the changes of many machines from a stream of NATS JetStream, for extract workers on any machine.

It connects in a thread of its own, which renews what the worker has while the worker works.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import os
import threading
from collections.abc import Coroutine, Generator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

from shardwatch.shard.contract.errors import NotRunningError, UsageError

from ..protocol.names import PREFIX, STREAM
from .base import AWAY_S, FleetClientBase, lease_or, pause, timeout
from .following import FleetBatchData
from .steps import FleetFlow, OfMember

if TYPE_CHECKING:
    from pathlib import Path

    from ..protocol.syncs import Watermark
    from .following import FleetHanded
    from .member import Member
    from .store import FleetStore

T = TypeVar("T")

#: Seconds for which what goes on in the loop is waited for when the client is closed.
_END_S: Final = 2.0


class FleetBatch(FleetBatchData):
    """Some events, on lease. Acknowledge it when they are done. Without an ack it is handed out again."""

    __slots__ = ("_client",)

    def __init__(self, client: FleetClient, handed: FleetHanded, group: str, lease_s: float) -> None:
        super().__init__(handed, group, lease_s)
        self._client = client

    def ack(self) -> bool:
        """Keeps in the store that the batch is done, in one transaction with what was written over the store's connection.

        Returns True once this is durable. Idempotent. If it came too late, because the lease was over, it logs this and returns
        False: the transaction is rolled back, and the batch is handed out again. Raises what the store raises.
        """
        return self._client._carry_out(self._handed.ack())

    def nack(self, reason: str = "", *, retry_s: float | None = None) -> None:
        """Reports that the batch failed. It is handed out again after a pause that grows with the attempts, or after `retry_s`.
        The other partitions go on.
        """
        self._client._carry_out(self._handed.give_back(pause(retry_s), reason))

    def extend(self, lease_s: float | None = None) -> None:
        """Extends the lease, so that it ends `lease_s` (by default as long as before) from now. Raises ServiceError if it is
        over.
        """
        self._client._carry_out(self._handed.extend(lease_or(self.lease_s, lease_s)))

    def release(self) -> None:
        """Gives the batch back. It is handed out again at once, and this does not count as a failure."""
        self._client._carry_out(self._handed.give_back(0.0, ""))


class FleetClient(FleetClientBase):
    """The blocking client. It is for one thread; `close` may be called from any. Close it, or use it as a context manager.

    After `fork` the child makes its own. Every method checks its arguments, and raises UsageError if one is of the wrong type or
    out of range.
    """

    def __init__(
        self, store: FleetStore | Path | str, url: str | None = None, *, stream: str = STREAM, prefix: str = PREFIX,
        worker: str = "", away_s: float = AWAY_S,
    ) -> None:  # fmt: skip
        """Args:
            store: where it is kept how far the group is: a file of SQLite, or a FleetStore. One for all workers that write to the
                same results.
            url: as for `shardwatch ship`; default: NATS_URL. Credentials come from NATS_CREDS, or from the URL in NATS_URL.
            worker: a name for people; by default made of host and process.
            away_s: seconds (1 to 3600) without a sign of life after which other workers take this one's partitions.

        Raises UsageError.
        """
        super().__init__(store, url, stream=stream, prefix=prefix, worker=worker, away_s=away_s)
        self._pid = os.getpid()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="shardwatch-fleet", daemon=True)
        self._members: set[Member] = set()
        #: Held while the loop is asked for something, or it is noted that it will not be any more.
        self._asking = threading.Lock()
        self._closed = False
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Gives back the worker's partitions, and closes the client. Idempotent. A loop in which another thread waits ends with
        NotRunningError.
        """
        if self._pid != os.getpid():
            return
        with self._asking:
            if self._closed:
                return
            self._closed = True
        # Nobody asks the loop for anything from now on, so what it was asked for before is all that there is to end.
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        if self._store_is_ours:
            self._store.close()

    async def _end(self) -> None:
        """Says goodbye to the servers, and ends all that goes on in the loop."""
        for member in list(self._members):
            await member.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        if others:
            await asyncio.wait(others, timeout=_END_S)

    def batches(
        self,
        group: str,
        *,
        max: int | None = None,
        wait_s: float | None = None,
        follow: bool = True,
        lease_s: float | None = None,
        patience_s: float | None = None,
    ) -> Generator[FleetBatch, None, None]:
        """Yields batches, one after the other; ack or nack each of them. If the last one was neither, it is given back when the
        loop ends (`break`, `close()`). A group begins with every file that the stream has.

        With `follow` the loop continues without end, whatever happens to the servers. While they are away, they are tried again,
        and the log says once that the client waits.

        Args:
            max: the most events, 1 to 1000.
            wait_s: without `follow`, seconds without a batch after which the loop ends (default 0: what is pending now).
            follow: continue without end.
            lease_s: seconds (default 60) in which a batch must be acknowledged or extended. Afterwards another worker may take
                the partition.
            patience_s: with `follow`, seconds for which servers that are away are tried again; None: without end.

        Raises:
            UsageError: a wrong argument; the credentials are refused; a server is too old; a store of another group.
            NotRunningError: `patience_s` is over, or the client is closed.
        """
        from .following import FleetFollowing
        from .member import Member

        options = self._member_options(group, patience_s, follow=follow)
        following_options = self._following_options(group, max, wait_s, lease_s, follow=follow)

        async def made() -> Member:
            member = Member(self._access, options)
            self._members.add(member)
            return member

        member = self._of_loop(made())
        last: FleetHanded | None = None
        try:
            following = FleetFollowing(member, self._store, following_options)
            while (handed := self._carry_out(following.next())) is not None:
                last = handed
                yield FleetBatch(self, handed, group, following_options.lease_s)
        finally:
            if not self._closed:
                if last is not None:
                    self._carry_out(last.give_back(0.0, ""))
                self._of_loop(member.close())
                self._members.discard(member)  # otherwise `close` ends it

    def sync(self, source: str, timeout_s: float = 30.0) -> Watermark:
        """Returns once every change that was made to the source's files before the call is in the stream, at or below the
        watermark's `sequence`.

        Raises NotRunningError if nobody ships the source, or no server answers; ServiceError if it takes longer than `timeout_s`
        (0 to 86400).
        """
        from .syncing import sync

        return self._of_loop(sync(self._access, self._prefix, source, timeout(timeout_s)))

    def _carry_out(self, flow: FleetFlow[T]) -> T:
        """Carries a flow out to its end. Returns its result, raises its errors."""
        try:
            step = next(flow)
            while True:
                if isinstance(step, OfMember):
                    step = flow.send(self._of_loop(step.call(*step.arguments)))
                else:
                    step = flow.send(step.call(*step.arguments))
        except StopIteration as end:
            result: T = end.value
            return result

    def _of_loop(self, awaited: Coroutine[Any, Any, T]) -> T:
        if self._pid != os.getpid():  # somebody may have held the lock at that moment
            awaited.close()
            raise UsageError("the client was made before fork", hint="make one in the child")
        with self._asking:
            if self._closed:
                awaited.close()
                raise _closed()
            future = asyncio.run_coroutine_threadsafe(awaited, self._loop)
        try:
            return future.result()
        except concurrent.futures.CancelledError:
            raise _closed() from None
        finally:
            future.cancel()  # where this thread was interrupted


def _closed() -> NotRunningError:
    return NotRunningError("the client is closed", hint="make a new one")
