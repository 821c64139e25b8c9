"""Run the whole service in the foreground and print what changes below PATH..., one line per event, until Ctrl-C.

The service uses a temporary state directory, which is removed at the end. If you give a --state-dir, it is kept, and a later
watch continues where this one ended: what changed in between is printed right after ready.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Final

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

#: Seconds that the service may take to end (its programs get 1 + 1 + 2 s), of the 5 s that the whole command may take to.
STOP_S: Final = 4.5


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
    with Loading():
        from ...service.child import ChildService
        from ...service.state_dir import prepare
        from ...service.temporary import make_temporary, remove_temporary

    resolved = watched_tree(options)
    settings, state_dir = resolved.settings, resolved.state_dir
    ephemeral = not options.state_dir
    if ephemeral:
        state_dir = make_temporary("give --state-dir DIR")
    try:
        ends.check()
        prepared = prepare(state_dir, settings)
        child = ChildService(prepared.layout, follow=True, ephemeral=ephemeral, claim=prepared.claim)
        try:
            with Loading():
                from ..follow.session import Session  # heavy, and the service is on its way already

            with Session(options, ends, prepared, settings, child) as session:
                session.run()
        finally:
            child.stop(STOP_S)
    finally:
        if ephemeral:
            remove_temporary(state_dir)
