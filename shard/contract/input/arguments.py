"""Checks arguments of the Python API. Each function returns the value in the form in which it is used, or raises
UsageError.

`name` is the caller's name for the value, such as `WatcherConfig.batch_size`.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable
from pathlib import Path

from ..errors import UsageError
from .shown import shown


def wrong(name: str, value: object, wanted: str) -> UsageError:
    """The error for a value that is not what was wanted, as in "must be ..."."""
    return UsageError(f"{name} is {shown(value)}", hint=f"must be {wanted}")


def seconds(name: str, value: object, least: float, most: float) -> float:
    """A number of seconds, both bounds allowed; an int is taken too, a bool is not."""
    try:
        number = float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else math.nan
    except OverflowError:
        number = math.nan
    if least <= number <= most:
        return number
    raise wrong(name, value, f"seconds between {least:g} and {most:g}")


def whole(name: str, value: object, least: int, most: int) -> int:
    """A whole number, both bounds allowed."""
    if isinstance(value, int) and not isinstance(value, bool) and least <= value <= most:
        return value
    raise wrong(name, value, f"a whole number between {least} and {most}")


def text(name: str, value: object, most: int) -> str:
    """A text of 1 to `most` characters that can be sent as UTF-8."""
    if not isinstance(value, str) or not 0 < len(value) <= most:
        raise wrong(name, value, f"a text of 1 to {most} characters")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise wrong(name, value, "a text that is valid Unicode") from None
    return value


def path(name: str, value: object) -> Path:
    """A path as str, bytes or os.PathLike: not empty, without a zero byte, and of characters that a name can hold."""
    try:
        found = os.fsdecode(value)  # type: ignore[arg-type]
        os.fsencode(found)
    except (TypeError, ValueError):
        raise wrong(name, value, "a path: str, bytes or os.PathLike") from None
    if not found or "\0" in found:
        raise wrong(name, found, "a path that is not empty and has no zero byte")
    return Path(found)


def paths(name: str, value: object) -> list[Path]:
    """Paths in any collection, or a single one."""
    if isinstance(value, str | bytes | os.PathLike):
        value = [value]
    try:
        return [path(f"one of {name}", item) for item in value]  # type: ignore[attr-defined]
    except TypeError:
        raise wrong(name, value, "a list of paths, or one path") from None


def items(name: str, value: object) -> list[object]:
    """What a collection holds; a text is none."""
    if isinstance(value, str | bytes) or not isinstance(value, Iterable):
        raise wrong(name, value, "a list")
    return list(value)


def is_finite(value: object) -> bool:
    """Whether it is a number that a float holds; a bool is none."""
    try:
        return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:
        return False
