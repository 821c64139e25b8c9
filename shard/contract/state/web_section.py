"""Where the service has its web page served (`[web]` in a configuration file), as it is stored in `web-section.json`."""

from __future__ import annotations

import msgspec


class WebSection(msgspec.Struct, frozen=True, kw_only=True):
    """The section, without the token: the file named here is read by the program that serves."""

    #: What `shardwatch web` is given.
    arguments: tuple[str, ...]
    #: The Unix socket; None: run/web.sock, or a port.
    socket: bytes | None = None
    #: The file with the token that each request must bring.
    token_file: bytes | None = None
