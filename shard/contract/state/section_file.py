"""A section of the configuration that a program of the service reads at its start, as a file of the state directory."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import msgspec

from .directory import keep_private, read_private

S = TypeVar("S", bound=msgspec.Struct)


def read_section(path: Path, kind: type[S]) -> S | None:
    """Reads what `write_section` wrote; None where there is no such file.

    Raises OSError, msgspec.MsgspecError for a damaged file, UsageError for one that others can write.
    """
    try:
        return msgspec.json.decode(read_private(path), type=kind)
    except FileNotFoundError:
        return None


def write_section(path: Path, section: msgspec.Struct | None) -> None:
    """Replaces the file in one step, mode 0600; none is left where there is no section."""
    if section is not None:
        keep_private(path, msgspec.json.format(msgspec.json.encode(section), indent=1))
    else:
        path.unlink(missing_ok=True)
