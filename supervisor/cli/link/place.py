"""Determines which service a command refers to."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from shardwatch.shard.contract.errors import NotRunningError, UsageError
from shardwatch.shard.contract.state.layout import Layout
from shardwatch.shard.contract.state.options import STATE_DIR

from ...config.names import variable
from ..options import resolve_options

#: Running services that an error message names.
_TOLD_MAX = 5


def state_dir_of(options: argparse.Namespace, about: bytes | None = None) -> Path:
    """--state-dir, else what the configuration (file, environment) says, else that of the service that watches the path `about`,
    else that of the service that watches something of the working directory. Nothing is created.

    Raises UsageError, also where it lies on a filesystem that does not answer, and NotRunningError where no service does that.
    """
    from ...host.scouting import check_state_dir

    if options.state_dir == "":
        raise UsageError("--state-dir is empty", hint="give a directory")
    if options.state_dir is not None and options.config_file is None:
        state_dir = Path(options.state_dir).absolute()
    else:
        state_dir = _found(options, about)
    check_state_dir(state_dir)
    return state_dir


def _found(options: argparse.Namespace, about: bytes | None) -> Path:
    """See `state_dir_of`, where the configuration has a say."""
    from ...config.default_place import default_state_dir
    from .nearby import service_about

    overrides = {} if options.state_dir is None else {"state_dir": options.state_dir}
    found = resolve_options(options, overrides)
    named = overrides or found.settings.roots or os.environ.get(variable(STATE_DIR))
    if named or found.state_dir != default_state_dir(os.environ):
        return found.state_dir
    try:
        cwd = os.getcwdb()
    except FileNotFoundError:
        raise not_running("the working directory was removed, so that no service watches anything of it") from None
    for path in (cwd,) if about is None else (os.path.join(cwd, about), cwd):
        place = service_about(found.state_dir, path)
        if place is not None:
            return place
    raise not_running(f"no service watches anything of {cwd.decode(errors='replace')}")


def running_layout(options: argparse.Namespace) -> Layout:
    """The layout of the service that runs there. Raises NotRunningError.

    Whether it also answers, the first question will tell.
    """
    from ...service import service
    state_dir = state_dir_of(options)
    layout = Layout(state_dir)
    if not service.running(layout):
        raise not_running(f"no service runs in {state_dir}")
    return layout


def not_running(message: str) -> NotRunningError:
    """The error that says so, and which services of this user's do run."""
    from ...config.default_place import default_state_dir
    from .nearby import running_services

    try:
        there = list(running_services(default_state_dir(os.environ)))
    except UsageError:
        there = []
    hint = "start one with `shardwatch up PATH...`, or name another place with --state-dir"
    if there:
        hint += f"; running: {', '.join(map(str, there[:_TOLD_MAX]))}"
    return NotRunningError(message, hint=hint)
