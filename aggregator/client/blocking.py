"""What extract workers and commands talk to a service with: `ExtractClient`. For asyncio there is `asynchronous`.

Both survive a restart of the service: a request whose answer was lost is sent again over a new socket, with pauses that grow
and jitter, until its time is up. `batches` has no such time: it goes on for ever, and the log (logger
`shardwatch.aggregator.client`) says that it waits. All requests may be repeated: an ack of an acked batch says so, and a batch
whose reply was lost comes again when its lease ends.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import threading
import time
from collections.abc import Generator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import zmq

from shardwatch.shard.contract.errors import NotRunningError, ShardwatchError
from shardwatch.shard.contract.input import arguments

from ..protocol.messages import NAME_CHARS_MAX
from .base import (
    PASSING,
    REPLY_S,
    SECONDS_MAX,
    WAIT_S_MAX,
    BatchData,
    ClientBase,
    Following,
    PullReply,
    RequestError,
    decode_any,
    decode_pull,
    group_name,
    milliseconds,
    patience,
    pauses,
    retry_ms,
)


class Batch(BatchData):
    """Some events, on lease. Ack it when they are done; without an ack it is handed out again."""

    __slots__ = ()

    def ack(self) -> bool:
        """Done, durably, when it returns True. Idempotent.

        Where it came too late, because the lease was over, it raises RequestError (`lease_expired`). In a loop of `batches`
        that follows it logs that, and returns False: the batch is handed out again. There it also waits for a service that is
        away.
        """
        try:
            if not self.is_notice:
                self._client.ack(self.group, self.id, patience_s=self._patience_s(5.0))
        except RequestError as error:
            if not self._came_too_late(error):
                raise
            return False
        self._done = True
        return True

    def nack(self, reason: str = "", *, retry_s: float | None = None) -> None:
        """Failed: handed out again after a pause that grows with the attempts, or after `retry_s`.

        Where it comes too late it does as `ack`.
        """
        try:
            if not self.is_notice:
                self._client.nack(self.group, self.id, reason, retry_s=retry_s, patience_s=self._patience_s(0.0))
        except RequestError as error:
            if not self._came_too_late(error):
                raise
        self._done = True

    def extend(self, lease_s: float | None = None) -> None:
        """The lease ends `lease_s` (by default the service's) from now. Raises RequestError (`lease_expired`) if it is over."""
        if not self.is_notice:
            self._client.extend(self.group, self.id, lease_s, patience_s=self._patience_s(0.0))

    def release(self) -> None:
        """Gives it back unharmed: handed out again at once."""
        if not self.is_notice:
            self._client.release(self.group, batch=self.id)
        self._done = True


class ExtractClient(ClientBase):
    """Blocking client. Threads may share it: requests then wait for each other, so give each worker thread its own.

    After `fork` the child has a connection and a worker's name of its own; batches of the parent's stay the parent's. Close
    it, or use it as a context manager.

    Every method checks what it is given, and raises UsageError for what is of the wrong type or out of its range.
    """

    def __init__(self, state_dir: Path | str, *, worker: str = "", timeout_s: float = REPLY_S) -> None:
        super().__init__(state_dir, worker=worker, timeout_s=timeout_s)

    def _begin(self) -> None:
        super()._begin()
        self._lock = threading.RLock()
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._socket: zmq.Socket[bytes] | None = None
        self._monitor: zmq.Socket[bytes] | None = None
        #: The first is readable once the client is closed: that ends the wait of another thread.
        self._closing, self._close = socket.socketpair()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Idempotent, and for any thread: a request that another one waits in ends with NotRunningError."""
        if self._closed:
            return
        self._closed = True
        if self._pid != os.getpid():  # what there is, is the parent's
            return
        self._close.send(b"c")
        with self._lock:
            self._disconnect()
            self._context.term()
            self._drop_pair()

    def _drop_pair(self) -> None:
        self._closing.close()
        self._close.close()

    def request(self, op: str, *, wait_s: float = 0.0, patience_s: float | None = 0.0, **fields: Any) -> dict[str, Any]:
        """Any op of docs/protocol.md. The reply as a map.

        Args:
            wait_s: seconds that the service was asked to wait; the answer may take `timeout_s` longer.
            patience_s: seconds for which a service that is not there is looked for; None: for ever.

        Raises NotRunningError, ServiceTimeoutError, RequestError, UsageError; ServiceError where no socket can be made.
        """
        reply: dict[str, Any] = decode_any(self._ask(op, fields, wait_s, patience_s))
        return reply

    def _ask(self, op: str, fields: dict[str, Any], wait_s: float, patience_s: float | None) -> bytes:
        limit_s = arguments.seconds("wait_s", wait_s, 0.0, 2 * SECONDS_MAX) + self.timeout_s
        patience_s = patience(patience_s)
        self._check_open()
        if self._pid != os.getpid():
            self._drop_pair()  # ours are copies; of what is ZeroMQ's nothing can be used, nor closed, in a child
            self._begin()
        with self._lock:
            number, body = self._request(op, fields)
            deadline, patient_until = time.monotonic() + limit_s, time.monotonic() + patience_s
            waits = pauses()
            while True:
                self._check_open()
                reason: object = f"it does not answer `{op}`"
                try:
                    self._connect()
                except NotRunningError as error:
                    if time.monotonic() >= patient_until:
                        raise
                    reason = error.message
                else:
                    answer = self._exchange(number, body, deadline)
                    if answer is not None:
                        self._absence.over()
                        return self._result(answer)
                    self._disconnect()
                now = time.monotonic()
                if now >= max(deadline, patient_until):
                    raise self._timed_out(op, limit_s)
                self._absence.noted(reason)
                self._sleep(next(waits))
                deadline = max(deadline, min(patient_until, time.monotonic() + limit_s))

    def _sleep(self, seconds: float) -> None:
        """Raises NotRunningError when the client is closed meanwhile."""
        select.select([self._closing], [], [], seconds)
        self._check_open()

    def _exchange(self, number: int, body: bytes, deadline: float) -> bytes | None:
        """The answer, or None where it can't come any more on this connection."""
        assert self._socket is not None and self._monitor is not None
        self._socket.send(body)
        poller = zmq.Poller()
        poller.register(self._socket, zmq.POLLIN)
        poller.register(self._monitor, zmq.POLLIN)
        poller.register(self._closing, zmq.POLLIN)
        while (left := deadline - time.monotonic()) > 0:
            ready = dict(poller.poll(round(left * 1000) + 1))
            self._check_open()
            if self._socket in ready:
                answer = self._socket.recv()
                if self._is_ours(answer, number):
                    return answer
            elif self._monitor in ready:
                return None
        return None

    def _connect(self) -> None:
        if self._monitor is not None and self._monitor.poll(0):
            # It was cut since the last request. ZeroMQ connects again by itself, but a request sent now and once more when
            # the event is read would be asked twice.
            self._disconnect()
        if self._socket is not None:
            return
        self._probe()
        try:
            self._socket = self._context.socket(zmq.DEALER)
            self._socket.setsockopt(zmq.LINGER, 0)
            self._monitor = self._socket.get_monitor_socket(zmq.EVENT_DISCONNECTED)
            self._socket.connect(self.endpoint)
        except zmq.ZMQError as error:
            self._disconnect()
            raise self._no_socket(error) from error

    def _disconnect(self) -> None:
        if self._socket is not None:
            self._socket.disable_monitor()
            self._socket.close(0)
        if self._monitor is not None:
            self._monitor.close(0)
        self._socket = self._monitor = None

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
        reply, body = self._pull(self._pull_fields(group, max, wait_s, from_, peek, lease_s), wait_s, patience_s)
        return None if reply.batch is None else Batch(self, reply, body)

    def _pull(self, fields: dict[str, Any], wait_s: float, patience_s: float | None) -> tuple[PullReply, bytes]:
        body = self._ask("pull", fields, wait_s, patience_s)
        return decode_pull(body), body

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
        wait_s = arguments.seconds("wait_s", 0.0 if wait_s is None else wait_s, 0.0, SECONDS_MAX)
        wait_s = WAIT_S_MAX if follow else min(wait_s, 3600.0)
        patient_s = patience(patience_s)
        following = Following(group_name(group), from_)
        while True:
            fields = self._pull_fields(group, max, wait_s, following.from_, False, lease_s)
            try:
                reply, body = self._pull(fields, wait_s, patient_s if follow else 0.0)
            except RequestError as error:
                if not (follow and error.code in PASSING):
                    raise
                self._absence.noted(error)
                self._sleep(following.pause_s())
                continue
            notice = following.answered(reply) if follow else None
            batch = None if reply.batch is None else Batch(self, reply, body, follows=follow)
            try:
                if notice is not None:
                    yield Batch(self, notice, b"")
                if batch is not None:
                    yield batch
            except BaseException:
                if batch is not None and not batch._done:
                    with contextlib.suppress(ShardwatchError):  # else its lease ends by itself
                        batch.release()
                raise
            if batch is None and not follow:
                return

    def ack(self, group: str, batch: str, *, patience_s: float | None = 5.0) -> dict[str, Any]:
        return self.request("ack", patience_s=patience_s, group=group_name(group), batch=batch)

    def nack(
        self, group: str, batch: str, reason: str = "", *, retry_s: float | None = None, patience_s: float | None = 0.0
    ) -> dict[str, Any]:
        more: dict[str, Any] = {} if retry_s is None else {"retry_ms": retry_ms(retry_s)}
        return self.request("nack", patience_s=patience_s, group=group_name(group), batch=batch, reason=reason, **more)

    def extend(self, group: str, batch: str, lease_s: float | None = None, *, patience_s: float | None = 0.0) -> dict[str, Any]:
        more: dict[str, Any] = {} if lease_s is None else {"lease_ms": milliseconds("lease_s", lease_s)}
        return self.request("extend", patience_s=patience_s, group=group_name(group), batch=batch, **more)

    def release(self, group: str, *, batch: str | None = None, worker: str | None = None) -> int:
        """Gives back a batch, or all batches of a worker of that name (one that died). Number of batches."""
        more: dict[str, Any] = {"batch": batch} if batch is not None else {"worker": worker or self.worker}
        return int(self.request("release", group=group_name(group), **more)["released"])

    def hold(self, name: str, lease_s: float, *, patience_s: float | None = 0.0) -> bool:
        """Holds batches back, of all groups, until `lease_s` from now; renew it by calling again, in good time.

        Returns False if the service holds nothing back for it any more: it has lasted for `hold_ms_max`.
        """
        name = arguments.text("name", name, NAME_CHARS_MAX)
        reply = self.request("hold", patience_s=patience_s, name=name, lease_ms=milliseconds("lease_s", lease_s))
        return not reply["spent"]

    def unhold(self, name: str) -> bool:
        """Ends a hold; batches flow once what happened under it has been looked at. False: it was over already."""
        return bool(self.request("unhold", name=arguments.text("name", name, NAME_CHARS_MAX))["released"])

    def seek(self, group: str, tick: int | str) -> bool:
        """Goes to a tick, to `start` or to `now`. False: it is too long ago, the group gets `fresh` instead."""
        return not self.request("seek", group=group_name(group), tick=tick)["fresh"]

    def retry(self, group: str) -> int:
        """Hands out again the paths that were set aside. Their number."""
        return int(self.request("retry", group=group_name(group))["paths"])

    def groups(self) -> list[dict[str, Any]]:
        return list(self.request("groups")["groups"])

    def reset(self, group: str) -> None:
        """Has the group begin afresh: its next batch is `fresh`, then every file that is there follows as created."""
        self.request("reset", group=group_name(group))

    def drop(self, group: str) -> None:
        self.request("drop", group=group_name(group))

    def sync(self, timeout_s: float = 30.0, *, patience_s: float | None = 0.0) -> dict[str, Any]:
        """Returns once every change made before the call is in the index. Raises RequestError (`sync_failed`)."""
        timeout_s = arguments.seconds("timeout_s", timeout_s, 0.0, SECONDS_MAX)
        return self.request("sync", wait_s=timeout_s + 3.0, patience_s=patience_s, timeout_ms=round(timeout_s * 1000))

    def status(self) -> dict[str, Any]:
        status: dict[str, Any] = self.request("status")["status"]
        return status

    def ready(self, wait_s: float = 0.0, *, patience_s: float | None = 0.0) -> dict[str, Any] | None:
        """Counts, once everything is watched and the baseline committed; None if that is not so within `wait_s`."""
        wait_s = arguments.seconds("wait_s", wait_s, 0.0, SECONDS_MAX)
        ready: dict[str, Any] | None = self.request("ready", wait_s=wait_s, patience_s=patience_s, wait_ms=round(wait_s * 1000))[
            "ready"
        ]
        return ready

    def hello(self) -> dict[str, Any]:
        return self.request("hello")
