"""The sections `[exec.NAME]` of a configuration file: commands that run with the service, as `shardwatch exec` does.

A section becomes the arguments of that command. What its options may be is checked there.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from shardwatch.shard.contract.errors import UsageError
from shardwatch.shard.contract.limits import COMMAND_NAME_PATTERN
from shardwatch.shard.contract.state.triggers import Trigger

from .layers import short
from .sections import SectionOptions

#: Sections of a file, at most.
SECTIONS_MAX: Final = 50
_NAME: Final = re.compile(COMMAND_NAME_PATTERN)
#: Programs that every service has.
_TAKEN: Final = frozenset({"aggregator", "coordinator", "shards", "exec", "ship"})
_OPTIONS: Final = SectionOptions(
    switches={
        "initial": (("--initial",), ()),
        "prefix": (("--prefix",), ()),
        "retry": ((), ("--no-retry",)),
    },
    values={
        "group": str,
        "batch": int,
        "jobs": int,
        "input": str,
        "timeout": (int, float),
        "on": str,
        "stop_signal": str,
    },
    others=("command",),
)


def triggers_of(sections: object, origin: str, base: Path) -> tuple[Trigger, ...]:
    """The sections of a file that lies in `base`. Raises UsageError, which names what is wrong."""
    if not isinstance(sections, dict) or not all(isinstance(section, dict) for section in sections.values()):
        raise UsageError(f"{origin}: exec is no table of sections", hint="write [exec.NAME]")
    if len(sections) > SECTIONS_MAX:
        raise UsageError(f"{origin}: {len(sections)} sections [exec.NAME]", hint=f"at most {SECTIONS_MAX} are possible")
    return tuple(_trigger(name, section, origin, base) for name, section in sections.items())


def _trigger(name: str, section: Mapping[str, Any], origin: str, base: Path) -> Trigger:
    where = f"{origin}: [exec.{short(name)[1:-1]}]"
    if _NAME.fullmatch(name) is None or name in _TAKEN:
        hint = f"use up to 40 letters, digits, -, _ and ., and none of {', '.join(sorted(_TAKEN))}"
        raise UsageError(f"{where} has no valid name", hint=hint)
    command = section.get("command")
    if not isinstance(command, list) or not command or not all(isinstance(word, str) and "\0" not in word for word in command):
        hint = 'give the program and its arguments, as in command = ["ruff", "check", "{}"]'
        raise UsageError(f"{where}: command is no list of texts", hint=hint)
    options = {"group": name, **{option: value for option, value in section.items() if option != "command"}}
    arguments = _OPTIONS.arguments(options, where)
    return Trigger(name=name, arguments=(*arguments, "--", *command), directory=os.fsencode(base))
