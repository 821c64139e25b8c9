"""A worker that takes what is pending and ends: `catch_up.py STATE_DIR GROUP`. Begins at a line on standard input."""

from __future__ import annotations

import json
import sys
import time

from shardwatch.aggregator.client.blocking import ExtractClient


def main(state_dir: str, group: str) -> None:
    with ExtractClient(state_dir) as client:
        client.hello()
        print("connected", flush=True)
        sys.stdin.readline()
        begin = time.monotonic()
        events = 0
        for batch in client.batches(group, max=1000, follow=False):
            events += len(batch.events)
            batch.ack(wait=False)
        end = time.monotonic()  # the last pull has acknowledged the last batch
        print(json.dumps({"begin": begin, "end": end, "events": events}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
