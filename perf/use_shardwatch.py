"""A worker of ours: pulls batches, notes them, acknowledges each. `use_shardwatch.py STATE_DIR GROUP [WORKERS_BATCH_MAX]`."""

from __future__ import annotations

import sys

from consumer import Consumer

from shardwatch import ExtractClient  # of an older commit too, whose modules lie elsewhere


def main(state_dir: str, group: str) -> None:
    consumer = Consumer()

    def follow() -> None:
        with ExtractClient(state_dir) as client:
            client.pull(group, from_="now")  # makes the group: nothing that changes from here on can be missed
            consumer.ready()
            consumer.take_all(client.batches(group))

    consumer.run(follow)


if __name__ == "__main__":
    main(*sys.argv[1:])
