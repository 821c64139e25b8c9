"""Return once every group, or each NAME, has acknowledged every change that was made before this call: before the service is
stopped for maintenance, or before a machine is switched off.
"""

from __future__ import annotations

import argparse
import time

from ..link.synced import add_timeout_option, ask_in_time, check_timeout
from ..options import add_config_option, add_state_dir_option

#: Seconds that the last groups get if the first ones have taken all of the time: they may be done already.
_LEAST_S = 0.5
_HINT = "see `shardwatch groups list` for what is pending and whether workers wait, or give a longer --timeout"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("names", metavar="NAME", nargs="*", help="only these groups (default: all)")
    add_timeout_option(parser)
    add_config_option(parser)
    add_state_dir_option(parser)


def run(options: argparse.Namespace) -> int:
    """The first group that can't be drained ends it: exit code 5 when it takes longer, 6 when paths of it were set aside, or a
    subtree could not be looked at.
    """
    from ...terminal.streams import say

    check_timeout(options)
    deadline = time.monotonic() + options.timeout
    groups = _groups(options)
    for name in groups:
        _wait_for(name, options, deadline)
    if not groups:
        ask_in_time(options, "sync", late="not in sync", hint=_HINT)
        say("shardwatch: there are no groups; every change made so far is in the index")
    return 0


def _groups(options: argparse.Namespace) -> list[str]:
    """The groups that are asked for. Raises UsageError for one that is not there."""
    from shardwatch.shard.contract.errors import UsageError
    from shardwatch.shard.contract.input.shown import shown

    from ..link.asking import asking

    with asking(options) as ask:
        known = [str(group["name"]) for group in ask("groups")["groups"]]
    for name in options.names:
        if name not in known:
            raise UsageError(f"there is no group {shown(name)}", hint="see `shardwatch groups list`")
    return [name for name in known if name in options.names or not options.names]


def _wait_for(name: str, options: argparse.Namespace, deadline: float) -> None:
    """Raises ServiceError and ServiceTimeoutError with the name of the group."""
    from shardwatch.shard.contract.errors import ServiceError, ServiceTimeoutError
    from shardwatch.shard.contract.input.shown import shown

    left = argparse.Namespace(**{**vars(options), "timeout": max(_LEAST_S, round(deadline - time.monotonic(), 1))})
    try:
        ask_in_time(left, "wait", late="not drained", hint=_HINT, group=name)
    except (ServiceError, ServiceTimeoutError) as error:
        raise type(error)(f"group {shown(name)}: {error.message}", hint=error.hint) from None
