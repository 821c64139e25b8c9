"""What the service ships, and where to (`[ship]` in a configuration file), as it is stored in `ship-section.json`."""

from __future__ import annotations

from pathlib import Path

import msgspec

from .directory import read_private, write_private


class ShipSection(msgspec.Struct, frozen=True, kw_only=True):
    """The section, without what is secret: the files named here are read by the program that ships."""

    #: What `shardwatch ship` is given.
    arguments: tuple[str, ...]
    #: A file of credentials; None: the one that the environment names, if any.
    credentials: bytes | None = None
    #: The certificates of the authorities that are trusted; None: those of the environment, or of the system.
    authority: bytes | None = None
    #: Our certificate, and its key; None: those that the environment names, if any.
    certificate: bytes | None = None
    key: bytes | None = None


def read_ship_section(path: Path) -> ShipSection | None:
    """Reads what `write_ship_section` wrote; None where there is no such file.

    Raises OSError, msgspec.MsgspecError for a damaged file, UsageError for one that others can write.
    """
    try:
        return msgspec.json.decode(read_private(path), type=ShipSection)
    except FileNotFoundError:
        return None


def write_ship_section(path: Path, section: ShipSection | None) -> None:
    """Replaces the file in one step, mode 0600; none is left where there is no section."""
    if section is not None:
        write_private(path, msgspec.json.format(msgspec.json.encode(section), indent=1))
    else:
        path.unlink(missing_ok=True)
