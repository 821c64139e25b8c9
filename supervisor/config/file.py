"""The configuration file: which one is used, and its contents."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from shardwatch.shard.contract.errors import UsageError
from shardwatch.shard.contract.state.trust import open_believed, open_regular, read_at_most

from ..host.scouting import Scouts, unanswered

FILE_NAME: Final = "shardwatch.toml"
#: Far more than any configuration has.
CONFIG_BYTES_MAX: Final = 1 << 20


class FoundConfig(NamedTuple):
    """The configuration file that counts, and those on the way to it that do not."""

    path: Path | None
    content: bytes
    mode: int
    #: What the caller should hear, a line for each file that was found and does not count.
    notes: tuple[str, ...]


def find_config(cwd: Path) -> FoundConfig:
    """The nearest shardwatch.toml in `cwd` or above that counts, read: it decides what is watched, and which service is meant.

    One that somebody else wrote, or could put there, does not count: see `shard.contract.state.trust`. Directories that can't be
    searched are passed over, and so are those on a filesystem that does not answer.

    Raises UsageError where it can't be read to its end.
    """
    notes: list[str] = []
    for directory in _that_answer((cwd, *cwd.parents), notes):
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
        return _read(fd, path, tuple(notes))
    return FoundConfig(None, b"", 0, tuple(notes))


def _that_answer(directories: Iterable[Path], notes: list[str]) -> Iterator[Path]:
    """Those that can be looked into, one after the other. What is passed over is noted once for each filesystem."""
    with Scouts() as scouts:
        silent: set[str] = set()
        for directory in directories:
            why = scouts.unanswered(os.fsencode(directory)) if scouts.points else ""
            if not why:
                yield directory
            elif why not in silent:
                silent.add(why)
                notes.append(f"no {FILE_NAME} is looked for in {shown(directory)}: it lies on {why}")


def named_config(path: Path) -> FoundConfig:
    """A file that the caller names: it is read whoever owns it, also by a link. Raises UsageError."""
    silent = unanswered(path)
    if silent:
        raise UsageError(f"can't read the config file {shown(path)}: it lies on {silent}", hint="check that mount")
    try:
        fd = open_regular(path, follow=True)
    except OSError as error:
        raise UsageError(
            f"can't read the config file {shown(path)}: {error.strerror}", hint="check the path given with -c"
        ) from error
    return _read(fd, path, ())


def values_of(path: Path, found: FoundConfig) -> dict[str, object]:
    """What the file sets. Raises UsageError for one that others can change, or that is no TOML."""
    import tomllib  # not on the way to a service without a file

    if found.mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise UsageError(
            f"the config file {shown(path)} can be changed by others (mode {stat.S_IMODE(found.mode):04o})",
            hint=f"run: chmod go-w {shown(path)}",
        )
    try:
        return tomllib.loads(text_of(found))
    except (ValueError, RecursionError) as error:  # ValueError: TOML, UTF-8, and numbers of 5,000 digits
        raise UsageError(f"{shown(path)} is not valid TOML: {' '.join(str(error).split())}") from error


def text_of(found: FoundConfig) -> str:
    """The text of the file, without the mark that some editors write at the beginning of UTF-8. Raises UnicodeDecodeError."""
    return found.content.decode("utf-8-sig")


def shown(path: Path) -> str:
    """A path in one line, whatever bytes it holds."""
    text = os.fsencode(path).decode("utf-8", "backslashreplace")
    return text if text.isprintable() else repr(text)[1:-1]


def _read(fd: int, path: Path, notes: tuple[str, ...]) -> FoundConfig:
    """Reads the open file, and closes it. Raises UsageError."""
    try:
        return FoundConfig(path, read_at_most(fd, CONFIG_BYTES_MAX), os.fstat(fd).st_mode, notes)
    except OSError as error:
        raise UsageError(f"can't read the config file {shown(path)}: {error.strerror}", hint="check the file") from error
    finally:
        os.close(fd)
