"""Ships for as long as the service runs. Nobody is there who would start it again with other arguments, so nothing ends it:
what is wrong is reported, and tried again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Final

from shardwatch.aggregator.client.conversation import pauses
from shardwatch.shard.contract.errors import ShardwatchError

#: Seconds until something is tried again that does not pass by itself: somebody has to mend it.
PAUSE_S: Final = 2.0
PAUSE_S_MAX: Final = 15.0


async def ship_patiently(
    ship: Callable[[], Awaitable[None]],
    failed: Callable[[ShardwatchError], None],
    tell: Callable[[str], object],
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> None:
    """Ships until it is cancelled.

    Args:
        ship: begins anew, with files of credentials as they are by now, and ships until something is wrong.
        failed: is told each time what is.
        tell: receives the same as a line, once for each reason.
    """
    told = ""
    short, long = pauses(), _long_pauses()
    while True:
        try:
            await ship()
        except ShardwatchError as error:
            failed(error)
            line = f"not shipping: {error.message} ({error.hint})" if error.hint else f"not shipping: {error.message}"
            if line != told:
                told = line
                tell(line)
            if error.retryable:
                long = _long_pauses()
                await sleep(next(short))
            else:
                short = pauses()
                await sleep(next(long))


def _long_pauses() -> Iterator[float]:
    pause = PAUSE_S
    while True:
        yield pause
        pause = min(pause * 2, PAUSE_S_MAX)
