"""Return once every change that was made before this call is in the index, so that a `pull` after it includes them all."""

from __future__ import annotations

import argparse
import time

from ..options import add_config_option, add_state_dir_option

#: Default of --timeout, seconds.
TIMEOUT_S = 60.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--timeout",
        type=float,
        default=TIMEOUT_S,
        metavar="S",
        help=f"give up after S seconds (default: {TIMEOUT_S:g})",
    )
    add_config_option(parser)
    add_state_dir_option(parser)


def run(options: argparse.Namespace) -> int:
    """Exit code 5 when it takes longer, 6 when a subtree could not be looked at in which changes may be hidden."""
    from shardwatch.shard.contract.errors import ServiceError, ServiceTimeoutError, UsageError

    from ...terminal.streams import say
    from ..link.asking import asking

    if not 0 < options.timeout <= 86400:
        raise UsageError(f"--timeout {options.timeout:g} is out of range", hint="give seconds above 0, at most 86400")
    began = time.monotonic()
    try:
        with asking(options, frozenset({"stopping"})) as ask:  # whoever restarts it does not end a sync
            answer = ask("sync", wait_s=options.timeout, timeout_ms=int(options.timeout * 1000))
    except ServiceError as error:
        cause = _cause(options)
        if time.monotonic() - began < options.timeout:
            raise ServiceError(f"{error.message}{cause}", hint=error.hint) from None
        raise ServiceTimeoutError(
            f"not in sync after {options.timeout:g} s: {error.message}{cause}",
            hint="`shardwatch status` shows more" if cause else "give a longer --timeout; `shardwatch status` shows what is busy",
        ) from None
    for path in answer.get("left_out", ()):
        say(f"shardwatch: warning: left out, because it has never been readable: {path}")
    return 0


def _cause(options: argparse.Namespace) -> str:
    """What is wrong with the service, for a sync that failed: where something is, a longer timeout helps nobody."""
    from ...service import checkup
    from ..link.place import running_layout

    errors = [str(finding) for finding in checkup.examine(running_layout(options)).health.findings if finding.level == "error"]
    return f"; {errors[0]}" if errors else ""
