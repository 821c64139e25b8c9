"""What the service ships, and where to (`[ship]` in a configuration file), as it is stored in `ship-section.json`."""

from __future__ import annotations

import msgspec


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
