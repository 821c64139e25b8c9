"""Show the running service on the terminal, again and again: shards, groups, programs, what is not watched, recent files.

Keys: 1 to 6 choose a table, s sorts it by the next column, / filters it, r restarts the shard or program in whose row the cursor
is, q and Ctrl-C end it. Needs the extra [top]: pip install 'shardwatch[top]'.
"""

from __future__ import annotations

import argparse
import sys

from ..options import add_config_option, add_state_dir_option


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_config_option(parser)
    add_state_dir_option(parser)


def run(options: argparse.Namespace) -> int:
    from importlib.util import find_spec

    from shardwatch.shard.contract.errors import UsageError

    from ..link.place import running_layout

    if find_spec("textual") is None:
        raise UsageError("`shardwatch top` needs textual", hint="pip install 'shardwatch[top]'")
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError("`shardwatch top` needs a terminal", hint="`shardwatch status` prints the same once")
    layout = running_layout(options)
    from ...top.screen import TopScreen
    from ...top.service_link import ServiceLink

    top = TopScreen(ServiceLink(layout))
    top.run()
    return int(top.return_code or 0)
