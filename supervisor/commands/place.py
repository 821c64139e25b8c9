"""Which service a command means."""

from __future__ import annotations

import argparse
from pathlib import Path

from shardwatch.shard.contract.errors import NotRunningError, UsageError
from shardwatch.shard.contract.layout import Layout
from shardwatch.supervisor.commands.tree_options import effective_options


def state_dir_of(options: argparse.Namespace) -> Path:
    """--state-dir, else what the configuration (file, environment, default) says. Nothing is created.

    Raises UsageError where it lies on a filesystem that does not answer.
    """
    from shardwatch.supervisor.scouting import check_state_dir

    if options.state_dir == "":
        raise UsageError("--state-dir is empty", hint="give a directory")
    if options.state_dir is not None and options.config_file is None:
        state_dir = Path(options.state_dir).absolute()
    else:
        overrides = {} if options.state_dir is None else {"state_dir": options.state_dir}
        state_dir = effective_options(options, overrides).state_dir
    check_state_dir(state_dir)
    return state_dir


def running_layout(options: argparse.Namespace) -> Layout:
    """The layout of the service that runs there. Raises NotRunningError.

    Whether it also answers, the first question will tell.
    """
    from shardwatch.supervisor import service
    state_dir = state_dir_of(options)
    layout = Layout(state_dir)
    if not service.running(layout):
        raise not_running(state_dir)
    return layout


def not_running(state_dir: Path) -> NotRunningError:
    return NotRunningError(
        f"no service runs in {state_dir}",
        hint="start one with `shardwatch up PATH...`, or name another place with --state-dir",
    )
