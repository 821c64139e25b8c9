"""What a service runs with, and where; without pydantic where nobody configured anything but roots and state directory.

pydantic and the model of the configuration take 0.1 s to import: a third of all that `watch` did before its service was
under way. `supervisor.config` says the same, slower (a test compares them), and everything else.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

from shardwatch.shard.contract.settings import Settings
from shardwatch.supervisor import profile

FILE_NAME: Final = "shardwatch.toml"
ENV_PREFIX: Final = "SHARDWATCH_"


class Effective(NamedTuple):
    settings: Settings
    state_dir: Path


def effective(config_file: Path | None, overrides: Mapping[str, object], environ: Mapping[str, str], cwd: Path) -> Effective:
    """See `supervisor.config.resolve`, of which this is the part that runs. Raises UsageError."""
    found = unconfigured(overrides, environ, cwd) if config_file is None else None
    if found is None:
        from shardwatch.supervisor.config import resolve

        resolved = resolve(config_file=config_file, overrides=overrides, environ=environ, cwd=cwd)
        found = Effective(resolved.settings, resolved.state_dir)
    return found


def unconfigured(overrides: Mapping[str, object], environ: Mapping[str, str], cwd: Path) -> Effective | None:
    """The defaults; None where a file, a variable or an option has a say, or a path is none."""
    if not overrides.keys() <= {"roots", "state_dir"} or any(name.startswith(ENV_PREFIX) for name in environ):
        return None
    roots = overrides.get("roots") or []
    state_dir = overrides.get("state_dir")
    if not isinstance(roots, list) or not all(map(_is_path, roots)) or (state_dir is not None and not _is_path(state_dir)):
        return None
    if find_config(cwd) is not None:
        return None
    settings = Settings(
        roots=real_roots([os.path.join(os.fsencode(cwd), os.fsencode(root)) for root in roots]),
        include=profile.INCLUDE,
        exclude=tuple(dict.fromkeys(profile.EXCLUDE)),
    )
    return Effective(settings, default_state_dir(environ) if state_dir is None else cwd / str(state_dir))


def _is_path(value: object) -> bool:
    return isinstance(value, str) and value != "" and "\0" not in value


def real_roots(paths: list[bytes]) -> tuple[bytes, ...]:
    """Absolute, with links resolved, each once.

    A watch is on the directory itself, not on a link to it; and only real paths tell whether one root lies in another.
    """
    # POSIX leaves two slashes at the beginning alone, and so does Python; here they mean nothing.
    return tuple(dict.fromkeys(b"/" + os.path.realpath(path).lstrip(b"/") for path in paths))


def default_state_dir(environ: Mapping[str, str]) -> Path:
    """$XDG_STATE_HOME/shardwatch, or ~/.local/state/shardwatch where that is unset or (as its specification says) relative."""
    base = environ.get("XDG_STATE_HOME", "")
    if base.startswith("/"):
        return Path(base) / "shardwatch"
    home = environ.get("HOME", "")
    return (Path(home) if home.startswith("/") else Path.home()) / ".local/state/shardwatch"


def find_config(cwd: Path) -> Path | None:
    """The nearest shardwatch.toml in `cwd` or above."""
    for directory in (cwd, *cwd.parents):
        path = directory / FILE_NAME
        if path.is_file():
            return path
    return None
