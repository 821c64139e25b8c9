"""One source that publishes events in batches: `publish_batches.py URL NAME EVENTS STATE`.

It says when it is ready, begins when it is told to, and says when the stream has confirmed everything, and what processor time
that took. What a service would hand to its `ship` is made up; everything from there on is the product's own.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path

from shardwatch.aggregator.protocol.messages import Event
from shardwatch.bridge.jetstream.access import access
from shardwatch.bridge.jetstream.broker import Broker
from shardwatch.bridge.protocol.generations import Target
from shardwatch.bridge.protocol.layouts import StreamLayout, StreamWish
from shardwatch.bridge.protocol.names import PREFIX, STREAM, Subjects
from shardwatch.bridge.ship.notebook import Notebook
from shardwatch.bridge.ship.shipper import BATCH_MAX
from shardwatch.bridge.ship.source import ShippedSource
from shardwatch.shard.contract.state.layout import Layout

#: As many as `ship` has.
PARTITIONS = 16


async def main(url: str, name: str, count: int, state: Path) -> None:
    layout = Layout(state / name)
    layout.locks.mkdir(parents=True)
    names = Subjects(PREFIX, name, PARTITIONS)
    target = Target(STREAM, PREFIX, name, "ship")
    events = [
        Event("modified", f"/srv/build/{name}/module{n % 997}/part/source-{n}.json", False, 60, 10**18 + n, n + 1, 1.0)
        for n in range(count)
    ]
    broker = await Broker.connected(access(url, os.environ))
    wish = StreamWish(StreamLayout.BATCHES)
    found = await broker.stream(STREAM) or await broker.create(STREAM, names.stream_subjects, wish)
    with Notebook(layout, target) as notebook:
        shipped = ShippedSource(broker, notebook, names, target, os.urandom(8).hex(), found)
        await shipped.look()
        await shipped.begin(until=count)
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        before_s = time.process_time()
        for first in range(0, count, BATCH_MAX):  # each is in the stream, and noted, before the next one
            await shipped.ship(events[first : first + BATCH_MAX])
        print(time.monotonic(), time.process_time() - before_s, flush=True)
    await broker.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), Path(sys.argv[4])))
