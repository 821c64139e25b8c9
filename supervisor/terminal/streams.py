"""The standard streams of a command. They exist from the first moment, whatever the parent has closed, and each is used
for its own purpose.

If a stream was closed at the start, Python has None in its place, and then prints text for standard error to standard
output, among the JSON. In addition, whatever is opened next would get the free number.
"""

from __future__ import annotations

import os
import sys
from typing import Any, Final

from shardwatch.shard.contract.input.visible import readable
from shardwatch.shard.contract.process.inherited import open_descriptors

_CLOSED: Final[set[int]] = set()


def make_sound() -> None:
    """Opens /dev/null in the place of what is closed. Call it first of all; idempotent."""
    _CLOSED.update(open_descriptors())
    for stream in (sys.stdout, sys.stderr):
        reconfigure: Any = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")


def output_is_closed() -> bool:
    """Whether standard output was closed at the start: then nobody reads, and nothing may be taken for read."""
    return 1 in _CLOSED


def say(text: str) -> None:
    """A line for people on standard error, whatever the text holds."""
    say_line(readable(text))


def say_line(line: str) -> None:
    """As `say`, of a line that is readable already, and may be coloured. That it can't be written is no reason to end."""
    try:
        print(line, file=sys.stderr, flush=True)
    except (OSError, ValueError):  # ValueError: it is closed
        forget(2)


def forget(fd: int) -> None:
    """What Python still holds for a stream that can't be written must not raise at exit."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, fd)
    os.close(null)
