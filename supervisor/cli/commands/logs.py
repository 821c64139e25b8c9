"""Print the last lines of the logs of a service, in the order of their times, each with the name of its program.

PROGRAM is what `shardwatch status` calls it: aggregator, coordinator, shards:ID (or only ID), exec:NAME, ship, web; or
supervisord. The logs are those of the state directory, so this works after the service has ended, too. With --follow, later lines
are printed as they come, until Ctrl-C.

With --level, nothing is printed: the programs of the running service log from that level on, from now until the next start or
another --level. `configured` is the `log_level` of the configuration.
"""

from __future__ import annotations

import argparse
import os
import select
from typing import Final

from shardwatch.shard.contract.process.log_entry import ALL, LEVELS

from ..options import add_config_option, add_state_dir_option, whole

LINES: Final = 50
CONFIGURED: Final = "configured"
LINES_MAX: Final = 1_000_000
#: Seconds between two looks at the logs with --follow. Programs write few lines, and each look reads only what is new.
_LOOK_S: Final = 0.5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("programs", nargs="*", metavar="PROGRAM", help="only the logs of these programs (default: all)")
    meaning = f"print the last N lines (default: {LINES})"
    parser.add_argument("-n", "--lines", type=whole, default=LINES, metavar="N", help=meaning)
    parser.add_argument("-f", "--follow", action="store_true", help="go on with later lines, until Ctrl-C")
    meaning = "change the least level that is logged while the service runs: debug, info, warning, error, or configured"
    parser.add_argument("--level", choices=[*LEVELS, CONFIGURED], metavar="LEVEL", help=meaning)
    add_config_option(parser)
    add_state_dir_option(parser)


def run(options: argparse.Namespace) -> int:
    return _print(options) if options.level is None else _set_level(options)


def _set_level(options: argparse.Namespace) -> int:
    """Has programs of the running service log from another level on."""
    import xmlrpc.client

    import msgspec

    from shardwatch.shard.contract.errors import ServiceError, UsageError
    from shardwatch.shard.contract.input.shown import shown
    from shardwatch.shard.contract.process.log_choice import read_levels
    from shardwatch.shard.contract.state.directory import write_private
    from shardwatch.shard.contract.version import UPGRADED

    from ...service.control import NO_ANSWER, supervisord
    from ...service.program_findings import program_name
    from ...service.service import programs
    from ..link.place import running_layout

    layout = running_layout(options)
    known = {program_name(row).removeprefix("shards:"): program_name(row) for row in programs(layout)}
    known |= {name: name for name in (*known.values(), "supervisord")}
    for name in options.programs:
        if name not in known:
            raise UsageError(f"there is no program {shown(name)}", hint=f"there are {', '.join(sorted({*known.values()}))}")
    wanted = [known[name] for name in options.programs] or [ALL]
    levels = read_levels(layout) if options.programs else {}
    for name in wanted:
        levels.pop(name, None)
        if options.level != CONFIGURED:
            levels[name] = options.level
    write_private(layout.log_levels, msgspec.json.encode(levels))
    try:
        with supervisord(layout.supervisor_socket) as proxy:
            proxy.shards.relog()
    except NO_ANSWER as error:
        raise ServiceError(f"supervisord does not answer: {error}", hint="`shardwatch status` says more") from error
    except xmlrpc.client.Fault as fault:
        raise ServiceError(f"supervisord refuses: {fault.faultString}", hint=UPGRADED) from fault
    return 0


def _print(options: argparse.Namespace) -> int:
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
