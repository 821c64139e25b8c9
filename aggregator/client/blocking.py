"""What extract workers and commands talk to a service with: `ExtractClient`. For asyncio there is `asynchronous`.

Both survive a restart of the service: a request whose answer was lost is sent again over a new socket, with pauses that grow
and jitter, until its time is up. `batches` has no such time: it goes on for ever, and the log (logger
`shardwatch.aggregator.client`) says that it waits. All requests may be repeated: an ack of an acked batch says so, and a batch
whose reply was lost comes again when its lease ends.
"""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from . import replies, requests
from .base import ClientBase
from .batch import BatchData, Handed, decode_pull, handed
from .blocking_driver import BlockingDriver
from .conversation import REPLY_S
from .requests import Request


class Batch(BatchData):
    """Some events, on lease. Ack it when they are done; without an ack it is handed out again."""

    __slots__ = ("_driver",)

    def __init__(self, driver: BlockingDriver, handed: Handed) -> None:
        super().__init__(handed)
        self._driver = driver

    def ack(self) -> bool:
        """Done, durably, when it returns True. Idempotent.

        Where it came too late, because the lease was over, it raises RequestError (`lease_expired`). In a loop of `batches`
        that follows it logs that, and returns False: the batch is handed out again. There it also waits for a service that is
        away.
        """
        return self._driver.run(self._lease.ack())

    def nack(self, reason: str = "", *, retry_s: float | None = None) -> None:
        """Failed: handed out again after a pause that grows with the attempts, or after `retry_s`.

        Where it comes too late it does as `ack`.
        """
        self._driver.run(self._lease.nack(reason, retry_s))

    def extend(self, lease_s: float | None = None) -> None:
        """The lease ends `lease_s` (by default the service's) from now. Raises RequestError (`lease_expired`) if it is over."""
        self._driver.run(self._lease.extend(lease_s))

    def release(self) -> None:
        """Gives it back unharmed: handed out again at once."""
        self._driver.run(self._lease.release())


class ExtractClient(ClientBase):
    """Blocking client. Threads may share it: requests then wait for each other, so give each worker thread its own.

    After `fork` the child has a connection and a worker's name of its own; batches of the parent's stay the parent's. Close
    it, or use it as a context manager.

    Every method checks what it is given, and raises UsageError for what is of the wrong type or out of its range.
    """

    def __init__(self, state_dir: Path | str, *, worker: str = "", timeout_s: float = REPLY_S) -> None:
        super().__init__(state_dir, worker=worker, timeout_s=timeout_s)
        self._driver = BlockingDriver(self._conversation)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Idempotent, and for any thread: a request that another one waits in ends with NotRunningError."""
        self._driver.close()

    def request(self, op: str, *, wait_s: float = 0.0, patience_s: float | None = 0.0, **fields: Any) -> dict[str, Any]:
        """Any op of docs/protocol.md. The reply as a map.

        Args:
            wait_s: seconds that the service was asked to wait; the answer may take `timeout_s` longer.
            patience_s: seconds for which a service that is not there is looked for; None: for ever.

        Raises NotRunningError, ServiceTimeoutError, RequestError, UsageError; ServiceError where no socket can be made.
        """
        return self._ask(requests.request(op, fields, wait_s), patience_s)

    def _ask(self, request: Request, patience_s: float | None = 0.0) -> dict[str, Any]:
        return replies.decode(self._driver.ask(request, requests.patience(patience_s)))

    # -- ops

    def pull(
        self,
        group: str,
        *,
        max: int | None = None,
        wait_s: float = 0.0,
        from_: str | None = None,
        peek: bool = False,
        lease_s: float | None = None,
        patience_s: float | None = 0.0,
    ) -> Batch | None:
        """The next batch, on lease, or None if nothing came within `wait_s`.

        Args:
            max: events at most; the service's batch_size_max is the upper bound and the default.
            from_: `now` (the default) or `start`, for a group that does not exist yet.
            peek: only look: no lease, nothing moves.
            patience_s: seconds for which a service that is not there is looked for; None: for ever.
        """
        request = requests.pull(group, self.worker, max=max, wait_s=wait_s, from_=from_, peek=peek, lease_s=lease_s)
        found = handed(decode_pull(self._driver.ask(request, requests.patience(patience_s))))
        return None if found is None else Batch(self._driver, found)

    def batches(
        self,
        group: str,
        *,
        max: int | None = None,
        wait_s: float | None = None,
        follow: bool = True,
        from_: str | None = None,
        lease_s: float | None = None,
        patience_s: float | None = None,
    ) -> Generator[Batch, None, None]:
        """Batches, one after the other; ack or nack each. The last one, if it was neither, is given back when the loop
        ends (`break`, `close()`); others stay on lease until somebody acks them.

        With `follow` it goes on for ever, whatever happens to the service: while it is away or refuses for now, it is asked
        again (at most 40 times a second at first, every 3 s in the end), and the log says once that it is waited for. If the
        group was lost meanwhile, with the state directory or by `drop`, a batch that is `fresh` comes, then every file.

        Args:
            wait_s: without `follow`, seconds without a batch after which the loop ends (default 0: what is pending now).
            follow: go on for ever, through restarts of the service.
            patience_s: with `follow`, seconds for which a service that went away is looked for; None: for ever.

        Raises:
            RequestError: the service refuses for good: a name that is none, for one. UsageError: a wrong argument.
            NotRunningError, ServiceTimeoutError: `patience_s` is over, or the client is closed.
        """
        loop = self._following(
            group, max=max, wait_s=wait_s, follow=follow, from_=from_, lease_s=lease_s, patience_s=patience_s
        )
        while found := self._driver.run(loop.next()):
            try:
                for one in found:
                    yield Batch(self._driver, one)
            except BaseException:
                self._driver.run(loop.leave(found))
                raise

    def ack(self, group: str, batch: str, *, patience_s: float | None = 5.0) -> dict[str, Any]:
        return self._ask(requests.ack(group, batch), patience_s)

    def nack(
        self, group: str, batch: str, reason: str = "", *, retry_s: float | None = None, patience_s: float | None = 0.0
    ) -> dict[str, Any]:
        return self._ask(requests.nack(group, batch, reason, retry_s), patience_s)

    def extend(self, group: str, batch: str, lease_s: float | None = None, *, patience_s: float | None = 0.0) -> dict[str, Any]:
        return self._ask(requests.extend(group, batch, lease_s), patience_s)

    def release(self, group: str, *, batch: str | None = None, worker: str | None = None) -> int:
        """Gives back a batch, or all batches of a worker of that name (one that died). Number of batches."""
        return int(self._ask(requests.release(group, batch, worker or self.worker))["released"])

    def hold(self, name: str, lease_s: float, *, patience_s: float | None = 0.0) -> bool:
        """Holds batches back, of all groups, until `lease_s` from now; renew it by calling again, in good time.

        Returns False if the service holds nothing back for it any more: it has lasted for `hold_ms_max`.
        """
        return not self._ask(requests.hold(name, lease_s), patience_s)["spent"]

    def unhold(self, name: str) -> bool:
        """Ends a hold; batches flow once what happened under it has been looked at. False: it was over already."""
        return bool(self._ask(requests.unhold(name))["released"])

    def seek(self, group: str, tick: int | str) -> bool:
        """Goes to a tick, to `start` or to `now`. False: it is too long ago, the group gets `fresh` instead."""
        return not self._ask(requests.seek(group, tick))["fresh"]

    def retry(self, group: str) -> int:
        """Hands out again the paths that were set aside. Their number."""
        return int(self._ask(requests.of_group("retry", group))["paths"])

    def groups(self) -> list[dict[str, Any]]:
        return list(self._ask(Request("groups"))["groups"])

    def reset(self, group: str) -> None:
        """Has the group begin afresh: its next batch is `fresh`, then every file that is there follows as created."""
        self._ask(requests.of_group("reset", group))

    def drop(self, group: str) -> None:
        self._ask(requests.of_group("drop", group))

    def sync(self, timeout_s: float = 30.0, *, patience_s: float | None = 0.0) -> dict[str, Any]:
        """Returns once every change made before the call is in the index. Raises RequestError (`sync_failed`)."""
        return self._ask(requests.sync(timeout_s), patience_s)

    def status(self) -> dict[str, Any]:
        status: dict[str, Any] = self._ask(Request("status"))["status"]
        return status

    def ready(self, wait_s: float = 0.0, *, patience_s: float | None = 0.0) -> dict[str, Any] | None:
        """Counts, once everything is watched and the baseline committed; None if that is not so within `wait_s`."""
        ready: dict[str, Any] | None = self._ask(requests.ready(wait_s), patience_s)["ready"]
        return ready

    def hello(self) -> dict[str, Any]:
        return self._ask(Request("hello"))
