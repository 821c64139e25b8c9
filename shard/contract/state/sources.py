"""What the settings of a service come from, as it is stored in `sources.json`: so that they can be read again while it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from .directory import keep_private, read_private


class Sources(msgspec.Struct, frozen=True, kw_only=True):
    """The configuration file, the variables and the arguments with which a service was started."""

    #: The configuration file; None: there was none, and none counts later.
    config_file: bytes | None = None
    #: Whether it was found by searching upwards from `directory`: then it counts only as long as it would be found again.
    searched: bool = False
    #: The working directory, to which paths in `variables` are relative.
    directory: bytes = b"/"
    #: Variables of the environment that set options, by name.
    variables: dict[str, bytes] = {}
    #: Options that the command line gave, except for paths.
    arguments: dict[str, Any] = {}
    #: PATHs of the command line, absolute; None: it gave none.
    given: tuple[bytes, ...] | None = None
    #: The same, with what `shardwatch root` has added and removed since.
    roots: tuple[bytes, ...] | None = None
    #: The state directory that the command line named; None: it named none.
    state_dir: bytes | None = None
    #: Whether every file counts that is no noise, where nobody gives patterns (`exec PATH`), and not only AST JSON.
    ordinary: bool = False
    #: For the files that commands of the configuration make.
    umask: int = 0o077


def read_sources(path: Path) -> Sources | None:
    """Reads what `write_sources` wrote; None where there is no such file.

    Raises OSError, msgspec.MsgspecError for a damaged file, UsageError for one that others can write.
    """
    try:
        return msgspec.json.decode(read_private(path), type=Sources)
    except FileNotFoundError:
        return None


def write_sources(path: Path, sources: Sources | None, *, durable: bool = True) -> None:
    """Replaces the file in one step, mode 0600; none is left where nothing is known. `durable`: as of `StateDirectory.write`."""
    if sources is not None:
        keep_private(path, msgspec.json.format(msgspec.json.encode(sources), indent=1), durable=durable)
    else:
        path.unlink(missing_ok=True)
