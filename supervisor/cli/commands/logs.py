"""Print the last lines of the logs of a service, in the order of their times, each with the name of its program.

PROGRAM is what `shardwatch status` calls it: aggregator, coordinator, shards:ID (or only ID), exec:NAME, ship, web; or
supervisord. The logs are those of the state directory, so this works after the service has ended, too. With --follow, later lines
are printed as they come, until Ctrl-C.
"""

from __future__ import annotations

import argparse
import os
import select
from typing import Final

from ..options import add_config_option, add_state_dir_option

LINES: Final = 50
LINES_MAX: Final = 1_000_000
#: Seconds between two looks at the logs with --follow. Programs write few lines, and each look reads only what is new.
_LOOK_S: Final = 0.5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("programs", nargs="*", metavar="PROGRAM", help="only the logs of these programs (default: all)")
    parser.add_argument("-n", "--lines", type=int, default=LINES, metavar="N", help=f"print the last N lines (default: {LINES})")
    parser.add_argument("-f", "--follow", action="store_true", help="go on with later lines, until Ctrl-C")
    add_config_option(parser)
    add_state_dir_option(parser)


def run(options: argparse.Namespace) -> int:
    from shardwatch.shard.contract.errors import NotRunningError, UsageError
    from shardwatch.shard.contract.input.shown import shown
    from shardwatch.shard.contract.state.directory import StateDirectory

    from ...service.logs import ServiceLogs
    from ...terminal.ends import Ended, Ends
    from ...terminal.log_lines import in_order, text_of
    from ..link.place import state_dir_of

    if not 0 <= options.lines <= LINES_MAX:
        raise UsageError(f"--lines {options.lines} is out of range", hint=f"give 0 to {LINES_MAX:,}")
    place = state_dir_of(options)
    try:
        state = StateDirectory(place, foreign=True)
    except (FileNotFoundError, NotADirectoryError):
        raise NotRunningError(f"there is no state directory {shown(os.fspath(place))}", hint="give --state-dir") from None
    with state, Ends() as ends, ServiceLogs(state, options.programs) as logs:
        found = logs.read()
        if not logs.programs():
            raise UsageError(f"there are no logs in {shown(os.fspath(place))}", hint="no service has run there")
        lines = in_order([logs.older(), *found])
        ends.write(text_of(lines[len(lines) - min(options.lines, len(lines)) :], logs.programs()).encode())
        waiting = select.poll()
        waiting.register(ends.wake_fd, select.POLLIN)
        while options.follow:
            waiting.poll(int(_LOOK_S * 1000))
            try:
                ends.check()
            except Ended as ended:
                if ended.signum is not None:
                    break
                raise
            ends.write(text_of(in_order(logs.read()), logs.programs()).encode())
    return 0
