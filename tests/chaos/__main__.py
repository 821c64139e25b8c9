"""`python -m chaos [--seed N] [--minutes M]`: one run of the whole service under fire; exits with 1 on any miss."""

from __future__ import annotations

import argparse
import random
import signal
import sys
import time
from pathlib import Path
from types import FrameType

import session

from chaos.fleet import servers_max
from chaos.killer import may_shorten
from chaos.run import Plan, Run

#: Bytes that must be free in memory. A disk that others use too is slow at a hundred thousand small changes a minute.
_ROOM = 2 << 30


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def main() -> int:
    parser = argparse.ArgumentParser(prog="chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=None, help="default: a random one, printed first")
    parser.add_argument("--minutes", type=float, default=4.0)
    parser.add_argument("--files", type=int, default=20_000)
    parser.add_argument("--shards", type=int, default=4)
    meaning = "nats-servers to ship to: 0, 1, or 3 that keep the stream together (default: as many as there can be here)"
    parser.add_argument("--servers", type=int, choices=(0, 1, 3), default=servers_max(), help=meaning)
    parser.add_argument("--spare", action="append", default=[], help="a role that is never killed; may be repeated")
    parser.add_argument("--no-short-queues", action="store_true", help="leave fs.inotify.max_queued_events alone")
    parser.add_argument("--where", type=Path, default=None, help="parent of the work directory (default: in memory, or /tmp)")
    parser.add_argument("--keep", action="store_true", help="keep the work directory")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, _interrupt)
    signal.signal(signal.SIGHUP, _interrupt)
    try:
        return _run(options)
    except KeyboardInterrupt:
        return 130


def _run(options: argparse.Namespace) -> int:
    begun = session.begin()
    seed = random.SystemRandom().randrange(10**6) if options.seed is None else options.seed
    plan = Plan(
        seed, options.minutes, options.files, options.shards, servers=options.servers,
        queues=may_shorten() and not options.no_short_queues,
        spared=tuple(options.spare), keep=options.keep, where=options.where or session.roomy(_ROOM),
    )  # fmt: skip
    began = time.monotonic()

    def say(line: str) -> None:
        print(f"[{time.monotonic() - began:6.1f}] {line}", flush=True)

    try:
        failures = Run(plan, say).go()
    finally:
        for line in begun.end():
            say(f"left behind, taken away now: {line}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
