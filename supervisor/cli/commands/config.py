"""Print the effective configuration, and the origin of each value: default, file, environment or command line."""

from __future__ import annotations

import argparse
import os
import shlex
from typing import TYPE_CHECKING, Any

import msgspec

from shardwatch.shard.contract.errors import UsageError
from shardwatch.shard.contract.state.options import EXCLUDE, ROOTS, STATE_DIR

from ...terminal.lines import path_fields, print_json, valid
from ...terminal.render import readable, write_text
from ..options import (
    add_config_option,
    add_json_option,
    add_state_dir_option,
    add_tree_options,
    resolve_tree,
    warn,
)

if TYPE_CHECKING:
    from shardwatch.shard.contract.state.planfile import Plan
    from shardwatch.shard.contract.state.settings import Settings
    from shardwatch.shard.contract.state.web_section import WebSection

    from ...config.resolve import Resolved

#: Characters of a list's line.
WIDTH = 100


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_tree_options(parser)
    parser.add_argument(
        "--check",
        action="store_true",
        help="check it as `up` and `reload` do, also the roots and the commands that it names; print only that it is valid",
    )
    add_json_option(parser, "one JSON object: every option's value and origin")
    add_config_option(parser)
    add_state_dir_option(parser)


def run(options: argparse.Namespace) -> int:
    resolved = resolve_tree(options)
    if resolved.ship is not None:
        from .ship import section_options  # most configurations have none

        section_options(resolved.ship)
    if resolved.web is not None:
        from .web import section_options as web_options

        web_options(resolved.web)
    if options.check:
        warn(_check(resolved))
    values = values_of(resolved)
    file = None if resolved.config_file is None else valid(str(resolved.config_file))
    if options.json:
        sections = {trigger.name: trigger.arguments for trigger in resolved.triggers}
        ship = None if resolved.ship is None else resolved.ship.arguments
        web = None if resolved.web is None else _web_arguments(resolved.web)
        print_json({"format": 1, "config_file": file, "options": values, "exec": sections, "ship": ship, "web": web})
        return 0
    if options.check:
        write_text(f"the configuration is valid ({readable(file) if file else 'there is no configuration file'})\n")
        return 0
    width = max(map(len, values))
    lines = [f"# configuration file: {readable(file or 'none found')}\n"]
    for name, entry in values.items():
        first, *more = _lines(entry["value"])
        lines.append(f"{name:<{width}} = {readable(first)}  # {readable(entry['origin'])}\n")
        lines += [readable(line) + "\n" for line in more]
    for trigger in resolved.triggers:
        lines.append(f"# [exec.{trigger.name}] shardwatch exec {readable(shlex.join(trigger.arguments))}\n")
    if resolved.ship is not None:
        lines.append(f"# [ship] shardwatch ship {readable(shlex.join(resolved.ship.arguments))}\n")
    if resolved.web is not None:
        lines.append(f"# [web] shardwatch web {readable(shlex.join(_web_arguments(resolved.web)))}\n")
    write_text("".join(lines))
    return 0


def checked(resolved: Resolved, before: Settings | None, plan: Plan | None) -> tuple[Settings, list[str]]:
    """What a service with this configuration is to watch, and what should be said of the configuration, a line each.

    Args:
        before: what is watched, or was by the last service of its state directory.
        plan: that of this service.

    Raises UsageError for what can't be watched. Waits for filesystems that may hang for some seconds at most.
    """
    from ...planning.named import with_files
    from ...service.state_dir import check_roots

    if not resolved.settings.roots:
        raise UsageError("no directory to watch", hint="give `roots` in the configuration")
    settings = with_files(resolved.settings, before)
    notes = check_roots(settings, before, plan)
    if resolved.triggers:
        from .exec import unrunnable

        notes += unrunnable(resolved.triggers)
    if resolved.ship is not None:
        from .ship import unshippable

        notes += unshippable(resolved.ship)
    if resolved.web is not None:
        from .web import unservable

        notes += unservable(resolved.web)
    return settings, notes


def _check(resolved: Resolved) -> list[str]:
    """What should be said of a configuration with which a service can be started. Raises UsageError for another one."""
    from shardwatch.shard.contract.state.layout import Layout
    from shardwatch.shard.contract.state.planfile import read_plan
    from shardwatch.shard.contract.state.settings import read_settings

    from ...service.state_dir import check_usable

    layout = Layout(os.path.abspath(resolved.state_dir))
    check_usable(layout)
    try:
        before, plan = read_settings(layout.settings), read_plan(layout.plan)
    except (OSError, msgspec.MsgspecError):  # of no service, or of one that has to begin anew
        before, plan = None, None
    _, notes = checked(resolved, before, plan)
    return notes


def _web_arguments(section: WebSection) -> list[str]:
    """The arguments of `shardwatch web` that the section stands for."""
    named = (("--socket", section.socket), ("--token-file", section.token_file))
    return [*section.arguments, *(f"{option}={valid(os.fsdecode(file))}" for option, file in named if file is not None)]


def _lines(value: Any) -> list[str]:
    """A value as TOML and JSON have it; a long list in several lines."""
    whole = msgspec.json.encode(value).decode()
    if len(whole) <= WIDTH or not isinstance(value, list | tuple):
        return [whole]
    lines = ["["]
    for item in value:
        shown = " " + msgspec.json.encode(item).decode() + ","
        if len(lines) == 1 or len(lines[-1] + shown) > WIDTH:
            lines.append(" ")
        lines[-1] += shown
    return [*lines, "]"]


def values_of(resolved: Resolved) -> dict[str, dict[str, Any]]:
    """Every option in the order of the reference: its value as JSON has it, and where that came from. Pure."""
    values: dict[str, dict[str, Any]] = {}
    for name, value in resolved.values.items():
        if name == EXCLUDE.name:
            value = resolved.settings.exclude  # what is in force: the default patterns and the user's
        elif name == STATE_DIR.name:
            value = valid(str(resolved.state_dir))
        elif name == ROOTS.name:
            value = [path_fields(root) for root in value]
            value = [root["path"] if len(root) == 1 else root for root in value]
        values[name] = {"value": value, "origin": valid(resolved.origins[name])}
    return values
