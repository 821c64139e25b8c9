"""Commands that supervisord runs as programs of a service, since a section of its configuration says so."""

from __future__ import annotations

import argparse
import os
from typing import TypeVar

from shardwatch.shard.contract.errors import UsageError
from shardwatch.shard.contract.process import log_choice
from shardwatch.shard.contract.process.life import die_with_parent
from shardwatch.shard.contract.state.layout import Layout

from ...host.log_line import use_log

S = TypeVar("S")


def begin_supervised(options: argparse.Namespace, program: str) -> Layout:
    """Begins a program of the service in `--state-dir`: from now on it ends with supervisord, and logs as is chosen for it."""
    die_with_parent()
    layout = Layout(os.path.abspath(options.state_dir or "."))
    log_choice.follow(layout, program, lambda choice: use_log(program, choice))
    return layout


def demanded(section: S | None, heading: str) -> S:
    """A section of the configuration as the service has it. Raises UsageError where there is none: whoever started the command
    was not supervisord."""
    if section is None:
        raise UsageError(f"there is no [{heading}]", hint="it is for supervisord only")
    return section
