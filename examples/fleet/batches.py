"""A mirror of every source in a stream of batches, with nothing but nats-py: python3 batches.py URL STREAM PREFIX"""

import asyncio
import base64
import json
import os
import sys

import nats

mirror = {}  # (source, exact path) -> (generation, tick), event: deleted ones, too
complete = {}  # source -> its highest generation that is complete
logs = {}  # (source, partition) -> generation, sequence of its last message (None: something was missed), whether it has ended


def apply(message, sequence):
    """The rule of every consumer of batches. What is here in memory belongs into one transaction, before the ack."""
    source, generation = message["source"], message["generation"]
    if message["type"] == "head":
        for log in ((source, n) for n, last in enumerate(message["lasts"]) if (logs.get((source, n), (0, 0))[1] or 0) < last):
            logs[log] = generation, None, False
    if message["type"] != "batch" or generation < complete.get(source, 0):
        return
    log = source, message["partition"]
    begun, read, has_ended = logs.get(log, (0, 0, False))
    if generation > begun:
        begun, read, has_ended = generation, 0, False
    if generation == begun:
        read = None if read is None or message["previous"] > read else max(read, sequence)
        logs[log] = begun, read, has_ended or (message["complete"] > 0 and read is not None)
    for event in message["events"]:
        path = base64.b64decode(event["path_b64"]) if "path_b64" in event else os.fsencode(event["path"])
        stamp = generation, event["tick"]
        if (source, path) not in mirror or mirror[source, path][0] < stamp:
            mirror[source, path] = stamp, event
            print(event["event_type"], source, event["path"], flush=True)
    partitions = range(message["complete"])  # 0 unless this message ends the generation in its partition
    if partitions and all(logs.get((source, n), (0, 0, False))[::2] == (generation, True) for n in partitions):
        complete[source] = generation
        for key in [key for key, (stamp, _) in mirror.items() if key[0] == source and stamp[0] < generation]:
            del mirror[key]


async def follow(url, stream, prefix):
    """Reads all that the stream has, then what comes, until the connection or the stream is lost."""
    client = await nats.connect(url.split(","), allow_reconnect=False)
    try:
        messages = await client.jetstream().pull_subscribe(f"{prefix}.>", stream=stream)
        while True:
            try:
                for message in await messages.fetch(500, timeout=1):
                    apply(json.loads(message.data), message.metadata.sequence.stream)
                    await message.ack()
            except nats.errors.TimeoutError:
                await messages.consumer_info()  # raises where it is gone, with the stream or without
            for source, generation in {(source, begun) for (source, _), (begun, read, _) in logs.items() if read is None}:
                await client.publish(f"{prefix}-sync.{source}", json.dumps({"above": generation}).encode())
    finally:
        await client.close()


while __name__ == "__main__":
    try:
        asyncio.run(follow(*sys.argv[1:]))
    except (nats.errors.Error, OSError) as error:
        print("starting over:", error, file=sys.stderr, flush=True)
