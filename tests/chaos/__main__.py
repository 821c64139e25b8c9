"""`python -m chaos [--seed N] [--minutes M]`: one run of the whole service under fire; exits with 1 on any miss."""

from __future__ import annotations

import argparse
import random
import shutil
import signal
import sys
import time
from pathlib import Path
from types import FrameType

from chaos.killer import may_shorten
from chaos.run import Plan, Run


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _roomy() -> Path:
    """Memory, where there is enough of it: a disk that others use too is slow at a hundred thousand small changes a minute."""
    memory = Path("/dev/shm")
    return memory if memory.is_dir() and shutil.disk_usage(memory).free > 2 << 30 else Path("/tmp")


def main() -> int:
    parser = argparse.ArgumentParser(prog="chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=None, help="default: a random one, printed first")
    parser.add_argument("--minutes", type=float, default=4.0)
    parser.add_argument("--files", type=int, default=20_000)
    parser.add_argument("--shards", type=int, default=4)
    parser.add_argument("--spare", action="append", default=[], help="a role that is never killed; may be repeated")
    parser.add_argument("--no-short-queues", action="store_true", help="leave fs.inotify.max_queued_events alone")
    parser.add_argument("--where", type=Path, default=None, help="parent of the work directory (default: /dev/shm, or /tmp)")
    parser.add_argument("--keep", action="store_true", help="keep the work directory")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, _interrupt)
    seed = random.SystemRandom().randrange(10**6) if options.seed is None else options.seed
    plan = Plan(
        seed, options.minutes, options.files, options.shards, queues=may_shorten() and not options.no_short_queues,
        spared=tuple(options.spare), keep=options.keep, where=options.where or _roomy(),
    )  # fmt: skip
    began = time.monotonic()

    def say(line: str) -> None:
        print(f"[{time.monotonic() - began:6.1f}] {line}", flush=True)

    return 1 if Run(plan, say).go() else 0


if __name__ == "__main__":
    sys.exit(main())
