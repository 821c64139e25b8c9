"""Requests that wait until something that was done before is in the index, or further on: `sync`, and `groups wait`."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from typing import Any, Final

from ..options import number
from .asking import asking

#: Default of --timeout, seconds.
TIMEOUT_S: Final = 60.0


def add_timeout_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--timeout", type=number, default=TIMEOUT_S, metavar="S", help=f"give up after S seconds (default: {TIMEOUT_S:g})"
    )


def check_timeout(options: argparse.Namespace) -> None:
    """Raises UsageError for a --timeout that is out of range."""
    from shardwatch.shard.contract.errors import UsageError

    if not 0 < options.timeout <= 86400:
        raise UsageError(f"--timeout {options.timeout:g} is out of range", hint="give seconds above 0, at most 86400")


def ask_in_time(options: argparse.Namespace, op: str, late: str, hint: str, **fields: Any) -> None:
    """Asks, and waits for `options.timeout` seconds. Warns of what was left out.

    Args:
        late: what did not happen in time, for the error.
        hint: what helps if the service itself is well.

    Raises ServiceTimeoutError where it takes longer, ServiceError where it cannot be done, UsageError.
    """
    from shardwatch.aggregator.client.replies import RequestError
    from shardwatch.shard.contract.errors import ServiceError, ServiceTimeoutError

    from ...terminal.streams import say

    check_timeout(options)
    began = time.monotonic()
    try:
        with asking(options, frozenset({"stopping"})) as ask:  # whoever restarts it does not end this
            answer = ask(op, wait_s=options.timeout, timeout_ms=int(options.timeout * 1000), **fields)
    except ServiceError as error:
        subtrees = error.fields.get("subtrees") if isinstance(error, RequestError) else None
        cause = cause_of(error.message, _found(options), subtrees or ())
        if time.monotonic() - began < options.timeout:
            raise ServiceError(f"{error.message}{cause}", hint=error.hint) from None
        raise ServiceTimeoutError(
            f"{late} after {options.timeout:g} s: {error.message}{cause}",
            hint="`shardwatch status` shows more" if cause else hint,
        ) from None
    for path in answer.get("left_out", ()):
        say(f"shardwatch: warning: left out, because it has never been readable: {path}")


def _found(options: argparse.Namespace) -> list[str]:
    """What is wrong with the service, for a request that failed: where something is, a longer timeout helps nobody."""
    from ...service import checkup
    from .place import running_layout

    return [str(finding) for finding in checkup.examine(running_layout(options)).health.findings if finding.level == "error"]


def cause_of(said: str, found: Sequence[str], subtrees: Sequence[str]) -> str:
    """Why a request failed, to be appended to what the service says of it. Pure.

    Args:
        said: what the service says of it, which is not said once more.
        found: what is wrong with the service, in words.
        subtrees: paths that the service names. It may not have told of them in its status yet, for two seconds.
    """
    if found or not subtrees:
        more_found = [one for one in found if not one.startswith(said)]
        return f"; {more_found[0]}" if more_found else ""
    from ...planning.named import shown_path

    more = len(subtrees) - 1
    others = f" and {more} other {'subtree' if more == 1 else 'subtrees'}" if more else ""
    return f": {shown_path(subtrees[0].encode(errors='surrogateescape'))}{others}"
