"""Commands that supervisord runs for what changes (`[exec.NAME]` in a configuration file), as they are stored in `exec.json`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from .directory import keep_private, read_private


class Trigger(msgspec.Struct, frozen=True, kw_only=True):
    """One command, as a durable worker of a group."""

    #: Of the program: letters, digits, `-`, `_` and `.`.
    name: str
    #: What `shardwatch exec` is given: options, `--`, and the command.
    arguments: tuple[str, ...]
    #: Where it runs: that of the configuration file.
    directory: bytes
    #: For the files that it makes.
    umask: int = 0o077

    @property
    def command(self) -> tuple[str, ...]:
        """The program that is run, and its arguments."""
        return self.arguments[self.arguments.index("--") + 1 :]


def read_triggers(path: Path) -> tuple[Trigger, ...]:
    """Reads what `write_triggers` wrote; none where there is no such file.

    Raises OSError, msgspec.MsgspecError for a damaged file, UsageError for one that others can write.
    """
    try:
        return msgspec.json.decode(read_private(path), type=tuple[Trigger, ...])
    except FileNotFoundError:
        return ()


def write_triggers(path: Path, triggers: Sequence[Trigger]) -> None:
    """Replaces the file in one step, mode 0600; none is left where there are no triggers."""
    if triggers:
        keep_private(path, msgspec.json.format(msgspec.json.encode(tuple(triggers)), indent=1))
    else:
        path.unlink(missing_ok=True)
