"""Run the whole service in the foreground and print what changes below PATH..., one line per event, until Ctrl-C.

The service uses a temporary state directory, which is removed at the end. If you give a --state-dir, it is kept, and a later
watch continues where this one ended: what changed in between is printed right after ready.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from shardwatch.shard.contract.process.loading import Loading

from ...terminal.streams import output_is_closed
from ..options import (
    add_config_option,
    add_json_option,
    add_state_dir_option,
    add_tree_options,
    watched_tree,
)

if TYPE_CHECKING:
    from ...terminal.ends import Ends


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_tree_options(parser)
    parser.add_argument(
        "--from",
        dest="start",
        choices=("now", "start"),
        help="now: what changes from now on (default); start: every existing file first, as created",
    )
    add_json_option(parser, "one JSON object per line, `ready` first (docs/formats.md)")
    add_config_option(parser)
    add_state_dir_option(parser, "keep the state there, and resume from it (default: temporary)")


def run(options: argparse.Namespace) -> int:
    if output_is_closed():
        return 0
    from ...terminal.ends import Ended, Ends

    with Ends() as ends:
        try:
            _watch(options, ends)
        except Ended:
            pass
    return 0


def _watch(options: argparse.Namespace, ends: Ends) -> None:
    from ..follow.private import private_service

    resolved = watched_tree(options)
    with private_service(options, resolved, ends) as (prepared, child):
        with Loading():
            from ..follow.session import Session  # heavy, and the service is on its way already

        with Session(options, ends, prepared, resolved.settings, child) as session:
            session.run()
