"""End a hold of the running service. Batches flow again once the changes that were made during it have been looked at."""

from __future__ import annotations

import argparse

from ..options import add_config_option, add_state_dir_option
from .hold import NAME


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--name", metavar="N", default=NAME, help=f"name of the hold, as `status` shows it (default: {NAME})")
    add_config_option(parser)
    add_state_dir_option(parser)


def run(options: argparse.Namespace) -> int:
    """A hold that is over already is no error, but said."""
    from ...terminal.streams import say
    from ..link.asking import asking

    with asking(options) as ask:
        if not ask("unhold", name=options.name)["released"]:
            say(f"shardwatch: there is no hold named {options.name}")
    return 0
