"""Reads the command line of the programs that supervisord starts. It is written by ourselves, so this replaces argparse, whose
import is a tenth of such a program's start.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import UsageError


def values_of(arguments: Sequence[str], *names: str) -> dict[str, str]:
    """The values by the names of their options. Each is given as `--name VALUE`, at most once, and `names` are all there are.

    Raises UsageError for anything else.
    """
    known = {f"--{name}": name for name in names}
    values: dict[str, str] = {}
    options = iter(arguments)
    for option in options:
        name = known.get(option)
        value = next(options, None)
        if name is None or value is None or name in values:
            usage = " ".join(f"{option} VALUE" for option in known)
            raise UsageError(f"can't be started with {' '.join(arguments)}", hint=f"usage: {usage}; supervisord starts it")
        values[name] = value
    return values


def value_of(arguments: Sequence[str], name: str) -> str:
    """The value of the only option that there is, and has to be. Raises UsageError."""
    values = values_of(arguments, name)
    if name not in values:
        raise UsageError(f"--{name} is missing", hint=f"usage: --{name} VALUE; supervisord starts it")
    return values[name]
