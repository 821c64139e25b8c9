"""A mirror of every source in a stream, with nothing but nats-py: python3 mirror.py URL,URL,... STREAM PREFIX"""

import asyncio
import base64
import json
import os
import sys

import nats

mirror = {}  # (source, exact path) -> (generation, tick), event: deleted ones, too
complete = {}  # source -> its highest generation that is complete


def apply(message):
    """The rule of every consumer. What is in memory here belongs into one transaction, before the ack. Returns what it is of."""
    source, generation = message["source"], message["generation"]
    if message["type"] == "end":
        complete[source] = newest = max(generation, complete.get(source, 0))
        for key in [key for key, (stamp, _) in mirror.items() if key[0] == source and stamp[0] < newest]:
            del mirror[key]
    elif message["type"] == "event" and generation >= complete.get(source, 0):
        path = base64.b64decode(message["path_b64"]) if "path_b64" in message else os.fsencode(message["path"])
        stamp = generation, message["tick"]
        if (source, path) not in mirror or mirror[source, path][0] < stamp:
            mirror[source, path] = stamp, message
            print(message["event_type"], source, message["path"], flush=True)
        return source, path
    return None


async def follow(url, stream, prefix):
    """Reads all that the stream has, then what comes, until the connection or the stream is lost."""
    client = await nats.connect(url.split(","), allow_reconnect=False)
    told = set()  # what the stream has; the rest of the mirror went so long ago that its deletion is removed
    try:
        up_to_date = (await client.jetstream().stream_info(stream)).state.last_seq
        messages = await client.jetstream().pull_subscribe(f"{prefix}.>", stream=stream)
        while True:
            try:
                for message in await messages.fetch(500, timeout=0.2):
                    body = json.loads(message.data)
                    if body["type"] == "purged" and body["sequence"] > up_to_date:
                        raise nats.errors.Error("deletions were removed before they were read")
                    told.add(apply(body))
                    if message.metadata.num_pending == 0:
                        up_to_date = message.metadata.sequence.stream
                    await message.ack()
            except nats.errors.TimeoutError:
                info = await messages.consumer_info()  # raises where it is gone, with the stream or without
                for key in [] if info.num_pending or info.num_ack_pending else mirror.keys() - told:
                    del mirror[key]
    finally:
        await client.close()


while __name__ == "__main__":
    try:
        asyncio.run(follow(*sys.argv[1:]))
    except (nats.errors.Error, OSError) as error:
        print("starting over:", error, file=sys.stderr, flush=True)
