"""Puts the lines of several logs into the order of their times. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from heapq import merge
from typing import Final, NamedTuple

import msgspec

from .render import readable

#: How each of our logs, and supervisord's, begins a line: local time, to the millisecond.
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}(?= )")


class LogLine(NamedTuple):
    """A line of a log. It has the time of the last line before it that has one, as a traceback has; "" before the first."""

    time: str
    program: str
    text: str


class _Entry(msgspec.Struct):
    """A line of a log that is written as JSON (`shard.contract.process.log_entry`)."""

    time: str
    level: str
    program: str
    pid: int
    message: str
    trace: str = ""


def lines_of(program: str, text: str, time: str = "") -> Iterator[LogLine]:
    """The lines of one log, or of a part that follows a line of `time`. What is written as JSON is as if it was text."""
    for written in text.removesuffix("\n").split("\n") if text else ():  # JSON may hold what else ends a line for Python
        for line in _lines_of_entry(written):
            found = _TIME.match(line)
            time = found[0] if found else time
            yield LogLine(time, program, line)


def _lines_of_entry(line: str) -> list[str]:
    if not line.startswith('{"time":'):
        return line.splitlines() or [""]
    try:
        found = msgspec.json.decode(line, type=_Entry)
    except msgspec.MsgspecError:
        return line.splitlines()
    local = found.time[:23].replace("T", " ").replace(".", ",")
    who = "" if found.program == "supervisord" else f" {found.pid} {found.program}:"
    return [f"{local} {found.level.upper()}{who} {found.message}", *found.trace.splitlines()]


def in_order(logs: Iterable[Iterable[LogLine]]) -> list[LogLine]:
    """The lines of all logs, each of which is in the order of its times."""
    return list(merge(*logs, key=lambda line: line.time))


def text_of(lines: Iterable[LogLine], programs: Iterable[str]) -> str:
    """For people: each line with the name of its program, whatever it holds."""
    width = max(map(len, programs), default=0)
    return "".join(f"{line.program:<{width}}  {readable(line.text)}\n" for line in lines)


def program_of(file: str) -> str | None:
    """The program whose log that file is, as `status` names it; None for a file that is no log."""
    name, dot, suffix = file.partition(".log")
    if not name or not dot or suffix:
        return None
    for prefix, group in _GROUPS.items():
        if name.startswith(prefix):
            return f"{group}:{name.removeprefix(prefix)}"
    return name


_GROUPS: Final[Mapping[str, str]] = {"shard-": "shards", "exec-": "exec"}
