"""Makes values that somebody else has sent short and safe enough to be quoted in a message."""

from __future__ import annotations

from typing import Final

#: Characters of a foreign value, and of a foreign text, that a message shows.
VALUE_CHARS_MAX: Final = 80
TEXT_CHARS_MAX: Final = 300


def shown(value: object) -> str:
    """A value for people, on one line: at most VALUE_CHARS_MAX characters of it. Never raises, whatever the value is.

    Of lists and maps only the type is told: their `repr` is as deep, and as long, as their sender likes.
    """
    if isinstance(value, str | bytes):
        text = repr(value[:VALUE_CHARS_MAX])
        return text if len(text) <= VALUE_CHARS_MAX else text[:VALUE_CHARS_MAX] + "…"
    if isinstance(value, int) and value.bit_length() > 64:
        return f"an integer of {value.bit_length()} bits"
    if value is None or isinstance(value, bool | int | float):
        return repr(value)
    return f"a {type(value).__name__}"


def cut(text: str) -> str:
    """A text that may quote what somebody sent: at most TEXT_CHARS_MAX characters of it."""
    return text if len(text) <= TEXT_CHARS_MAX else text[:TEXT_CHARS_MAX] + "…"
