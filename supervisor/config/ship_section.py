"""The section `[ship]` of a configuration file: what is shipped as long as the service runs, as `shardwatch ship` does it.

The section becomes the arguments of that command. What its options may be is checked there.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from shardwatch.shard.contract.errors import UsageError
from shardwatch.shard.contract.state.ship_section import ShipSection

from .layers import short
from .sections import SectionOptions

#: The argument without a name.
_URL: Final = "url"
#: Files.
_FILES: Final = ("credentials", "authority", "certificate", "key")
_OPTIONS: Final = SectionOptions(
    switches={"create": (("--create",), ())},
    values={
        "stream": str, "prefix": str, "source": str, "partitions": int, "layout": str, "keep_s": int, "keep_bytes": int,
        "replicas": int, "group": str,
    },
    others=(_URL, *_FILES),
)


def ship_section_of(section: object, origin: str, base: Path) -> ShipSection:
    """The section of a file that lies in `base`. Raises UsageError, which names what is wrong."""
    where = f"{origin}: [ship]"
    if not isinstance(section, dict):
        raise UsageError(f"{origin}: ship is no section", hint="write [ship]")
    named = {option: value for option, value in section.items() if option not in _OPTIONS.others}
    arguments = _OPTIONS.arguments(named, where)
    for option in _OPTIONS.others:
        value = section.get(option, "-")
        if not isinstance(value, str) or not value or "\0" in value:
            raise UsageError(f"{where}: {option} = {short(value)} must be a text")
    if _URL in section:
        arguments.append(_url(section[_URL], where))
    files = {option: _file(section[option], base) for option in _FILES if option in section}
    if "key" in files and "certificate" not in files:
        raise UsageError(f"{where}: key is that of no certificate", hint="name the file of the certificate with certificate")
    return ShipSection(arguments=tuple(arguments), **files)


def _url(url: str, where: str) -> str:
    """Raises UsageError where it has credentials, which it does not show."""
    if "@" in url:
        hint = f"name a file with credentials; or leave out {_URL}, and put it into NATS_URL in the environment of `up`"
        raise UsageError(f"{where}: the url has credentials, which do not belong into this file", hint=hint)
    if url.startswith("-"):
        raise UsageError(f"{where}: {short(url)} is no URL of a NATS server", hint="give it like nats://host:4222")
    return url


def _file(name: str, base: Path) -> bytes:
    return os.fsencode(os.path.abspath(base / Path(name).expanduser()))
