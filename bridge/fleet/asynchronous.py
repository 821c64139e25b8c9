"""`AsyncFleetClient`: what `blocking` is, for asyncio."""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeVar

from shardwatch.shard.contract.errors import NotRunningError

from ..protocol.names import PREFIX, STREAM
from .base import AWAY_S, FleetClientBase, lease_or, pause, timeout
from .following import FleetBatchData
from .steps import FleetFlow, OfMember

if TYPE_CHECKING:
    from ..protocol.syncs import Watermark
    from .following import FleetHanded
    from .member import Member
    from .store import AsyncFleetStore, FleetStore

T = TypeVar("T")


class AsyncFleetBatch(FleetBatchData):
    """Some events, on lease; see FleetBatch."""

    __slots__ = ()

    async def ack(self) -> bool:
        return await _carry_out(self._handed.ack())

    async def nack(self, reason: str = "", *, retry_s: float | None = None) -> None:
        await _carry_out(self._handed.give_back(pause(retry_s), reason))

    async def extend(self, lease_s: float | None = None) -> None:
        await _carry_out(self._handed.extend(lease_or(self.lease_s, lease_s)))

    async def release(self) -> None:
        await _carry_out(self._handed.give_back(0.0, ""))


class AsyncFleetClient(FleetClientBase):
    """The client for asyncio, for one event loop. An event loop that is blocked for `away_s` loses its partitions.

    The methods of the store may return awaitables. The docstrings of FleetClient say what each method promises.
    """

    def __init__(
        self, store: AsyncFleetStore | FleetStore | Path | str, url: str | None = None, *, stream: str = STREAM,
        prefix: str = PREFIX, worker: str = "", away_s: float = AWAY_S,
    ) -> None:  # fmt: skip
        super().__init__(store, url, stream=stream, prefix=prefix, worker=worker, away_s=away_s)
        self._members: set[Member] = set()
        self._closed = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.close()

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        for member in list(self._members):
            await member.close()
        if self._store_is_ours:
            self._store.close()

    async def batches(
        self,
        group: str,
        *,
        max: int | None = None,
        wait_s: float | None = None,
        follow: bool = True,
        lease_s: float | None = None,
        patience_s: float | None = None,
    ) -> AsyncGenerator[AsyncFleetBatch, None]:
        from .following import FleetFollowing
        from .member import Member

        if self._closed:
            raise NotRunningError("the client is closed", hint="make a new one")
        options = self._member_options(group, patience_s, follow=follow)
        following_options = self._following_options(group, max, wait_s, lease_s, follow=follow)
        member = Member(self._access, options)
        self._members.add(member)
        last: FleetHanded | None = None
        try:
            following = FleetFollowing(member, self._store, following_options)
            while (handed := await _carry_out(following.next())) is not None:
                last = handed
                yield AsyncFleetBatch(handed, group, following_options.lease_s)
        finally:
            if last is not None and not self._closed:
                await _carry_out(last.give_back(0.0, ""))
            await member.close()
            self._members.discard(member)

    async def sync(self, source: str, timeout_s: float = 30.0) -> Watermark:
        from .syncing import sync

        return await sync(self._access, self._prefix, source, timeout(timeout_s))


async def _carry_out(flow: FleetFlow[T]) -> T:
    """Carries a flow out to its end. Returns its result, raises its errors."""
    try:
        step = next(flow)
        while True:
            if isinstance(step, OfMember):
                step = flow.send(await step.call(*step.arguments))
            else:
                outcome = step.call(*step.arguments)
                step = flow.send(await outcome if inspect.isawaitable(outcome) else outcome)
    except StopIteration as end:
        result: T = end.value
        return result
