"""Temporary state directories, for `shardwatch watch`, and for watchers without a state directory of their own."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Final

from shardwatch.shard.contract.errors import UsageError
from shardwatch.shard.contract.state.trust import is_safe

from ..host.scouting import unanswered
from .state_dir import path_bytes_max

#: Names that are tried in one place before it counts as unusable.
_ATTEMPTS: Final = 100


def make_temporary(remedy: str) -> Path:
    """A new directory, mode 0700, in the first usable place whose path is short enough for a socket in it.

    The places are $TMPDIR, $XDG_RUNTIME_DIR, /tmp and /var/tmp. One in which others could replace what is made there is
    passed over: a TMPDIR that `sudo` has kept, for one. So is one on a filesystem that does not answer. Raises UsageError
    where none can be used; `remedy` is what to do instead of setting TMPDIR.
    """
    refused: OSError | None = None
    for place in (os.environ.get("TMPDIR"), os.environ.get("XDG_RUNTIME_DIR"), "/tmp", "/var/tmp"):
        if not place or unanswered(place) or not is_safe(place):
            continue
        try:
            made = _make_in(Path(place).absolute())
        except OSError as error:
            refused = error
            continue
        if made is not None:
            return made
    reason = f": {refused.strerror}" if refused else ""
    raise UsageError(f"no place for a temporary state directory{reason}", hint=f"set TMPDIR, or {remedy}")


def _make_in(place: Path) -> Path | None:
    """None where the path would be too long. Raises OSError."""
    for _ in range(_ATTEMPTS):
        path = place / f"shardwatch-{os.urandom(4).hex()}"
        if len(os.fsencode(path)) > path_bytes_max():
            return None
        try:
            path.mkdir(mode=0o700)
            return path
        except FileExistsError:
            continue
    return None


def remove_temporary(path: Path) -> None:
    """Removes such a directory, whose service is gone. Idempotent; never raises."""
    shutil.rmtree(path, ignore_errors=True)
