"""Return once every change that was made before this command was called is in the index: a `pull` after it sees them all."""

from __future__ import annotations

import argparse

from shardwatch.supervisor.commands.tree_options import add_config_option, add_state_dir_option

#: Default of --timeout, seconds.
TIMEOUT_S = 60.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--timeout", type=float, default=TIMEOUT_S, metavar="S", help=f"give up after S seconds (default: {TIMEOUT_S:g})"
    )
    add_config_option(parser)
    add_state_dir_option(parser)


def run(options: argparse.Namespace) -> int:
    """Exit code 5 when it takes longer, 6 when a subtree could not be looked at."""
    from shardwatch.shard.contract.errors import ServiceError, ServiceTimeoutError, UsageError
    from shardwatch.supervisor.commands.asking import asking
    from shardwatch.supervisor.render import readable

    if not 0 < options.timeout <= 86400:
        raise UsageError(f"--timeout {options.timeout:g} is out of range", hint="give seconds above 0, at most 86400")
    with asking(options) as ask:
        reply = ask("sync", wait_s=options.timeout, timeout_ms=int(options.timeout * 1000))
    result = reply.get("result") or reply
    if result.get("error") == "timeout":
        raise ServiceTimeoutError(
            f"not in sync after {options.timeout:g} s", hint="give a longer --timeout; `shardwatch status` shows what is busy"
        )
    subtrees = [readable(str(s)) for s in result.get("subtrees") or []]
    if subtrees:
        raise ServiceError(
            f"in sync, save for what could not be looked at: {', '.join(subtrees)}", hint="`shardwatch status` has the remedies"
        )
    return 0
