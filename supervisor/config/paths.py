"""The options that are paths, made absolute and with links resolved. Reads the disk, and creates nothing."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import Any

from shardwatch.shard.contract.errors import UsageError
from shardwatch.shard.contract.state.options import Option

from ..host.scouting import Scouts
from .layers import Layer


def roots_of(option: Option[Any], value: object, layer: Layer) -> tuple[bytes, ...]:
    """A list of paths, each absolute and real (see `real_roots`). Raises UsageError."""
    if isinstance(value, str | bytes | os.PathLike) or not isinstance(value, Iterable):
        raise UsageError(f"{option.name} ({layer.origin}) must be {option.kind.allowed}")
    return real_roots([absolute(option, item, layer) for item in value])


def absolute(option: Option[Any], value: object, layer: Layer) -> bytes:
    """One path, absolute. Raises UsageError."""
    if not isinstance(value, str | bytes | os.PathLike):
        raise UsageError(f"{option.name} = {value!r} ({layer.origin}) must be {option.kind.allowed}")
    path: bytes = os.fsencode(value)
    if not path or b"\0" in path:
        raise UsageError(f"{option.name} ({layer.origin}): {os.fsdecode(path)!r} is no path", hint="give one that is not empty")
    if layer.tilde:
        path = os.path.expanduser(path)
    return os.path.join(os.fsencode(os.path.abspath(layer.base)), path)


def real_roots(paths: Sequence[bytes]) -> tuple[bytes, ...]:
    """Absolute, with links resolved, each once.

    A watch is on the directory itself, not on a link to it; and only real paths tell whether one root lies in another. A link to
    anything else stays what it is: it is watched by its name, like a file.
    """
    with Scouts() as scouts:
        return tuple(dict.fromkeys(scouts.real(path) for path in paths))
