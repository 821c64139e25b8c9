"""List the paths that were set aside because each attempt failed (dead letters), show what was said about them, hand them out
again, or drop them.

PATH is a path that was set aside, or a directory above some. Without PATH all of them are meant, and without --group those of
every group. `show` prints also the end of the output of the run that failed. `retry` hands a path out again, as if it had never
failed. `drop` acknowledges it: it comes again when the file changes.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from ..options import add_config_option, add_json_option, add_state_dir_option

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ..link.asking import AskService


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_config_option(parser)
    add_state_dir_option(parser)
    verbs = parser.add_subparsers(dest="verb", metavar="list|show|retry|drop", required=True)
    listing = verbs.add_parser("list", help="one line for each path: when, group, kind, path, reason")
    showing = verbs.add_parser("show", help="the same, with the end of the output of the run that failed")
    retrying = verbs.add_parser("retry", help="hand them out again, as if they had never failed")
    dropping = verbs.add_parser("drop", help="acknowledge them; needs --group or a PATH")
    for verb in (listing, showing):
        add_json_option(verb, "one JSON object per line (docs/formats.md)")
    for verb in (retrying, dropping):
        add_json_option(verb, "one JSON object: the number of paths")
    for verb in (listing, showing, retrying, dropping):
        verb.add_argument("--group", metavar="G", help="only those of this group")
        verb.add_argument("paths", nargs="*", metavar="PATH", help="only this one, and what is below it")
        # Both places are natural, as for `groups`.
        add_config_option(verb, default=argparse.SUPPRESS)
        add_state_dir_option(verb, default=argparse.SUPPRESS)


def run(options: argparse.Namespace) -> int:
    from shardwatch.shard.contract.errors import UsageError

    from ..link.asking import asking

    if options.verb == "drop" and options.group is None and not options.paths:
        raise UsageError("it is not said what to drop", hint="give a PATH, or --group G for all of a group")
    with asking(options) as ask:
        if options.verb in ("list", "show"):
            _print(options, ask)
        else:
            _end(options, ask)
    return 0


def _print(options: argparse.Namespace, ask: AskService) -> None:
    """Raises UsageError for a path to be shown that is not set aside."""
    from ...terminal.lines import print_json_lines
    from ...terminal.render import write_text
    from ...terminal.tables import dead_letter_line, dead_letter_text

    as_text = dead_letter_text if options.verb == "show" else dead_letter_line
    found: set[str] = set()
    groups = _groups(options, ask)
    for path in options.paths or [None]:
        for group in groups:
            for page in _pages(ask, group, path, output=options.verb == "show"):
                letters = [{"type": "dead", "group": group, **letter} for letter in page]
                found.update([path or ""] if letters else [])
                if options.json:
                    print_json_lines(letters)
                else:
                    write_text("".join(map(as_text, letters)))
    if options.verb == "show":
        _check_found(options.paths, found)
    if not found and not options.json:
        write_text("nothing is set aside there\n" if options.paths else "no path is set aside\n")


def _end(options: argparse.Namespace, ask: AskService) -> None:
    """Raises UsageError for a path that is not set aside; the others are handed out again, or dropped, all the same."""
    from ...terminal.lines import print_json
    from ...terminal.render import counted, write_text

    op = "retry" if options.verb == "retry" else "discard"
    found: set[str] = set()
    count = 0
    for group in _groups(options, ask):
        for path in options.paths or [None]:
            fields: dict[str, Any] = {} if path is None else {"paths_b64": _places(path)}
            paths = int(ask(op, group=group, **fields)["paths"])
            count += paths
            found.update([path] if paths and path is not None else [])
    if options.json:
        print_json({"format": 1, "paths": count})
    else:
        write_text(f"{counted(count, 'path')} {'handed out again' if op == 'retry' else 'dropped'}\n")
    _check_found(options.paths, found)


def _groups(options: argparse.Namespace, ask: AskService) -> list[str]:
    """The groups that may have set something aside."""
    if options.group is not None:
        return [options.group]
    return [str(group["name"]) for group in ask("groups")["groups"] if group["parked_paths"]]


def _pages(ask: AskService, group: str, path: str | None, *, output: bool) -> Iterator[list[dict[str, Any]]]:
    """What the group has set aside at the path and below it, in parts."""
    for place in [None] if path is None else _places(path):
        fields: dict[str, Any] = {} if place is None else {"path_b64": place}
        while True:
            reply = ask("dead", group=group, output=output, **fields)
            yield reply["dead"]
            if reply["after_b64"] is None:
                break
            fields["after_b64"] = reply["after_b64"]


def _places(path: str) -> list[str]:
    """What a user may mean by a path, in base64: the path from / on, and the one without links, if that is another."""
    import os
    from base64 import b64encode

    from ...host.scouting import Scouts

    exact = os.path.abspath(os.fsencode(path))
    with Scouts() as scouts:
        places = dict.fromkeys((exact, os.path.normpath(scouts.real(exact))))
    return [b64encode(place).decode("ascii") for place in places]


def _check_found(paths: Sequence[str], found: set[str]) -> None:
    from shardwatch.shard.contract.errors import UsageError
    from shardwatch.shard.contract.input.shown import shown

    for path in paths:
        if path not in found:
            raise UsageError(f"nothing is set aside at {shown(path)}", hint="see `shardwatch dead list`")
