"""What a line of a log looks like: text for people, or one JSON object. Pure."""

from __future__ import annotations

import signal
import time
from typing import Final

from ..input.visible import readable

#: What lines may look like.
TEXT: Final = "text"
JSON: Final = "json"
#: From the most to the fewest lines, with the numbers of `logging`.
LEVELS: Final = {"debug": 10, "info": 20, "warning": 30, "error": 40}
#: Asks a program to read anew how it is to log (`log_choice`).
SIGNAL: Final = signal.SIGUSR2
#: In the file of levels: every program that is not named.
ALL: Final = "*"


def entry(form: str, at: float, level: str, program: str, pid: int, message: str, trace: str = "") -> str:
    """A message as it stands in a log, without the end of the line. Only a trace makes several lines, and only as text.

    Args:
        form: TEXT or JSON.
        at: seconds since 1970. Text has the local time to the millisecond, and JSON its offset from UTC, too.
        level: INFO, for example.
        program: which one says it, or which part of one.
    """
    local = time.localtime(at)
    milliseconds = int(at * 1000) % 1000
    if form == JSON:
        return _json(
            {
                "time": f"{time.strftime('%Y-%m-%dT%H:%M:%S', local)}.{milliseconds:03d}{_offset(local)}",
                "level": level.lower(),
                "program": program,
                "pid": pid,
                "message": message,
                **({"trace": trace} if trace else {}),
            }
        )
    stamp = f"{time.strftime('%Y-%m-%d %H:%M:%S', local)},{milliseconds:03d}"
    traced = "".join(f"\n{readable(line)}" for line in trace.splitlines())
    return f"{stamp} {level} {pid} {program}: {readable(message)}{traced}"


def _offset(local: time.struct_time) -> str:
    minutes = (local.tm_gmtoff or 0) // 60
    return f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02d}:{abs(minutes) % 60:02d}"


def _json(fields: dict[str, object]) -> str:
    import msgspec.json  # supervisord's process does without, as long as its log is text

    known = {name: _valid(value) if isinstance(value, str) else value for name, value in fields.items()}
    return msgspec.json.encode(known).decode()


def _valid(text: str) -> str:
    """With U+FFFD for what is not UTF-8."""
    return text if text.isascii() else text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
