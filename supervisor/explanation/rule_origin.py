"""Where a pattern that is in force was written."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from shardwatch.shard.contract.errors import UsageError
from shardwatch.shard.contract.state.options import EXCLUDE, INCLUDE
from shardwatch.shard.contract.state.settings import Settings

from ..config import profile
from ..config.file import named_config, text_of, values_of
from ..config.patterns import expand
from ..host.scouting import Scouts

#: The origin of the patterns that shardwatch has by default.
DEFAULT: Final = "default"
UNKNOWN: Final = "unknown"
_DEFAULTS: Final = {
    INCLUDE.name: {*profile.AST.include, *profile.ORDINARY.include},
    EXCLUDE.name: {*profile.AST.exclude, *profile.ORDINARY.exclude},
}
_FILE: Final = "file "
#: Takes the place of a pattern in the file, to see whether this is where it is written.
_MARK: Final = "shardwatch looks for this line"


class Origin(NamedTuple):
    """Where a pattern comes from."""

    #: "default", "file PATH", "env NAME", "command line", "WatcherConfig", or "unknown" (an earlier version started the service).
    source: str
    #: In the file as it is now, from 1; None where it is not found there.
    line: int | None = None


def origin_of(settings: Settings, option: str, pattern: str, scouts: Scouts) -> Origin:
    """Where a pattern of `include` or `exclude` comes from. Reads the configuration file, if the pattern is of one and its
    filesystem answers."""
    source = settings.pattern_origins.get(option, {}).get(pattern)
    if source is None:
        return Origin(DEFAULT if pattern in _DEFAULTS[option] else UNKNOWN)
    if not source.startswith(_FILE):
        return Origin(source)
    return Origin(source, _line(Path(source.removeprefix(_FILE)), option, pattern, scouts))


def _line(path: Path, option: str, pattern: str, scouts: Scouts) -> int | None:
    at = scouts.real(os.fsencode(path))
    if scouts.mount(at) is not None and scouts.ask("answers", at) is None:
        return None
    try:
        found = named_config(path)
        patterns = values_of(path, found).get(option)
        if not isinstance(patterns, list):
            return None
        number = next((i for i, one in enumerate(patterns) if isinstance(one, str) and pattern in expand(one)), None)
    except UsageError:  # the file is gone, or was changed into something that is no configuration
        return None
    return None if number is None else line_of(text_of(found), option, number)


def line_of(text: str, option: str, number: int) -> int | None:
    """The line on which the item `number` of a list is written in a TOML text, from 1; None where it is written in a way that is
    not recognised, such as with an escape sequence. Pure."""
    import tomllib

    pattern = tomllib.loads(text)[option][number]
    for place, written in _places(text, pattern):
        marked = f'{text[:place]}"{_MARK}"{text[place + len(written) :]}'
        try:
            found = tomllib.loads(marked).get(option)
        except tomllib.TOMLDecodeError:
            continue
        if isinstance(found, list) and number < len(found) and found[number] == _MARK:
            return text.count("\n", 0, place) + 1
    return None


def _places(text: str, pattern: str) -> Iterator[tuple[int, str]]:
    """Wherever the text may have the pattern as a string: the place, and how it is written there."""
    escaped = pattern.replace("\\", "\\\\").replace('"', '\\"')
    for written in (f"'{pattern}'", f'"{escaped}"'):
        place = text.find(written)
        while place >= 0:
            yield place, written
            place = text.find(written, place + 1)
