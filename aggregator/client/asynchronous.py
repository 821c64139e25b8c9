"""`AsyncExtractClient`: what `blocking` is, for asyncio."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Collection, Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from . import replies, requests
from .asyncio_driver import AsyncioDriver
from .base import ClientBase
from .batch import BatchData, Handed, decode_pull, handed
from .changes import ChangesSince, decode_since
from .conversation import REPLY_S
from .dead import DeadLetter, decode_dead
from .following import Following
from .owed import ACK_PATIENCE_S
from .requests import Request


class AsyncBatch(BatchData):
    """Some events, on lease; see Batch."""

    __slots__ = ("_driver",)

    def __init__(self, driver: AsyncioDriver, handed: Handed) -> None:
        super().__init__(handed)
        self._driver = driver

    async def ack(self, *, wait: bool = True) -> bool:
        return await self._driver.run(self._lease.ack(wait=wait))

    async def nack(self, reason: str = "", *, retry_s: float | None = None, output: str = "") -> None:
        await self._driver.run(self._lease.nack(reason, retry_s, output))

    async def extend(self, lease_s: float | None = None) -> None:
        await self._driver.run(self._lease.extend(lease_s))

    async def release(self) -> None:
        await self._driver.run(self._lease.release())


class AsyncExtractClient(ClientBase):
    """The client for asyncio. Requests of one client wait for each other.

    It belongs to one event loop. Another loop may use it once that loop is closed; before, it raises UsageError there. In a
    child made with fork it has its own connection. The docstrings of ExtractClient say what each method promises.
    """

    def __init__(self, state_dir: Path | str, *, worker: str = "", timeout_s: float = REPLY_S) -> None:
        super().__init__(state_dir, worker=worker, timeout_s=timeout_s)
        self._driver = AsyncioDriver(self._conversation)
        #: Loops that are ending at the moment, and what tells that they have.
        self._ending: dict[Following, asyncio.Event] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Ends its loops over `batches`, as leaving them does, and closes it: a loop that was left by `break` has mostly not
        ended by then."""
        for loop in self._loops - self._ending.keys():
            await self._driver.run_if_idle(loop.leave())
        with contextlib.suppress(TimeoutError):  # unless another task waits in a request, and keeps them from ending
            async with asyncio.timeout(ACK_PATIENCE_S):
                for ended in list(self._ending.values()):  # also what has begun to end meanwhile: each has done a part
                    await ended.wait()
        self.close()

    def close(self) -> None:
        """Closes the client. Idempotent. A request in which another task waits ends with NotRunningError. It waits for nothing:
        acknowledgements that its loops owe are lost, and their batches come again, unless they have ended (`aclose`) or it is
        used as a context manager.
        """
        self._driver.close()

    async def request(self, op: str, *, wait_s: float = 0.0, patience_s: float | None = 0.0, **fields: Any) -> dict[str, Any]:
        return await self._ask(requests.request(op, fields, wait_s), patience_s)

    async def _ask(self, request: Request, patience_s: float | None = 0.0) -> dict[str, Any]:
        return replies.decode(await self._driver.ask(request, requests.patience(patience_s)))

    # -- ops

    async def pull(
        self,
        group: str,
        *,
        max: int | None = None,
        wait_s: float = 0.0,
        from_: str | None = None,
        peek: bool = False,
        lease_s: float | None = None,
        patience_s: float | None = 0.0,
    ) -> AsyncBatch | None:
        request = requests.pull(
            group, self.worker, max=max, wait_s=wait_s, from_=from_, peek=peek, lease_s=lease_s, once=requests.once()
        )
        found = handed(decode_pull(await self._driver.ask(request, requests.patience(patience_s))))
        return None if found is None else AsyncBatch(self._driver, found)

    async def batches(
        self,
        group: str,
        *,
        max: int | None = None,
        wait_s: float | None = None,
        follow: bool = True,
        from_: str | None = None,
        lease_s: float | None = None,
        patience_s: float | None = None,
        ahead: int = 1,
    ) -> AsyncGenerator[AsyncBatch, None]:
        loop = self._following(
            group, max=max, wait_s=wait_s, follow=follow, from_=from_, lease_s=lease_s, patience_s=patience_s, ahead=ahead
        )
        try:
            while (found := await self._driver.run(loop.next())) is not None:
                yield AsyncBatch(self._driver, found)
        finally:
            ended = self._ending[loop] = asyncio.Event()
            try:
                await self._driver.run(loop.leave())
            finally:
                self._loops.discard(loop)
                del self._ending[loop]
                ended.set()

    async def ack(
        self, group: str, batch: str, *, ticks: Collection[int] | None = None, patience_s: float | None = 5.0
    ) -> dict[str, Any]:
        return await self._ask(requests.ack(group, batch, ticks), patience_s)

    async def nack(
        self,
        group: str,
        batch: str,
        reason: str = "",
        *,
        retry_s: float | None = None,
        output: str = "",
        ticks: Collection[int] | None = None,
        patience_s: float | None = 0.0,
    ) -> dict[str, Any]:
        return await self._ask(requests.nack(group, batch, reason, retry_s, output, ticks), patience_s)

    async def extend(
        self, group: str, batch: str, lease_s: float | None = None, *, patience_s: float | None = 0.0
    ) -> dict[str, Any]:
        return await self._ask(requests.extend(group, batch, lease_s), patience_s)

    async def release(self, group: str, *, batch: str | None = None, worker: str | None = None) -> int:
        return int((await self._ask(requests.release(group, batch, worker or self.worker)))["released"])

    async def hold(self, name: str, lease_s: float, *, patience_s: float | None = 0.0) -> bool:
        return not (await self._ask(requests.hold(name, lease_s), patience_s))["spent"]

    async def unhold(self, name: str) -> bool:
        return bool((await self._ask(requests.unhold(name)))["released"])

    async def seek(self, group: str, tick: int | str | None = None, *, at: float | None = None) -> bool:
        return not (await self._ask(requests.seek(group, tick, at)))["fresh"]

    async def since(self, cursor: str | None = None, *, max: int | None = None, patience_s: float | None = 0.0) -> ChangesSince:
        return decode_since(await self._driver.ask(requests.since(cursor, max), requests.patience(patience_s)))

    async def dead(self, group: str, path: str | Path | None = None) -> AsyncGenerator[DeadLetter, None]:
        after_b64: str | None = None
        while True:
            page = decode_dead(await self._driver.ask(requests.dead(group, path, after_b64), requests.patience(0.0)))
            for letter in page.dead:
                yield letter
            after_b64 = page.after_b64
            if after_b64 is None:
                return

    async def retry(self, group: str, paths: Iterable[str | Path] | None = None) -> int:
        return int((await self._ask(requests.of_dead("retry", group, paths)))["paths"])

    async def discard(self, group: str, paths: Iterable[str | Path] | None = None) -> int:
        return int((await self._ask(requests.of_dead("discard", group, paths)))["paths"])

    async def groups(self) -> list[dict[str, Any]]:
        return list((await self._ask(Request("groups")))["groups"])

    async def create(self, group: str, *, from_: str = "now") -> bool:
        return bool((await self._ask(requests.create(group, from_)))["created"])

    async def reset(self, group: str) -> None:
        await self._ask(requests.of_group("reset", group))

    async def drop(self, group: str) -> None:
        await self._ask(requests.of_group("drop", group))

    async def sync(self, timeout_s: float = 30.0, *, patience_s: float | None = 0.0) -> dict[str, Any]:
        return await self._ask(requests.sync(timeout_s), patience_s)

    async def wait(self, group: str, timeout_s: float = 60.0, *, patience_s: float | None = 0.0) -> dict[str, Any]:
        return await self._ask(requests.wait(group, timeout_s), patience_s)

    async def status(self) -> dict[str, Any]:
        status: dict[str, Any] = (await self._ask(Request("status")))["status"]
        return status

    async def ready(self, wait_s: float = 0.0, *, patience_s: float | None = 0.0) -> dict[str, Any] | None:
        ready: dict[str, Any] | None = (await self._ask(requests.ready(wait_s), patience_s))["ready"]
        return ready

    async def hello(self) -> dict[str, Any]:
        return await self._ask(Request("hello"))
