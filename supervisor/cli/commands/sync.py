"""Return once every change that was made before this call is in the index, so that a `pull` after it includes them all."""

from __future__ import annotations

import argparse

from ..link.synced import add_timeout_option, ask_in_time
from ..options import add_config_option, add_state_dir_option


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_timeout_option(parser)
    add_config_option(parser)
    add_state_dir_option(parser)


def run(options: argparse.Namespace) -> int:
    """Exit code 5 when it takes longer, 6 when a subtree could not be looked at in which changes may be hidden."""
    ask_in_time(
        options, "sync", late="not in sync", hint="give a longer --timeout; `shardwatch status` shows what is busy"
    )
    return 0
