"""A worker of a fleet: receives batches from a stream, notes them, acknowledges each. `use_fleet.py URL STORE GROUP`."""

from __future__ import annotations

import sys
from pathlib import Path

from consumer import Consumer

from shardwatch.fleet import FleetClient


def main(url: str, store: str, group: str) -> None:
    consumer = Consumer()

    def follow() -> None:
        with FleetClient(Path(store), url) as client:
            for batch in client.batches(group, follow=False):  # a group begins with every file that the stream has
                batch.ack()
            consumer.ready()
            consumer.take_all(client.batches(group))

    consumer.run(follow)


if __name__ == "__main__":
    main(*sys.argv[1:])
