"""A worker of ours: pulls batches, notes them, acknowledges each. `use_shardwatch.py STATE_DIR GROUP [WORKERS_BATCH_MAX]`."""

from __future__ import annotations

import sys

from consumer import Consumer

from shardwatch.aggregator.client.blocking import ExtractClient


def main(state_dir: str, group: str) -> None:
    consumer = Consumer()

    def follow() -> None:
        with ExtractClient(state_dir) as client:
            client.pull(group, from_="now")  # makes the group: nothing that changes from here on can be missed
            consumer.ready()
            for batch in client.batches(group):
                consumer.take([event.path for event in batch.events], [event.observed_at for event in batch.events])
                batch.ack()

    consumer.run(follow)


if __name__ == "__main__":
    main(*sys.argv[1:])
