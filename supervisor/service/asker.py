"""Asks a service one question after another, also one that is about to start, or to start again.

It uses the same conversation as `ExtractClient` (`aggregator.client.conversation`), with three differences: a missing
answer is a valid result, nothing is logged, and a service that is not there is tried again at a steady pace, because
the process that has started it is waiting for it.
"""

from __future__ import annotations

import itertools
from types import TracebackType
from typing import Any, Final, Self

from shardwatch.aggregator.client import replies
from shardwatch.aggregator.client.absence import Absence
from shardwatch.aggregator.client.blocking_driver import BlockingDriver
from shardwatch.aggregator.client.conversation import Conversation
from shardwatch.aggregator.client.replies import RequestError
from shardwatch.aggregator.client.requests import Request
from shardwatch.shard.contract.errors import NotRunningError, ServiceTimeoutError
from shardwatch.shard.contract.state.layout import Layout

#: Seconds between two attempts to reach a service.
LOOK_S: Final = 0.01


class Asker:
    """Asks the extract socket, one request at a time, through restarts of the aggregator. Not thread-safe; close it."""

    def __init__(self, layout: Layout) -> None:
        endpoint = Layout.endpoint(layout.extract_socket)
        absence = Absence(endpoint, tell=_nobody)
        self._driver = BlockingDriver(Conversation(endpoint, 0.0, absence, pauses=lambda: itertools.repeat(LOOK_S)))

    def ask(self, op: str, timeout_s: float, **fields: object) -> dict[str, Any] | None:
        """The reply, also one that says why the service refuses; None if there is none within `timeout_s`. Blocks so long."""
        try:
            return replies.decode(self._driver.ask(Request(op, fields, timeout_s), timeout_s))
        except RequestError as error:
            return error.fields
        except (NotRunningError, ServiceTimeoutError):
            return None

    def close(self) -> None:
        self._driver.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def _nobody(text: str) -> None:
    """Hears it."""
