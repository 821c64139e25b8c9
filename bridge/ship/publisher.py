"""Gets messages their places in a stream, many at a time. What is decided for each of them, `protocol.publishing` says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ..jetstream.broker import Broker
from ..protocol.bodies import Message, stamp_of
from ..protocol.publishing import NONE, Flow, GetLast, Last, Put, Remembered, publishing

#: Messages that are under way at a time.
WAVE_MAX: Final = 1_000


class Publisher:
    """For one stream over one connection."""

    def __init__(self, broker: Broker, stream: str) -> None:
        self._broker = broker
        self._stream = stream
        self._remembered = Remembered()

    async def publish(self, messages: Sequence[Message]) -> list[int]:
        """Returns when the stream has each of them, or what is newer: the last sequences of their subjects, in their order.

        The subjects must differ. Raises what Broker raises; some may be in the stream then, and all may be published again.
        """
        found: list[int] = []
        for first in range(0, len(messages), WAVE_MAX):
            found += await self._wave(messages[first : first + WAVE_MAX])
        return found

    async def _wave(self, messages: Sequence[Message]) -> list[int]:
        flows = [publishing(message.stamp, self._remembered.guess(message.subject)) for message in messages]
        done: dict[int, int] = {}
        steps = {n: next(flow) for n, flow in enumerate(flows)}
        while steps:
            answers = await self._carry_out(messages, steps)
            steps = {}
            for n, answer in answers.items():
                step = _advance(flows[n], answer)
                if isinstance(step, int):
                    done[n] = step
                    self._remembered.note(messages[n].subject, step)
                else:
                    steps[n] = step
        return [done[n] for n in range(len(messages))]

    async def _carry_out(self, messages: Sequence[Message], steps: dict[int, Put | GetLast]) -> dict[int, int | Last | None]:
        puts = {n: step for n, step in steps.items() if isinstance(step, Put)}
        looks = [n for n, step in steps.items() if isinstance(step, GetLast)]
        answers: dict[int, int | Last | None] = {}
        if puts:
            pairs = [(messages[n], step.expected) for n, step in puts.items()]
            answers.update(zip(puts, await self._broker.put(self._stream, pairs), strict=True))
        if looks:
            found = await self._broker.last_of(self._stream, [messages[n].subject for n in looks])
            lasts = [_last(one) for one in found]
            answers.update(zip(looks, lasts, strict=True))
            self._remembered.looked(lasts[-1])
        return answers


def _last(found: tuple[int, bytes] | None) -> Last:
    return NONE if found is None else Last(found[0], stamp_of(found[1]))


def _advance(flow: Flow, answer: int | Last | None) -> Put | GetLast | int:
    """The next step, or the result."""
    try:
        return flow.send(answer)
    except StopIteration as end:
        return int(end.value)
