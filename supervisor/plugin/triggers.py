"""The programs of the configuration, as `shardwatch up` wrote them down: the group `exec` has one for each command of
`exec.json`, `ship` runs if there is a `ship-section.json`, and `web` if there is a `web-section.json`. Runs inside supervisord.

The command line of a program names its section alone. `shardwatch exec`, `ship` and `web` read the rest from the same files.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Final

from supervisor.options import ProcessConfig, ProcessGroupConfig, UnhosedConfigParser
from supervisor.supervisord import Supervisor

from shardwatch.shard.contract.limits import COMMAND_NAME_PATTERN
from shardwatch.shard.contract.state.layout import Layout

from .names import EXEC, SHIP, WEB

#: They stop before all others, which their commands may need.
PRIORITY: Final = 950
SHIP_PRIORITY: Final = 940
WEB_PRIORITY: Final = 930
#: Seconds until SIGKILL: runs have 3 s to end (`cli.follow.runner.GRACE_S`).
STOP_WAIT_S: Final = 4
#: The same for `ship`, which has nothing to end: what is not confirmed is published again.
SHIP_STOP_WAIT_S: Final = 1
#: The same for `web`, whose requests in progress get 2 s (`supervisor.web.server`).
WEB_STOP_WAIT_S: Final = 3
_NAME: Final = re.compile(COMMAND_NAME_PATTERN)
#: What a damaged file of JSON raises when it is read; the last one where it is nested too deeply.
UNREADABLE: Final = (OSError, ValueError, LookupError, TypeError, RecursionError)


def add(supervisord: Supervisor, template: Mapping[str, str]) -> list[tuple[str, str]]:
    """Adds the programs that are not there yet to their groups; nothing else of them is decided here. A file that can't be read
    is logged.

    `template`: the options of a program, in which the command and what follows from it are put in. Returns group and name of
    those that were there already: they may have been told to leave.
    """
    options = supervisord.options
    layout = Layout(options.here or ".")
    there: list[tuple[str, str]] = []
    if layout.ship_section.exists():
        config = _config(supervisord, SHIP, SHIP, template, "ship --section", SHIP, SHIP_STOP_WAIT_S)
        there += _add(supervisord, SHIP, SHIP_PRIORITY, [config])
    if layout.web_section.exists():
        config = _config(supervisord, WEB, WEB, template, "web --section", WEB, WEB_STOP_WAIT_S)
        there += _add(supervisord, WEB, WEB_PRIORITY, [config])
    commands = _commands(supervisord, template, layout)
    if commands:
        there += _add(supervisord, EXEC, PRIORITY, commands)
    return there


def _commands(supervisord: Supervisor, template: Mapping[str, str], layout: Layout) -> list[ProcessConfig]:
    """One program for each command of `exec.json`; none where there is no such file, or it can't be read."""
    try:
        names = [trigger["name"] for trigger in json.loads(layout.triggers.read_bytes())]
        return [
            _config(supervisord, EXEC, name, template, f"exec --trigger {name}", f"exec-{name}", STOP_WAIT_S)
            for name in names
            if _NAME.fullmatch(name)
        ]
    except FileNotFoundError:
        return []
    except UNREADABLE as error:  # damaged: the rest of the service runs all the same
        supervisord.options.logger.warn(f"exec: exec.json can't be read: {error!r}")
        return []


def _add(supervisord: Supervisor, name: str, priority: int, configs: list[ProcessConfig]) -> list[tuple[str, str]]:
    """Adds programs to a group, which is made if it is not there. Returns group and name of those that were there already."""
    group = supervisord.process_groups.get(name)
    if group is None:
        supervisord.add_process_group(ProcessGroupConfig(supervisord.options, name, priority, configs))
        return []
    there = []
    for config in configs:
        if config.name not in group.processes:
            group.config.process_configs.append(config)
            group.processes[config.name] = config.make_process(group)  # STOPPED and autostart: the next pass starts it
        else:
            there.append((name, config.name))
    return there


def _config(
    supervisord: Supervisor, group: str, name: str, template: Mapping[str, str], command: str, log: str, stop_wait_s: int
) -> ProcessConfig:
    """`command`: what the command line of shardwatch is given."""
    options = supervisord.options
    parser = UnhosedConfigParser()
    parser.expansions = options.environ_expansions
    section = f"program:{name}"
    parser.add_section(section)
    launch = template["command"].partition(" shardwatch.shard.main")[0]
    changed = {
        "command": f"{launch} shardwatch.supervisor.cli.main {command} --state-dir .",
        "stdout_logfile": f"logs/{log}.log",
        "stopwaitsecs": str(stop_wait_s),
    }
    for option, value in {**template, **changed}.items():
        parser.set(section, option, value)
    (config,) = options.processes_from_section(parser, section, group)
    config.environment = {**(options.configroot.supervisord.environment or {}), **(config.environment or {})}
    return config
