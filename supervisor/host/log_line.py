"""A line in the log of a program that does without `logging`, whose import its start would pay for."""

from __future__ import annotations

import os
import time

from shardwatch.shard.contract.process.log_choice import LogChoice
from shardwatch.shard.contract.process.log_entry import LEVELS, entry


class _ThisProcess:
    """How this process logs, and as whom."""

    program = "coordinator"
    choice = LogChoice()


def use_log(program: str, choice: LogChoice) -> None:
    """Says as whom this process logs, and how, from now on."""
    _ThisProcess.program, _ThisProcess.choice = program, choice


def log_line(text: str, level: str = "info") -> None:
    """Prints a line as `shard.contract.process.log` has it: the local time to the millisecond, the level, the program, the
    process, the text. It is one line, whatever the text holds. One below the level of this process is not printed.
    """
    choice = _ThisProcess.choice
    if LEVELS[level] >= LEVELS[choice.level]:
        name = f"shardwatch.{_ThisProcess.program}"
        print(entry(choice.form, time.time(), level.upper(), name, os.getpid(), text), flush=True)
