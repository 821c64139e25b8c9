"""Answers requests while the databases cannot be used: says so, and tries again until they can be used.

Nothing is lost in the meantime. Shards keep what is not acknowledged, and what they cannot keep becomes a rescan.
Workers are told to ask again (`storage.damage`), and batches that they could not acknowledge are handed out again.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Final

from shardwatch.shard.contract.state.settings import Settings

from ..protocol import messages as protocol
from ..protocol.messages import RefusedError
from ..server.call import Call, Outgoing
from ..storage.damage import Refusal
from .sockets import Sockets, until

log = logging.getLogger("shardwatch.aggregator")

#: Seconds between two attempts.
RETRY_S: Final = 1.0
_REQUESTS: Final = 200


def wait(sockets: Sockets, settings: Settings, refusal: Refusal, wait_s: float = RETRY_S) -> None:
    """Answers requests for `wait_s` seconds, or until the aggregator is told to stop."""
    sockets.leave_if_replaced()
    sockets.restore()
    deadline = time.monotonic() + wait_s
    while not sockets.stopping and time.monotonic() < deadline:
        sockets.wait(until(deadline), facts=False)
        sockets.forget_gone()
        for envelope, body in sockets.requests(_REQUESTS):
            sockets.answer(Outgoing(envelope, reply(body, settings, refusal)))


def reply(body: bytes, settings: Settings, refusal: Refusal) -> bytes:
    """`status` says what is wrong, everything else is refused with it. Pure."""
    call = Call([], body)
    try:
        call.read(body)
        if not isinstance(call.request, protocol.Status):
            raise refused(refusal)
        return call.reply({"status": status(settings, refusal)})
    except RefusedError as error:
        return call.error(error)


def refused(refusal: Refusal) -> RefusedError:
    return RefusedError("storage", refusal.message, refusal.remedy)


def status(settings: Settings, refusal: Refusal) -> dict[str, object]:
    """What of `status` is known without the databases."""
    return {
        "ready": False,
        "roots": [path.decode("utf-8", "replace") for path in settings.named()],
        "durability": settings.durability,
        "storage": refusal._asdict(),
        "shards": [],
        "degraded": [],
        "notes": [],
        "groups": [],
    }


class Log:
    """Says a refusal once, and when it is over."""

    def __init__(self) -> None:
        self._said: Refusal | None = None
        self._since = 0.0

    def refused(self, refusal: Refusal, clock: Callable[[], float] = time.monotonic) -> None:
        if self._said is None:
            self._since = clock()
        if refusal != self._said:
            self._said = refusal
            log.error("%s (%s)", *refusal)

    def over(self, clock: Callable[[], float] = time.monotonic) -> None:
        if self._said is not None:
            log.warning("the databases can be used again, after %.1f s", clock() - self._since)
            self._said = None
