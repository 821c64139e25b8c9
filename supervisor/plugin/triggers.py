"""The group `exec`: a program for each command of `exec.json`, which `shardwatch up` writes. Runs inside supervisord.

A program's command line has the name of the section alone. `shardwatch exec --trigger NAME` reads the rest from the same file.
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

from .names import EXEC

#: It stops before all others, which its commands may need.
PRIORITY: Final = 950
#: Seconds until SIGKILL: runs have 3 s to end (`cli.follow.worker.GRACE_S`).
STOP_WAIT_S: Final = 4
_NAME: Final = re.compile(COMMAND_NAME_PATTERN)


def add(supervisord: Supervisor, template: Mapping[str, str]) -> None:
    """Adds the group, if there are such commands; nothing else of them is decided here. A file that can't be read is logged.

    `template`: the options of a program, in which the command and what follows from it are put in.
    """
    options = supervisord.options
    try:
        names = [trigger["name"] for trigger in json.loads(Layout(options.here or ".").triggers.read_bytes())]
        configs = [_config(supervisord, name, template) for name in names if _NAME.fullmatch(name)]
    except FileNotFoundError:
        return
    except (OSError, ValueError, TypeError, KeyError) as error:  # damaged: the rest of the service runs all the same
        options.logger.warn(f"exec: exec.json can't be read: {error!r}")
        return
    supervisord.add_process_group(ProcessGroupConfig(options, EXEC, PRIORITY, configs))


def _config(supervisord: Supervisor, name: str, template: Mapping[str, str]) -> ProcessConfig:
    options = supervisord.options
    parser = UnhosedConfigParser()
    parser.expansions = options.environ_expansions
    section = f"program:{name}"
    parser.add_section(section)
    launch = template["command"].partition(" shardwatch.shard.main")[0]
    changed = {
        "command": f"{launch} shardwatch.supervisor.cli.main exec --trigger {name} --state-dir .",
        "stdout_logfile": f"logs/exec-{name}.log",
        "stopwaitsecs": str(STOP_WAIT_S),
    }
    for option, value in {**template, **changed}.items():
        parser.set(section, option, value)
    (config,) = options.processes_from_section(parser, section, EXEC)
    config.environment = {**(options.configroot.supervisord.environment or {}), **(config.environment or {})}
    return config
