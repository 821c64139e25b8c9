"""The section `[web]` of a configuration file: the page is served as long as the service runs, as `shardwatch web` does it.

The section becomes the arguments of that command. What its options may be is checked there.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from shardwatch.shard.contract.errors import UsageError
from shardwatch.shard.contract.state.web_section import WebSection

from .layers import short
from .sections import SectionOptions

#: Files.
_FILES: Final = ("socket", "token_file")
_OPTIONS: Final = SectionOptions(switches={}, values={"host": str, "port": int}, others=_FILES)


def web_section_of(section: object, origin: str, base: Path) -> WebSection:
    """The section of a file that lies in `base`. Raises UsageError, which names what is wrong."""
    where = f"{origin}: [web]"
    if not isinstance(section, dict):
        raise UsageError(f"{origin}: web is no section", hint="write [web]")
    named = {option: value for option, value in section.items() if option not in _FILES}
    arguments = _OPTIONS.arguments(named, where)
    files: dict[str, bytes] = {}
    for option in _FILES:
        if option in section:
            files[option] = _file(option, section[option], where, base)
    return WebSection(arguments=tuple(arguments), **files)


def _file(option: str, name: object, where: str, base: Path) -> bytes:
    if not isinstance(name, str) or not name or "\0" in name:
        raise UsageError(f"{where}: {option} = {short(name)} must be a text")
    return os.fsencode(os.path.abspath(base / Path(name).expanduser()))
