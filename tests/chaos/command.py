"""The command of an `exec` that is killed, as its runs are: takes in the changes on standard input, in a mirror like others.

`shardwatch exec --group GROUP --on …,fresh --input json -- python -m chaos.command DATABASE`. One run is one process.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import time
from base64 import b64decode
from dataclasses import dataclass
from pathlib import Path

import msgspec

from chaos.consumer import Mirror
from shardwatch.aggregator.protocol.messages import Event, Fresh


@dataclass(frozen=True)
class Handed:
    """What a run is told."""

    events: list[Event]
    attempt: int
    fresh: Fresh | None


def handed(text: bytes, attempt: int) -> Handed:
    """From the lines that a run reads. Paths are exact, as a client has them."""
    decoder = msgspec.json.Decoder(Event | Fresh)
    told = [decoder.decode(line) for line in text.splitlines()]
    events = [one for one in told if isinstance(one, Event)]
    for event in events:
        if isinstance(event.path_b64, str):
            event.path = os.fsdecode(b64decode(event.path_b64))
        if isinstance(event.moved_from_b64, str):
            event.moved_from = os.fsdecode(b64decode(event.moved_from_b64))
    return Handed(events, attempt, next((one for one in told if isinstance(one, Fresh)), None))


def main() -> None:
    parser = argparse.ArgumentParser(prog="chaos.command")
    parser.add_argument("database", type=Path)
    parser.add_argument("--fail", type=float, default=0.0, help="how often a run fails, before or after its work")
    parser.add_argument("--work-s", type=float, default=0.0)
    options = parser.parse_args()
    mirror = Mirror(options.database, os.environ["SHARDWATCH_RUN"])
    freshness = mirror.freshness()
    batch = handed(sys.stdin.buffer.read(), int(os.environ["SHARDWATCH_ATTEMPT"]))
    chance = random.Random(os.environ["SHARDWATCH_RUN"])
    time.sleep(chance.uniform(0, options.work_s))
    fails = chance.random()
    # Nothing is said of events that come twice or late: what tells is the lease, which is that of `exec`.
    if fails < options.fail / 2 or not mirror.apply(batch, freshness, 0.0) or fails < options.fail:
        sys.exit(1)


if __name__ == "__main__":
    main()
