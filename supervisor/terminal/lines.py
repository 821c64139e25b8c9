"""The lines that `watch` and `pull` print, one per object, as JSON or for people."""

from __future__ import annotations

import sys
from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from . import render
from .ends import Ends

#: Version of the JSON lines (docs/formats.md, supervisor/schema/events.schema.json).
FORMAT = 1

Object = Mapping[str, Any]


class Printer:
    """Prints objects to standard output, whole batches at once; each call returns when its bytes are written."""

    def __init__(self, ends: Ends, *, as_json: bool) -> None:
        self._ends = ends
        self.as_json = as_json
        self._encode = msgspec.json.Encoder().encode
        self._colour = not as_json and render.wants_colour(sys.stdout)

    def write(self, objects: Sequence[Object]) -> None:
        """Raises Ended when standard output is closed or a signal came before all was written."""
        if not objects:
            return
        if self.as_json:
            data = b"\n".join(map(self._encode, objects)) + b"\n"
        else:
            text = "".join([render.event_line(o, colour=self._colour) + "\n" for o in objects])
            data = text.encode(sys.stdout.encoding, "backslashreplace")
        self._ends.write(data)

    def text(self, text: str) -> None:
        """Text for people on standard output."""
        self._ends.write(text.encode(sys.stdout.encoding, "backslashreplace"))


def status_object(level: str, message: str, remedy: str = "") -> dict[str, str]:
    """A trouble line; every string becomes valid UTF-8."""
    return {"type": "status", "level": level, "message": valid(message), "remedy": valid(remedy)}


def valid(text: str) -> str:
    """`text` with U+FFFD for what is not UTF-8."""
    return text if text.isascii() else text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def print_json(value: object) -> None:
    """One JSON document on standard output, indented, UTF-8 whatever the locale is. Raises OSError where it can't be written."""
    _print_bytes(msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n")


def print_json_lines(values: Iterable[object]) -> None:
    """The same with a line for each value."""
    _print_bytes(b"".join(msgspec.json.encode(value) + b"\n" for value in values))


def _print_bytes(data: bytes) -> None:
    try:
        sys.stdout.flush()
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    except OSError as error:
        error.filename = "standard output"
        raise


def path_fields(path: bytes) -> dict[str, str]:
    """`path` for a JSON object, and beside it `path_b64`, its exact bytes, where it is not UTF-8."""
    try:
        return {"path": path.decode()}
    except UnicodeDecodeError:
        return {"path": path.decode("utf-8", "replace"), "path_b64": b64encode(path).decode("ascii")}


def exact_path(event: Object, name: str = "path") -> bytes:
    """The bytes of a path of an event; b"" where it has none of that name."""
    exact: str | None = event.get(name + "_b64")
    return str(event.get(name, "")).encode() if exact is None else b64decode(exact)
