"""What a service runs with, and where; without pydantic where nobody configured anything but roots and state directory.

pydantic and the model of the configuration take 0.1 s to import: a third of all that `watch` did before its service was
under way. `supervisor.config` says the same, slower (a test compares them), and everything else.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

from shardwatch.shard.contract.errors import UsageError
from shardwatch.shard.contract.state.settings import Settings
from shardwatch.shard.contract.state.trust import open_believed, read_at_most, stranger

from ..host.scouting import Scouts
from . import profile
from .default_place import default_place

FILE_NAME: Final = "shardwatch.toml"
ENV_PREFIX: Final = "SHARDWATCH_"
STATE_DIR_VARIABLE: Final = "SHARDWATCH_STATE_DIR"
#: Far more than any configuration has.
CONFIG_BYTES_MAX: Final = 1 << 20


class Effective(NamedTuple):
    settings: Settings
    state_dir: Path
    #: What the caller should hear, a line each: configuration files that were found and do not count.
    notes: tuple[str, ...] = ()


class Found(NamedTuple):
    """The configuration file that counts, and those on the way to it that do not."""

    path: Path | None
    content: bytes
    mode: int
    notes: tuple[str, ...]


def effective(config_file: Path | None, overrides: Mapping[str, object], environ: Mapping[str, str], cwd: Path) -> Effective:
    """See `supervisor.config.config.resolve`, of which this is the part that runs. Raises UsageError."""
    found = unconfigured(overrides, environ, cwd) if config_file is None else None
    if found is None:
        from .config import resolve

        resolved = resolve(config_file=config_file, overrides=overrides, environ=environ, cwd=cwd)
        found = Effective(resolved.settings, resolved.state_dir, resolved.notes)
    return found


def unconfigured(overrides: Mapping[str, object], environ: Mapping[str, str], cwd: Path) -> Effective | None:
    """The defaults; None where a file, a variable or an option has a say, or a path is none."""
    if not overrides.keys() <= {"roots", "state_dir"} or any(name.startswith(ENV_PREFIX) for name in environ):
        return None
    roots = overrides.get("roots") or []
    state_dir = overrides.get("state_dir")
    if not isinstance(roots, list) or not all(map(_is_path, roots)) or (state_dir is not None and not _is_path(state_dir)):
        return None
    file = find_config(cwd)
    if file.path is not None:
        return None
    settings = Settings(
        roots=real_roots([os.path.join(os.fsencode(cwd), os.fsencode(root)) for root in roots]),
        include=profile.INCLUDE,
        exclude=tuple(dict.fromkeys(profile.EXCLUDE)),
    )
    if state_dir is not None:
        return Effective(settings, cwd / str(state_dir), file.notes)
    place = default_place(default_state_dir(environ), None, settings.roots)
    return Effective(settings, place, file.notes)


def _is_path(value: object) -> bool:
    return isinstance(value, str) and value != "" and "\0" not in value


def real_roots(paths: list[bytes]) -> tuple[bytes, ...]:
    """Absolute, with links resolved, each once.

    A watch is on the directory itself, not on a link to it; and only real paths tell whether one root lies in another. A link to
    anything else stays what it is: it is watched by its name, like a file.
    """
    with Scouts() as scouts:
        return tuple(dict.fromkeys(scouts.real(path) for path in paths))


def default_state_dir(environ: Mapping[str, str]) -> Path:
    """Where the state directories lie that nobody names (`default_place`): $XDG_STATE_HOME/shardwatch, or
    ~/.local/state/shardwatch where that is unset or (as its specification says) relative.

    Raises UsageError where that would be in another user's home, as after `sudo` that keeps the environment, or nowhere.
    """
    home = environ.get("HOME", "")
    name, base = "XDG_STATE_HOME", environ.get("XDG_STATE_HOME", "")
    if not base.startswith("/"):
        name, base = "HOME", home if home.startswith("/") else _home_by_number()
    if not base.startswith("/"):
        raise UsageError(f"user {os.geteuid()} has no home directory", hint="set HOME, or give --state-dir DIR")
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


def find_config(cwd: Path) -> Found:
    """The nearest shardwatch.toml in `cwd` or above that counts, read: it decides what is watched, and which service is meant.

    One that somebody else wrote, or could put there, does not count: see `shard.contract.state.trust`. Directories that can't be
    searched are passed over.

    Raises UsageError where it can't be read to its end.
    """
    notes = []
    for directory in (cwd, *cwd.parents):
        path = directory / FILE_NAME
        try:
            if stat.S_ISDIR(path.lstat().st_mode):
                continue
        except OSError:
            continue  # there is none, or its directory can't be searched
        try:
            fd = open_believed(path)
        except FileNotFoundError:
            continue  # it has just gone
        except OSError as error:
            notes.append(f"{shown(path)} is not used: it can't be read: {error.strerror}")
            continue
        except UsageError as refused:
            notes.append(f"{shown(path)} is not used: {refused.message}; if you want it, name it with -c")
            continue
        try:
            return Found(path, read_config(fd, path), os.fstat(fd).st_mode, tuple(notes))
        finally:
            os.close(fd)
    return Found(None, b"", 0, tuple(notes))


def read_config(fd: int, path: Path) -> bytes:
    """The content of an open configuration file. Raises UsageError."""
    try:
        return read_at_most(fd, CONFIG_BYTES_MAX)
    except OSError as error:
        raise UsageError(f"can't read the config file {shown(path)}: {error.strerror}", hint="check the file") from error


def shown(path: Path) -> str:
    """A path in one line, whatever bytes it holds."""
    text = os.fsencode(path).decode("utf-8", "backslashreplace")
    return text if text.isprintable() else repr(text)[1:-1]
