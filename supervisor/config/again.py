"""Reads a configuration again while its service runs: from the same file, variables and arguments as at its start.

What they were is kept in the state directory (`shard.contract.state.sources`). The environment and the arguments of the
command that asks for it do not count: it is not the service's.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import msgspec

from shardwatch.shard.contract.errors import UsageError
from shardwatch.shard.contract.state import options
from shardwatch.shard.contract.state.options import OPTIONS, Directory, Paths
from shardwatch.shard.contract.state.sources import Sources

from . import profile
from .file import find_config, shown
from .layers import Layer
from .names import variable
from .paths import absolute
from .resolve import Resolved, resolve

#: Variables by which the default state directory and `~` are found; they are those of the command that asks.
_PLACES = ("HOME", "XDG_STATE_HOME")


def sources_of(
    resolved: Resolved,
    *,
    searched: bool,
    overrides: Mapping[str, object],
    environ: Mapping[str, str],
    cwd: Path,
    ordinary: bool = False,
    umask: int = 0o077,
) -> Sources:
    """What `resolve` was given when it found `resolved`, to be stored.

    Args:
        searched: whether its file, if it has one, was found and not named.
    """
    layer = Layer("command line", {}, cwd, tilde=False)
    paths = {name for name, option in OPTIONS.items() if isinstance(option.kind, Paths | Directory)}
    roots, state_dir = overrides.get(options.ROOTS.name), overrides.get(options.STATE_DIR.name)
    given = None if not isinstance(roots, list | tuple) else tuple(absolute(options.ROOTS, one, layer) for one in roots)
    return Sources(
        config_file=None if resolved.config_file is None else os.fsencode(os.path.abspath(resolved.config_file)),
        searched=searched and resolved.config_file is not None,
        directory=os.fsencode(cwd),
        variables={
            name: os.fsencode(environ[name]) for name in map(variable, OPTIONS.values()) if environ.get(name)
        },
        arguments={name: value for name, value in overrides.items() if value is not None and name not in paths},
        given=given,
        roots=given,
        state_dir=None if state_dir is None else absolute(options.STATE_DIR, state_dir, layer),
        ordinary=ordinary,
        umask=umask,
    )


def with_changed_roots(found: Sources, before: Sources | None) -> Sources:
    """For a service that is started with the same PATHs as the last one in its state directory: what was added and removed since
    goes on counting. With other PATHs, these count. Pure."""
    if before is None or found.given is None or (before.given, before.config_file) != (found.given, found.config_file):
        return found
    return msgspec.structs.replace(found, roots=before.roots)


def resolve_again(sources: Sources) -> Resolved:
    """The configuration as it is now. Raises UsageError, also where the file that counted does not count any more."""
    cwd = Path(os.fsdecode(sources.directory))
    file = None if sources.config_file is None else Path(os.fsdecode(sources.config_file))
    if file is not None and sources.searched:
        _check_found_again(file, cwd)
    overrides: dict[str, object] = dict(sources.arguments)
    if sources.roots is not None:
        overrides[options.ROOTS.name] = list(sources.roots)
    if sources.state_dir is not None:
        overrides[options.STATE_DIR.name] = sources.state_dir
    environ = {name: os.environ[name] for name in _PLACES if name in os.environ}
    environ |= {name: os.fsdecode(value) for name, value in sources.variables.items()}
    return resolve(
        config_file=file,
        overrides=overrides,
        environ=environ,
        cwd=cwd,
        defaults=profile.ORDINARY if sources.ordinary else profile.AST,
        search=False,
    )


def _check_found_again(file: Path, cwd: Path) -> None:
    """A file that was found, and not named, has to be one that may count. Raises UsageError."""
    found = find_config(cwd)
    if found.path != file:
        gone = "it is a directory now" if file.is_dir() else "it is not there any more"
        why = "; ".join(found.notes) or (f"{shown(found.path)} is nearer now" if found.path else gone)
        raise UsageError(
            f"the configuration file {shown(file)} does not count any more: {why}",
            hint="mend that, or restart the service with `-c FILE`",
        )
