"""The standard streams of a command. They exist from the first moment, whatever the parent has closed, and each is used
for its own purpose.

If a stream was closed at the start, Python has None in its place, and then prints text for standard error to standard
output, among the JSON. In addition, whatever is opened next would get the free number.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable
from typing import Any, Final

from shardwatch.shard.contract.input.visible import readable
from shardwatch.shard.contract.process.inherited import open_descriptors

#: Errors of a file for which there is no room now: later there may be some.
FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_CLOSED: Final[set[int]] = set()
#: Where lines of a program of a service go that has a log; none: to standard error, for people.
_LOGS: Final[list[Callable[[str], object]]] = []


def make_sound() -> None:
    """Opens /dev/null in place of streams that are closed. Call it before anything else. Idempotent."""
    _CLOSED.update(open_descriptors())
    for stream in (sys.stdout, sys.stderr):
        reconfigure: Any = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")


def output_is_closed() -> bool:
    """Whether standard output was closed at the start. Then nobody reads, and no output may count as read."""
    return 1 in _CLOSED


def say(text: str) -> None:
    """A line for people on standard error, or for the log of this program, whatever the text holds."""
    if _LOGS:
        _LOGS[0](text.removeprefix("shardwatch: "))
    else:
        say_line(readable(text))


def say_to_log(log: Callable[[str], object]) -> None:
    """From now on `say` gives its lines to `log`: nobody reads standard error, but a log has times."""
    _LOGS[:] = [log]


def say_line(line: str) -> None:
    """Like `say`, for a line that is already readable, and may be coloured. A failure to write it is not a reason to end."""
    try:
        print(line, file=sys.stderr, flush=True)
    except (OSError, ValueError) as error:  # ValueError: it is closed
        if isinstance(error, OSError) and error.errno in (*FULL, errno.EAGAIN):  # only this line is lost
            _drop_held()
        else:
            forget(2)


def _drop_held() -> None:
    """Discards what Python still holds for standard error. The stream stays as it is."""
    kept = os.dup(2)
    forget(2)
    sys.stderr.flush()
    os.dup2(kept, 2)
    os.close(kept)


def forget(fd: int) -> None:
    """Discards what Python still holds for a stream that cannot be written, so that it does not raise at exit."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, fd)
    os.close(null)
