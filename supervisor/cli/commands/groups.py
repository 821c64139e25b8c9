"""List the groups (named consumers) of the running service, show or create one, move one back, start one again from the
beginning, wait for one, or remove one.
"""

from __future__ import annotations

import argparse
import time
from typing import Any

from ..link.synced import add_timeout_option, ask_in_time
from ..options import add_config_option, add_json_option, add_state_dir_option


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_config_option(parser)
    add_state_dir_option(parser)
    verbs = parser.add_subparsers(dest="verb", metavar="list|info|create|rewind|reset|wait|drop", required=True)
    listing = verbs.add_parser("list", help="name, position, backlog and leases of every group")
    add_json_option(listing, "one JSON object with all groups")
    showing = verbs.add_parser("info", help="all that is known of one group, with its leases and the paths that it has set aside")
    add_json_option(showing, "one JSON object: the group as `list --json` has it")
    creating = verbs.add_parser("create", help="create a group, which a pull would do too; its workers may come later")
    creating.add_argument(
        "--from",
        dest="start",
        choices=("now", "start", "fresh"),
        default="now",
        help="where it begins: with later changes only; with every file as created; or the same after a notice to forget "
        "everything (default: now)",
    )
    rewinding = verbs.add_parser("rewind", help="move a group back, so that what has changed since a time or tick comes again")
    resetting = verbs.add_parser("reset", help="start a group again: it is told to drop its mirror, and then receives every file")
    waiting = verbs.add_parser("wait", help="return once a group has acknowledged everything that had changed before this call")
    add_timeout_option(waiting)
    dropping = verbs.add_parser("drop", help="remove a group; a later pull under that name creates a new one")
    for verb in (showing, creating, rewinding, resetting, waiting, dropping):
        verb.add_argument("name", metavar="NAME")
    rewinding.add_argument(
        "to",
        metavar="TICK|TIME",
        help="a tick up to the position of the group; `start`: before every change; or a time: 90s, 10m, 2h or 3d ago, or a date"
        " such as 2026-11-26 or 2026-11-26T09:30",
    )
    # Both places are natural: `groups --state-dir DIR list`, `groups list --state-dir DIR`.
    for verb in (listing, showing, creating, rewinding, resetting, waiting, dropping):
        add_config_option(verb, default=argparse.SUPPRESS)
        add_state_dir_option(verb, default=argparse.SUPPRESS)


def run(options: argparse.Namespace) -> int:
    match options.verb:
        case "list":
            _list(options)
        case "info":
            _info(options)
        case "create":
            _create(options)
        case "rewind":
            _rewind(options)
        case "wait":
            ask_in_time(
                options, "wait", late="not acknowledged", hint="give a longer --timeout; see `shardwatch groups info`",
                group=options.name,
            )  # fmt: skip
        case verb:
            from ..link.asking import asking

            with asking(options) as ask:
                ask(verb, group=options.name)
    return 0


def _list(options: argparse.Namespace) -> None:
    from ..link.asking import asking

    with asking(options) as ask:
        reply = ask("groups")
    groups, holds = reply["groups"], reply["holds"]
    if options.json:
        from ...terminal.lines import print_json

        print_json({"format": 1, "groups": groups, "held": reply["held"], "holds": holds})
        return
    from ...terminal.render import write_text
    from ...terminal.tables import groups_table, holds_text

    write_text(holds_text(holds) + (groups_table(groups) or "no groups yet: `shardwatch pull --group NAME` makes one\n"))


def _info(options: argparse.Namespace) -> None:
    from ..link.asking import asking

    with asking(options) as ask:
        group = _named(ask("groups")["groups"], options.name)
    if options.json:
        from ...terminal.lines import print_json

        print_json({"format": 1, **group})
        return
    from ...terminal.render import write_text
    from ...terminal.tables import group_text, set_aside_text

    write_text(group_text(group) + set_aside_text([group]))


def _create(options: argparse.Namespace) -> None:
    """A group that is there already is no error, but said."""
    from ...terminal.streams import say
    from ..link.asking import asking

    with asking(options) as ask:
        reply = ask("create", group=options.name, **{"from": options.start})
    if reply["existed"]:
        say(f"shardwatch: the group {options.name!r} exists already, and stays where it is")


def _rewind(options: argparse.Namespace) -> None:
    from shardwatch.shard.contract.errors import UsageError
    from shardwatch.shard.contract.input.shown import shown

    from ..amounts import time_before
    from ..link.asking import asking

    tick = _tick(options.to)
    if tick is None:
        at = time_before("TIME", options.to, time.time())
        with asking(options) as ask:
            _say_if_fresh(ask("seek", group=options.name, at=at))
        return
    with asking(options) as ask:
        cursor = int(_named(ask("groups")["groups"], options.name)["cursor"])
        if tick > cursor:
            reason = f"the group {shown(options.name)} has not come to tick {tick} yet, only to {cursor}"
            raise UsageError(reason, hint="a group is moved back, never forward: see `shardwatch groups info`")
        _say_if_fresh(ask("seek", group=options.name, tick=tick))


def _say_if_fresh(reply: dict[str, Any]) -> None:
    from ...terminal.streams import say

    if reply["fresh"]:
        say("shardwatch: deletions after that are not known any more, so the group begins afresh: `fresh`, then every file")


def _tick(text: str) -> int | None:
    """The tick that a user means; None for what may be a time. Raises UsageError for a number that is no tick."""
    from shardwatch.shard.contract.errors import UsageError
    from shardwatch.shard.contract.input.shown import shown

    if text == "start":
        return 0
    if not (text.isascii() and text.isdigit()):
        return None
    if len(text) > 18:
        raise UsageError(f"{shown(text)} is no tick", hint="give a number as events and `groups info` have it, or `start`")
    return int(text)


def _named(groups: list[dict[str, Any]], name: str) -> dict[str, Any]:
    """The group of that name. Raises UsageError."""
    from shardwatch.shard.contract.errors import UsageError
    from shardwatch.shard.contract.input.shown import shown

    group = next((group for group in groups if group["name"] == name), None)
    if group is None:
        raise UsageError(f"there is no group {shown(name)}", hint="see `shardwatch groups list`")
    return group
