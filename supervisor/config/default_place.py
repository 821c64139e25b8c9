"""The default state directory: a separate one for each configuration file, or for each set of roots.

With a single default for all projects of a user, the second project would get the index and the groups of the first
one, or no service at all. So the default is a directory below `$XDG_STATE_HOME/shardwatch`, named after the
configuration file, or after the roots if there is no such file. `supervisor.cli.link.nearby` finds out which of these
services run.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from shardwatch.shard.contract.errors import UsageError
from shardwatch.shard.contract.state.layout import Layout
from shardwatch.shard.contract.state.settings import read_settings
from shardwatch.shard.contract.state.trust import stranger

from ..host.scouting import unanswered

#: Hexadecimal digits of a place's name. Short: a socket's path is, too.
_DIGITS: Final = 12
#: Places that are looked at when a service is searched for.
_PLACES_MAX: Final = 1000


def default_state_dir(environ: Mapping[str, str]) -> Path:
    """Where the state directories lie that nobody names (`default_place`): $XDG_STATE_HOME/shardwatch, or
    ~/.local/state/shardwatch where that is unset or (as its specification says) relative.

    Raises UsageError where that would be in another user's home, as after `sudo` that keeps the environment, or nowhere, or on a
    filesystem that does not answer.
    """
    home = environ.get("HOME", "")
    name, base = "XDG_STATE_HOME", environ.get("XDG_STATE_HOME", "")
    if not base.startswith("/"):
        name, base = "HOME", home if home.startswith("/") else _home_by_number()
    if not base.startswith("/"):
        raise UsageError(f"user {os.geteuid()} has no home directory", hint="set HOME, or give --state-dir DIR")
    silent = unanswered(base)
    if silent:
        raise UsageError(f"{name}={base} lies on {silent}", hint="check that mount, or give --state-dir DIR")
    try:
        owner = stranger(os.stat(base))
    except OSError:
        owner = ""  # it will be made, or that will fail
    if owner:
        raise UsageError(f"{name}={base} {owner}, not to you", hint="give --state-dir DIR; after sudo: `sudo -H`")
    return Path(base) / ("shardwatch" if name == "XDG_STATE_HOME" else ".local/state/shardwatch")


def _home_by_number() -> str:
    """The home directory that the user database has for the caller, "" where it has none."""
    import pwd

    try:
        return pwd.getpwuid(os.geteuid()).pw_dir
    except KeyError:
        return ""


def default_place(base: Path, file: Path | None, roots: Sequence[bytes]) -> Path:
    """The state directory of a service with this configuration file, or (None) these roots; `base` where there are none.

    `base` itself was every service's default in earlier versions: it goes on being that of the roots that it served.
    """
    if file is None and not roots:
        return base
    if roots and sorted(roots_served(base)) == sorted(roots):
        return base
    identity = b"file\0" + os.fsencode(os.path.realpath(file)) if file is not None else b"roots\0" + b"\0".join(sorted(roots))
    return base / hashlib.sha256(identity).hexdigest()[:_DIGITS]


def default_places(base: Path) -> Iterable[Path]:
    """All directories of the caller's that may be a default place: `base` itself, then at most 1000 below it, by name."""
    try:
        children = sorted(path for path in base.iterdir() if len(path.name) == _DIGITS)[:_PLACES_MAX]
    except OSError:
        children = []
    return (base, *children)


def roots_served(state_dir: Path) -> tuple[bytes, ...]:
    """Roots of the service that the directory served last; none where it is no state directory that can be read."""
    try:
        return read_settings(Layout(state_dir).settings).roots
    except (OSError, UsageError, msgspec.MsgspecError):
        return ()
