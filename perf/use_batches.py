"""Reads a stream of batches, from its beginning, as a consumer of shardwatch does: `use_batches.py URL EVENTS`.

It says when it has connected, and when it has so many events: monotonic seconds, and how many paths they are of.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time

from shardwatch.bridge.jetstream.access import access
from shardwatch.bridge.jetstream.broker import Broker
from shardwatch.bridge.protocol.bodies import PathBatch, decode_told
from shardwatch.bridge.protocol.names import PREFIX, STREAM


async def main(url: str, wanted: int) -> None:
    broker = await Broker.connected(access(url, os.environ), "reader")
    events = 0
    paths: set[tuple[str, str]] = set()
    async with broker.reading(STREAM, f"{PREFIX}.*.*.log", 0) as reader:
        print("reading", flush=True)
        while events < wanted:
            for message in await broker.take(reader, 1_000, 20.0):
                told = decode_told(message.body)
                assert isinstance(told, PathBatch)
                events += len(told.events)
                paths.update((told.source, event.path) for event in told.events)
    print(time.monotonic(), len(paths), flush=True)
    await broker.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
