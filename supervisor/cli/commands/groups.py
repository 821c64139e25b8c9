"""List the groups (named consumers) of the running service, start one again from the beginning, or remove one."""

from __future__ import annotations

import argparse

from ..options import add_config_option, add_json_option, add_state_dir_option


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_config_option(parser)
    add_state_dir_option(parser)
    verbs = parser.add_subparsers(dest="verb", metavar="list|reset|drop", required=True)
    listing = verbs.add_parser("list", help="name, position, backlog and leases of every group")
    add_json_option(listing, "one JSON object with all groups")
    resetting = verbs.add_parser("reset", help="start a group again: it is told to drop its mirror, and then receives every file")
    resetting.add_argument("name", metavar="NAME")
    dropping = verbs.add_parser("drop", help="remove a group; a later pull under that name creates a new one")
    dropping.add_argument("name", metavar="NAME")
    # Both places are natural: `groups --state-dir DIR list`, `groups list --state-dir DIR`.
    for verb in (listing, resetting, dropping):
        add_config_option(verb, default=argparse.SUPPRESS)
        add_state_dir_option(verb, default=argparse.SUPPRESS)


def run(options: argparse.Namespace) -> int:
    from ..link.asking import asking

    if options.verb != "list":
        with asking(options) as ask:
            ask(options.verb, group=options.name)
        return 0
    with asking(options) as ask:
        reply = ask("groups")
    groups, holds = reply["groups"], reply["holds"]
    if options.json:
        from ...terminal.lines import print_json

        print_json({"format": 1, "groups": groups, "held": reply["held"], "holds": holds})
        return 0
    from ...terminal.render import write_text
    from ...terminal.tables import groups_table, holds_text

    write_text(holds_text(holds) + (groups_table(groups) or "no groups yet: `shardwatch pull --group NAME` makes one\n"))
    return 0
