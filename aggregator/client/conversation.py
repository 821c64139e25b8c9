"""What a client says to the service, and when, without any I/O: numbers of requests, deadlines, patience and pauses.

A *flow* is a generator that decides: it yields *steps*, each of which says what is to be done next, is sent what came of it, and
returns its result. A *driver* (`blocking_driver`, `asyncio_driver`) carries the steps out and decides nothing. So whatever the
clients promise is written once, and can be tested without a socket.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Generator, Iterator
from typing import Any, Final, TypeAlias, TypeVar

from msgspec import Struct

from shardwatch.shard.contract.errors import NotRunningError, ServiceTimeoutError

from . import replies
from .absence import Absence
from .requests import Request

#: Seconds that an answer may take beyond the wait that was asked for.
REPLY_S: Final = 10.0
#: First and longest pause between two attempts, seconds; each is jittered by half.
PAUSE_S: Final = 0.05
PAUSE_S_MAX: Final = 2.0

T = TypeVar("T")


class Send(Struct, frozen=True):
    """Send a frame, over a new connection if there is none. The result is None.

    Raises NotRunningError if nothing listens, ServiceError if no socket can be made.
    """

    frame: bytes


class Receive(Struct, frozen=True):
    """Wait for a frame. The result is None when `until` has passed (seconds of the conversation's clock), or the connection is
    cut.
    """

    until: float


class HangUp(Struct, frozen=True):
    """Close the connection. Frames that are still on their way to us will not be read. The result is None."""


class Pause(Struct, frozen=True):
    """Wait for this many seconds. The result is None."""

    seconds: float


class Ask(Struct, frozen=True):
    """Make a whole request, while no other request of this client is in progress. The result is the body of its reply.

    Raises what `Conversation.ask` raises.
    """

    request: Request
    #: Seconds for which a service that is away is tried again; infinite: without end.
    patience_s: float = 0.0


class Alone(Struct, frozen=True):
    """Carry out a flow while no other request of this client is in progress. The result is the flow's.

    Raises what the flow raises.
    """

    flow: Flow[Any]


Step: TypeAlias = Send | Receive | HangUp | Pause | Ask | Alone
#: Every step may also raise NotRunningError, since the client is closed.
Flow: TypeAlias = Generator[Step, Any, T]


def pauses() -> Iterator[float]:
    """Yields the seconds between one attempt and the next. They grow, so that many workers do not overload a service that has
    just returned.
    """
    pause = PAUSE_S
    while True:
        yield pause * random.uniform(0.5, 1.5)
        pause = min(pause * 2, PAUSE_S_MAX)


class Conversation:
    """The requests of one client to one service. Each is tried until it is answered or its time is up.

    Args:
        endpoint: of the extract socket; for messages.
        timeout_s: seconds that an answer may take, beyond the wait that a request asks for.
        absence: is told when the client waits for the service, and when the service answers.
        pauses: seconds between attempts, starting again for each request.
        clock: seconds of the clock that the driver's waits use.
    """

    def __init__(
        self,
        endpoint: str,
        timeout_s: float,
        absence: Absence,
        *,
        pauses: Callable[[], Iterator[float]] = pauses,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.endpoint = endpoint
        self.timeout_s = timeout_s
        self.absence = absence
        self.pauses = pauses
        self._clock = clock
        self._number = random.getrandbits(32)
        #: Requests that were sent to be answered later (`send`), and their replies as far as they are here.
        self._later: dict[int, bytes | None] = {}

    def allow(self, timeout_s: float) -> None:
        """Later requests have so many seconds beyond the wait that they ask for."""
        self.timeout_s = timeout_s

    def ask(self, request: Request, patience_s: float) -> Flow[bytes]:
        """Makes one request. Returns the body of a reply that is not an error. The request is sent again if its answer cannot
        come any more.

        An answer that comes in time counts, however often the connection was cut in the meantime. While there is no service,
        it is tried again for `patience_s`.

        Raises:
            RequestError: the service refused.
            NotRunningError: nothing listens.
            ServiceTimeoutError: no answer came.
            UsageError: the request cannot be sent.
        """
        self._number += 1
        number = self._number
        frame = request.frame(number)
        limit_s = request.wait_s + self.timeout_s
        deadline, patient_until = self._clock() + limit_s, self._clock() + patience_s
        waits = self.pauses()
        while True:
            reason = f"it does not answer `{request.op}`"
            try:
                yield Send(frame)
            except NotRunningError as error:
                if not error.retryable or self._clock() >= patient_until:
                    raise
                reason = error.message
            else:
                while (body := (yield Receive(deadline))) is not None:
                    if (answered := replies.number_of(body)) == number:
                        self.absence.over()
                        return replies.checked(body)
                    self._keep(answered, body)
                yield from self._hang_up()
            if self._clock() >= max(deadline, patient_until):
                raise self._timed_out(request.op, limit_s)
            self.absence.noted(reason)
            yield Pause(next(waits))
            deadline = max(deadline, min(patient_until, self._clock() + limit_s))

    def send(self, request: Request) -> Flow[int]:
        """Sends a request whose reply is taken later. Returns its number for `take`. Raises what a `Send` raises."""
        self._number += 1
        number = self._number
        yield Send(request.frame(number))
        self._later[number] = None
        return number

    def take(self, number: int) -> Flow[bytes | None]:
        """The body of the reply to what was sent, be it an error or not; None if it can't come any more. It is asked for once."""
        deadline = self._clock() + self.timeout_s
        while number in self._later and self._later[number] is None:
            body = yield Receive(deadline)
            if body is None:
                yield from self._hang_up()
            else:
                self._keep(replies.number_of(body), body)
        return self._later.pop(number, None)

    def forget(self) -> None:
        """The connection was cut: what has not been answered by now will not be."""
        self._later = {number: body for number, body in self._later.items() if body is not None}

    def begin(self) -> None:
        """A new process, or a new event loop, asks from now on: what came for another one is not its own."""
        self._later = {}

    def _keep(self, number: int | None, body: bytes) -> None:
        if number is not None and number in self._later:
            self._later[number] = body

    def _hang_up(self) -> Flow[None]:
        self.forget()
        yield HangUp()

    def _timed_out(self, op: str, seconds: float) -> ServiceTimeoutError:
        return ServiceTimeoutError(
            f"the service at {self.endpoint} did not answer `{op}` within {seconds:g} s",
            hint="see `shardwatch status` and the aggregator's log",
            retryable=True,
        )
