"""Removes deletions from a mirror once they are old: otherwise it would grow with every path that ever was.

Before any is removed, a notice in its partition says up to where: a consumer that has not read that far has everything told
again. Each message is looked at once, in the order of the stream, when it is old. So nothing has to be remembered but how far
that went.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from itertools import takewhile
from typing import Final

from ..jetstream.broker import Broker
from ..jetstream.reader import StreamMessage
from ..protocol.bodies import PathState, decode_told, purged_message
from ..protocol.names import Subjects
from .publisher import Publisher

#: Messages that are looked at together.
_PAGE: Final = 1_000


class OldDeletions:
    """Of one source in one stream, over one connection.

    Args:
        keep_s: seconds for which a deletion stays.
        clock: the time, in seconds since 1970. It is compared with the server's.
    """

    def __init__(
        self, broker: Broker, stream: str, names: Subjects, keep_s: float, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._broker = broker
        self._stream = stream
        self._names = names
        self._keep_s = keep_s
        self._clock = clock
        self._publisher = Publisher(broker, stream)

    async def remove(self, generation: int, swept: int, note: Callable[[int], None]) -> None:
        """Removes those of a generation that are old by now.

        Args:
            swept: up to which sequence there are none any more.
            note: is told the same, now and then.

        Raises what Broker raises.
        """
        async with self._broker.reading(self._stream, self._names.everything, swept) as reader:
            while messages := await self._broker.take(reader, _PAGE, 0.0):
                before = self._clock() - self._keep_s
                old = list(takewhile(lambda message: message.at <= before, messages))  # noqa: B023 (it is called at once)
                await self._remove(generation, [message for message in old if _is_deletion(message, generation)])
                if old:
                    note(old[-1].sequence)
                if len(old) < len(messages):
                    return

    async def _remove(self, generation: int, deletions: Sequence[StreamMessage]) -> None:
        """The notices first: what is removed without one could be missed without notice."""
        last: dict[int, int] = {}
        for message in deletions:
            partition = int(message.subject.split(".")[-2])
            last[partition] = max(message.sequence, last.get(partition, 0))
        await self._publisher.publish([purged_message(self._names, generation, n, sequence) for n, sequence in last.items()])
        if deletions:
            await self._broker.remove(self._stream, [(message.subject, message.sequence) for message in deletions])


def _is_deletion(message: StreamMessage, generation: int) -> bool:
    told = decode_told(message.body)
    return isinstance(told, PathState) and told.event_type == "deleted" and told.generation == generation
