"""The version of shardwatch, as it appears in `--version`, `hello` and the metadata of the package."""

from __future__ import annotations

from typing import Final

__version__: Final = "0.1.0"

#: What to do where processes of one service run different code.
UPGRADED: Final = "the code was replaced while the service ran: `shardwatch down`, then `shardwatch up`"
