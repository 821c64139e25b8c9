"""The names of an option where it is set: its environment variable, and its name on the command line."""

from __future__ import annotations

from typing import Any, Final

from shardwatch.shard.contract.state.options import Choice, Directory, Number, Option, Paths, Patterns, Switch, Whole

ENV_PREFIX: Final = "SHARDWATCH_"
#: Names the configuration file; wins over the search upwards, loses against `-c`.
ENV_FILE: Final = ENV_PREFIX + "CONFIG"
#: No options: what a command that `exec` runs finds in its environment, so that it can run ours.
RUN_VARIABLES: Final = tuple(ENV_PREFIX + name for name in ("RUN", "GROUP", "BATCH", "ATTEMPT", "KINDS"))

#: The same: in which runs that command was started, where it was started by another one.
WITHIN_VARIABLE: Final = ENV_PREFIX + "WITHIN"


def variable(option: Option[Any]) -> str:
    """Its environment variable."""
    return ENV_PREFIX + option.name.upper()


def flag(option: Option[Any]) -> str:
    """How it begins on the command line. A switch that is on by default is there to be turned off."""
    if option.flag:
        return f"--{option.flag}"
    negation = "no-" if isinstance(option.kind, Switch) and option.default else ""
    return f"--{negation}{option.name.replace('_', '-')}"


def metavar(option: Option[Any]) -> str:
    """What stands for its value on the command line; "" for a switch."""
    match option.kind:
        case Paths():
            return "PATH"
        case Patterns():
            return "GLOB"
        case Directory():
            return "DIR"
        case Whole() | Number():
            return "N"
        case Choice():
            return "NAME"
        case _:
            return ""


def default_text(option: Option[Any]) -> str:
    """Its default as a person would write it."""
    match option.default:
        case None:
            return "$XDG_STATE_HOME/shardwatch/ID"
        case bool() as value:
            return str(value).lower()
        case tuple() as value:
            return ", ".join(value) or "none"
        case {}:
            return "none"
        case float() as value if value.is_integer():
            return str(int(value))
        case value:
            return str(value)
