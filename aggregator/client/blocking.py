"""What extract workers and commands talk to a service with: `ExtractClient`. For asyncio there is `asynchronous`.

Both survive a restart of the service: a request whose answer was lost is sent again over a new socket, with pauses that grow
and jitter, until its time is up. `batches` has no such time: it goes on for ever, and the log (logger
`shardwatch.aggregator.client`) says that it waits. All requests may be repeated: an ack of an acked batch says so, and a batch
whose reply was lost comes again when its lease ends.
"""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from . import replies, requests
from .base import ClientBase
from .batch import BatchData, Handed, decode_pull, handed
from .blocking_driver import BlockingDriver
from .changes import ChangesSince, decode_since
from .conversation import REPLY_S
from .dead import DeadLetter, decode_dead
from .requests import Request


class Batch(BatchData):
    """Some events, on lease. Acknowledge it when they are done. Without an ack it is handed out again."""

    __slots__ = ("_driver",)

    def __init__(self, driver: BlockingDriver, handed: Handed) -> None:
        super().__init__(handed)
        self._driver = driver

    def ack(self, *, wait: bool = True) -> bool:
        """Acknowledges the batch. Returns True once this is durable. Idempotent.

        If it came too late, because the lease was over, it raises RequestError (`lease_expired`). In a loop over `batches`
        with `follow` it logs this instead, and returns False: the batch is handed out again. In such a loop it also waits for
        a service that is away.

        Args:
            wait: False: returns True at once. In a loop over `batches` the acknowledgement goes with the request for the next
                batch, or by itself when the loop or the process ends, which costs the service and the worker less. If either of
                them is killed before, the batch comes again; if it comes too late, the log says so. A batch of `pull`, and a
                second one that is acknowledged before the next one is asked for, is waited for all the same.
        """
        return self._driver.run(self._lease.ack(wait=wait))

    def nack(self, reason: str = "", *, retry_s: float | None = None, output: str = "") -> None:
        """Reports that the batch failed. It is handed out again after a pause that grows with the attempts, or after `retry_s`.

        `output` is what the work had written. If the path is set aside for this failure, the last 4 KiB of it are kept beside
        the reason. If it comes too late, it behaves like `ack`.
        """
        self._driver.run(self._lease.nack(reason, retry_s, output))

    def extend(self, lease_s: float | None = None) -> None:
        """Extends the lease, so that it ends `lease_s` (by default the service's) from now. Raises RequestError
        (`lease_expired`) if it is over.
        """
        self._driver.run(self._lease.extend(lease_s))

    def release(self) -> None:
        """Gives the batch back. It is handed out again at once, and this does not count as a failure."""
        self._driver.run(self._lease.release())


class ExtractClient(ClientBase):
    """The blocking client. Threads may share it, but their requests then wait for each other, so give each worker thread its
    own.

    After `fork` the child has its own connection and its own worker name. Batches and loops of the parent remain with the parent.
    Close the client, or use it as a context manager.

    Every method checks its arguments, and raises UsageError if one is of the wrong type or out of range.
    """

    def __init__(self, state_dir: Path | str, *, worker: str = "", timeout_s: float = REPLY_S) -> None:
        super().__init__(state_dir, worker=worker, timeout_s=timeout_s)
        self._driver = BlockingDriver(self._conversation, self._endings)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Closes the client. Idempotent, and may be called from any thread: a request in which another thread waits ends with
        NotRunningError. If there is none, its loops over `batches` end first, as `break` ends them; a service that is away is
        looked for for 5 s if an acknowledgement is owed to it.
        """
        for loop in list(self._loops):
            self._driver.run_if_idle(loop.leave())
        self._driver.close()

    def request(self, op: str, *, wait_s: float = 0.0, patience_s: float | None = 0.0, **fields: Any) -> dict[str, Any]:
        """Makes any request of docs/protocol.md. Returns the reply as a map.

        Args:
            wait_s: seconds that the service was asked to wait; the answer may take `timeout_s` longer.
            patience_s: seconds for which a service that is away is tried again; None: without end.

        Raises NotRunningError, ServiceTimeoutError, RequestError, UsageError; ServiceError if no socket can be made.
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
        """Returns the next batch, on lease, or None if nothing came within `wait_s`.

        Args:
            max: the most events; the service's batch_size_max is the upper bound and the default.
            from_: `now` (the default), `start` or `fresh`, for a group that does not exist yet.
            peek: only show the batch: there is no lease, and the position does not change.
            patience_s: seconds for which a service that is away is tried again; None: without end.
        """
        request = requests.pull(
            group, self.worker, max=max, wait_s=wait_s, from_=from_, peek=peek, lease_s=lease_s, once=requests.once()
        )
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
        ahead: int = 1,
    ) -> Generator[Batch, None, None]:
        """Yields batches, one after the other; ack or nack each of them. If the last one was neither, it is given back when the
        loop ends (`break`, `close()`). Others stay on lease until they are acknowledged.

        With `follow` the loop continues without end, whatever happens to the service. While it is away or refuses for now, it
        is tried again (at most 40 times a second at first, every 3 s later), and the log says once that the client waits. If
        the group was lost in the meantime, with the state directory or by `drop`, a batch that is `fresh` comes, and then
        every file. The notice comes until it is acknowledged, also to the next worker if this one is killed.

        Args:
            from_: where the group begins if the first pull has to make it. A worker that keeps what it is told, and may itself
                have been away while the group was lost, gives `fresh`.
            wait_s: without `follow`, seconds without a batch after which the loop ends (default 0: what is pending now).
            follow: continue without end, also across restarts of the service.
            ahead: 1: while more is pending, the next batch is asked for before the present one is yielded, so that it is on its
                way meanwhile. Its lease begins when it is yielded; until then a worker that is free may get it instead. 0: not.
            patience_s: with `follow`, seconds for which a service that is away is tried again; None: without end.

        Raises:
            RequestError: the service refuses for good, for example because of a name that is not valid.
            UsageError: a wrong argument.
            NotRunningError, ServiceTimeoutError: `patience_s` is over, or the client is closed.
        """
        loop = self._following(
            group, max=max, wait_s=wait_s, follow=follow, from_=from_, lease_s=lease_s, patience_s=patience_s, ahead=ahead
        )
        try:
            while (found := self._driver.run(loop.next())) is not None:
                yield Batch(self._driver, found)
        finally:
            self._loops.discard(loop)
            self._driver.run(loop.leave())

    def ack(
        self, group: str, batch: str, *, ticks: Collection[int] | None = None, patience_s: float | None = 5.0
    ) -> dict[str, Any]:
        """Acknowledges a batch, or its events with these ticks only: the others then stay on lease, and come again if the batch
        fails.
        """
        return self._ask(requests.ack(group, batch, ticks), patience_s)

    def nack(
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
        """Reports that a batch failed, or its events with these ticks only: the others then stay on lease."""
        return self._ask(requests.nack(group, batch, reason, retry_s, output, ticks), patience_s)

    def extend(self, group: str, batch: str, lease_s: float | None = None, *, patience_s: float | None = 0.0) -> dict[str, Any]:
        return self._ask(requests.extend(group, batch, lease_s), patience_s)

    def release(self, group: str, *, batch: str | None = None, worker: str | None = None) -> int:
        """Gives back a batch, or all batches of a worker of that name (for example one that died). Returns their number."""
        return int(self._ask(requests.release(group, batch, worker or self.worker))["released"])

    def hold(self, name: str, lease_s: float, *, patience_s: float | None = 0.0) -> bool:
        """Holds back the batches of all groups until `lease_s` from now. Renew the hold by calling this again in good time.

        Returns False if the hold does not hold anything back any more, because it has lasted for `hold_ms_max`.
        """
        return not self._ask(requests.hold(name, lease_s), patience_s)["spent"]

    def unhold(self, name: str) -> bool:
        """Ends a hold. Batches flow once the changes that were made during it have been looked at. Returns False if it was over
        already.
        """
        return bool(self._ask(requests.unhold(name))["released"])

    def seek(self, group: str, tick: int | str | None = None, *, at: float | None = None) -> bool:
        """Moves the group to a tick, to `start` or to `now`. Returns False if that is too long ago, so that the group gets
        `fresh` instead.

        Args:
            at: in place of a tick a time, in seconds since 1970, to which the group is moved back. Changes of a minute before
                come too, or of more if the time is long ago (docs/protocol.md). RequestError (`bad_field`) if the time is before
                the first one that is noted, or if the group has not come to it yet.
        """
        return not self._ask(requests.seek(group, tick, at))["fresh"]

    def since(self, cursor: str | None = None, *, max: int | None = None, patience_s: float | None = 0.0) -> ChangesSince:
        """Returns what has changed since a cursor, which an earlier answer named: at most `max` events, and never more than
        1,000. Without a cursor it returns none, but a cursor to begin with.

        Raises RequestError (`bad_field`) for what is no cursor. One that is too old, or of another index, is no error: see
        `ChangesSince.fresh`.
        """
        return decode_since(self._driver.ask(requests.since(cursor, max), requests.patience(patience_s)))

    def dead(self, group: str, path: str | Path | None = None) -> Generator[DeadLetter, None, None]:
        """Yields what the group has set aside at `path` and below it, or all of it, in the order of the paths. It is asked for
        in parts, so what is set aside meanwhile may be left out.
        """
        after_b64: str | None = None
        while True:
            page = decode_dead(self._driver.ask(requests.dead(group, path, after_b64), requests.patience(0.0)))
            yield from page.dead
            after_b64 = page.after_b64
            if after_b64 is None:
                return

    def retry(self, group: str, paths: Iterable[str | Path] | None = None) -> int:
        """Hands out again what was set aside at `paths` (at most 1,000) and below them, or all of it, as if it had never failed.
        Returns the number of paths.
        """
        return int(self._ask(requests.of_dead("retry", group, paths))["paths"])

    def discard(self, group: str, paths: Iterable[str | Path] | None = None) -> int:
        """Acknowledges what was set aside at `paths` (at most 1,000) and below them, or all of it. Returns the number of paths.
        They come again when they change.
        """
        return int(self._ask(requests.of_dead("discard", group, paths))["paths"])

    def groups(self) -> list[dict[str, Any]]:
        return list(self._ask(Request("groups"))["groups"])

    def create(self, group: str, *, from_: str = "now") -> bool:
        """Creates a group, as a pull would. Returns False if it exists already; it then stays where it is.

        Args:
            from_: where it begins: with later changes only (`now`), or with every file as created (`start`).
        """
        return bool(self._ask(requests.create(group, from_))["created"])

    def reset(self, group: str) -> None:
        """Starts the group again: its next batch is `fresh`, and then every existing file follows as created."""
        self._ask(requests.of_group("reset", group))

    def drop(self, group: str) -> None:
        self._ask(requests.of_group("drop", group))

    def sync(self, timeout_s: float = 30.0, *, patience_s: float | None = 0.0) -> dict[str, Any]:
        """Returns once every change made before the call is in the index. Raises RequestError (`sync_failed`)."""
        return self._ask(requests.sync(timeout_s), patience_s)

    def wait(self, group: str, timeout_s: float = 60.0, *, patience_s: float | None = 0.0) -> dict[str, Any]:
        """Returns once the group has acknowledged everything that had changed before the call. A path that changes again in the
        meantime counts as changed later.

        Raises RequestError: `not_acknowledged` (it takes longer, or paths were set aside), `sync_failed`, `unknown_group`.
        """
        return self._ask(requests.wait(group, timeout_s), patience_s)

    def status(self) -> dict[str, Any]:
        status: dict[str, Any] = self._ask(Request("status"))["status"]
        return status

    def ready(self, wait_s: float = 0.0, *, patience_s: float | None = 0.0) -> dict[str, Any] | None:
        """Returns counts once everything is watched and the baseline is committed; None if this takes longer than `wait_s`."""
        ready: dict[str, Any] | None = self._ask(requests.ready(wait_s), patience_s)["ready"]
        return ready

    def hello(self) -> dict[str, Any]:
        return self._ask(Request("hello"))
