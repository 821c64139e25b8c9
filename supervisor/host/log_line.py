"""A line in the log of a program that does without `logging`, whose import its start would pay for."""

from __future__ import annotations

import os
import time

from shardwatch.shard.contract.input.visible import readable


def log_line(text: str, program: str = "coordinator") -> None:
    """Prints a line of a program as `shard.contract.process.log` has it: the local time to the millisecond, the level, the
    process, the text. It is one line, whatever the text holds.
    """
    now = time.time()
    stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(now))
    milliseconds = int(now * 1000) % 1000
    print(f"{stamp},{milliseconds:03d} INFO {os.getpid()} shardwatch.{program}: {readable(text)}", flush=True)
