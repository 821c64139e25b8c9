"""The version of all of shardwatch, as `--version`, `hello` and the package's metadata say it."""

from __future__ import annotations

from typing import Final

__version__: Final = "0.1.0"
