"""Take events for a group from the running service, print them, and acknowledge each batch once it is printed.

A group is a named consumer with its own position. If it does not exist yet, it is created. It then begins now, with later
changes only, or with `--from start` at the beginning, with every existing file as created.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from ...terminal.streams import output_is_closed, say
from ..options import add_config_option, add_json_option, add_state_dir_option, number, whole

if TYPE_CHECKING:
    from shardwatch.shard.contract.state.layout import Layout

    from ...terminal.ends import Ends

#: Default of --wait, seconds.
WAIT_S = 1.0
#: Largest --max: 32 bits with a sign.
EVENTS_MAX = 2**31 - 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--group", required=True, metavar="G", help="name of the group; created if it does not exist")
    parser.add_argument(
        "--from",
        dest="start",
        choices=("now", "start", "fresh"),
        help="where a new group begins, as for `groups create` (default: now); ignored, with a warning, if the group exists",
    )
    parser.add_argument(
        "--max",
        type=whole,
        metavar="N",
        help="print at most N events; with --follow: at most N per batch (default: all that is pending, in batches of 1000)",
    )
    parser.add_argument("--wait", type=number, metavar="S", help=f"seconds to wait if nothing is pending (default: {WAIT_S:g})")
    parser.add_argument("--follow", action="store_true", help="continue without end, also across restarts of the service")
    parser.add_argument("--no-ack", action="store_true", help="show one batch without acknowledging it (not with --follow)")
    add_json_option(parser, "one JSON object per line (docs/formats.md)")
    add_config_option(parser)
    add_state_dir_option(parser)


def run(options: argparse.Namespace) -> int:
    from shardwatch.shard.contract.errors import UsageError
    from shardwatch.shard.contract.input.shown import shown

    from ...terminal.ends import Ends

    if options.max is not None and not 1 <= options.max <= EVENTS_MAX:
        raise UsageError(f"--max {shown(options.max)} is no number of events", hint=f"give 1 to {EVENTS_MAX}")
    if options.wait is not None and not 0 <= options.wait <= 86400:
        raise UsageError(f"--wait {options.wait:g} is out of range", hint="give seconds from 0 to 86400")
    if options.no_ack and options.follow:
        raise UsageError("--no-ack with --follow would print the same batch for ever", hint="leave one of them out")
    if output_is_closed():
        return 0
    with Ends() as ends:
        _pull(options, ends)
    return 0


def _pull(options: argparse.Namespace, ends: Ends) -> None:
    from shardwatch.aggregator.protocol.codes import RETRYABLE

    from ...terminal.ends import Ended
    from ...terminal.lines import Printer
    from ..follow.puller import BATCH_MAX, Puller
    from ..link.connection import ServiceConnection
    from ..link.place import running_layout

    layout = running_layout(options)
    _say_what_is_missing(layout, patient=options.follow)
    wait_s = WAIT_S if options.wait is None else options.wait
    with ServiceConnection(layout, asked_again=RETRYABLE if options.follow else frozenset()) as connection:
        puller = Puller(connection, Printer(ends, as_json=options.json), ends, group=options.group, start=options.start)
        if options.no_ack:
            puller.take(options.max or BATCH_MAX, wait_s, peek=True)
            return
        try:
            if options.follow:
                puller.follow(options.max or BATCH_MAX)
            else:
                puller.drain(options.max, wait_s)
        except (Ended, OSError):  # OSError: standard output refuses, as a full disk does
            puller.release()
            raise


def _say_what_is_missing(layout: Layout, *, patient: bool) -> None:
    """On standard error, what can't be in any batch now: of a part that is not watched nothing comes, and that is no quiet.

    Raises NotRunningError where an operator has stopped the aggregator, unless `patient`.
    """
    from shardwatch.shard.contract.errors import NotRunningError

    from ...service import checkup

    seen = checkup.examine(layout)
    stopped = any(row["name"] == "aggregator" and row["state"] == "STOPPED" for row in seen.processes)
    for finding in seen.health.findings:
        if finding.key == ("program", "aggregator") and stopped and not patient:
            raise NotRunningError(finding.message, hint=finding.remedy)
        if finding.level == "error":
            say(f"shardwatch: warning: {finding}")
