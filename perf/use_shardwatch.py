"""A worker of ours: pulls batches, notes them, acknowledges each with the request for the next one. `use_shardwatch.py STATE_DIR
GROUP`.
"""

from __future__ import annotations

import inspect
import sys

from consumer import Consumer

from shardwatch import Batch, ExtractClient  # of an older commit too, whose modules lie elsewhere


def main(state_dir: str, group: str) -> None:
    consumer = Consumer()

    def follow() -> None:
        with ExtractClient(state_dir) as client:
            client.pull(group, from_="now")  # makes the group: nothing that changes from here on can be missed
            consumer.ready()
            older = "wait" not in inspect.signature(Batch.ack).parameters
            consumer.take_all(client.batches(group), **({} if older else {"wait": False}))

    consumer.run(follow)


if __name__ == "__main__":
    main(*sys.argv[1:])
