"""List the roots of the running service, or add or remove some, without stopping it.

A root that is added is scanned, and its files are reported as created. The files of one that is removed are reported as deleted.
Groups and ticks stay as they are, and so does the state directory. What was changed in this way counts again when the service is
started with the same PATHs as before. If the roots of the service are set in a configuration file, change them there and run
`shardwatch reload`.
"""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING

from ..options import add_change_options, add_config_option, add_json_option, add_state_dir_option

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shardwatch.shard.contract.state.layout import Layout
    from shardwatch.shard.contract.state.settings import Settings
    from shardwatch.shard.contract.state.sources import Sources


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_config_option(parser)
    add_state_dir_option(parser)
    verbs = parser.add_subparsers(dest="verb", metavar="list|add|remove", required=True)
    listing = verbs.add_parser("list", help="one line for each root")
    adding = verbs.add_parser("add", help="watch these, too")
    removing = verbs.add_parser("remove", help="watch these no longer")
    add_json_option(listing, "one JSON object (docs/formats.md)")
    for verb in (adding, removing):
        verb.add_argument("paths", nargs="+", metavar="PATH", help="directory or file")
        add_change_options(verb)
        add_json_option(verb, "one JSON object, as of `reload` (docs/formats.md)")
    for verb in (listing, adding, removing):
        # Both places are natural, as for `groups`.
        add_config_option(verb, default=argparse.SUPPRESS)
        add_state_dir_option(verb, default=argparse.SUPPRESS)


def run(options: argparse.Namespace) -> int:
    from ...reload.asking import alone
    from ..link.place import running_layout
    from .reload import reload, sources_in_force, wait_until_scanned

    layout = running_layout(options)
    if options.verb == "list":
        _list(options, layout)
        return 0
    with alone(layout):
        sources = sources_in_force(layout)
        waits = reload(options, layout, changed(sources, options.verb, [os.fsencode(path) for path in options.paths]))
    if waits:
        wait_until_scanned(layout)
    return 0


def _list(options: argparse.Namespace, layout: Layout) -> None:
    from ...service.served import served_settings
    from ...terminal.lines import path_fields, print_json
    from ...terminal.render import readable, write_text

    settings = served_settings(layout)
    if options.json:
        print_json({"format": 1, "roots": [{**path_fields(root), "kind": _kind(root, settings)} for root in settings.named()]})
    else:
        write_text("".join(f"{readable(os.fsdecode(root))}\n" for root in settings.named()))


def _kind(root: bytes, settings: Settings) -> str:
    """What a root is watched as. One that is waited for may become either."""
    if root in settings.files:
        return "unknown" if root in settings.roots else "file"
    return "directory"


def changed(sources: Sources, verb: str, paths: Sequence[bytes]) -> Sources:
    """What the configuration comes from with these roots too, or without them. Raises UsageError."""
    from msgspec.structs import replace

    from shardwatch.shard.contract.errors import UsageError

    from ...config.paths import real_roots
    from ...planning.named import shown_path

    if any(not path or b"\0" in path for path in paths):
        raise UsageError("PATH is empty", hint="give a directory or a file")
    if sources.roots is None:
        raise _set_elsewhere(sources, verb, paths)
    absolute = [os.path.join(os.getcwdb(), path) for path in paths]
    there = {root: real_roots([root])[0] for root in sources.roots}
    if verb == "add":
        new = {real_roots([path])[0]: path for path in reversed(absolute)}
        return replace(sources, roots=(*sources.roots, *(new[real] for real in reversed(new) if real not in there.values())))
    meant = [{path, real_roots([path])[0]} for path in absolute]
    for path, names in zip(absolute, meant, strict=True):
        if names.isdisjoint([*there, *there.values()]):
            known = ", ".join(shown_path(root) for root in there.values())
            hint = f"its roots are {known}; `exclude` leaves out a part of one"
            raise UsageError(f"{shown_path(path)} is no root of this service", hint=hint)
    left = tuple(root for root, real in there.items() if not any({root, real} & names for names in meant))
    if not left:
        raise UsageError("no root would be left", hint="add another one first, or stop the service with `shardwatch down`")
    return replace(sources, roots=left)


def _set_elsewhere(sources: Sources, verb: str, paths: Sequence[bytes]) -> Exception:
    from shardwatch.shard.contract.errors import UsageError
    from shardwatch.shard.contract.state.options import ROOTS

    from ...config.names import variable
    from ...planning.named import shown_path

    named = ", ".join(map(shown_path, paths))
    if variable(ROOTS) in sources.variables or sources.config_file is None:
        hint = f"change {variable(ROOTS)} where it is set, and restart the service"
        return UsageError(f"the roots of this service are set by {variable(ROOTS)} in its environment", hint=hint)
    file = shown_path(sources.config_file)
    what = f"add {named} to" if verb == "add" else f"take {named} out of"
    return UsageError(f"the roots of this service are set in {file}", hint=f"{what} `roots` there, then run `shardwatch reload`")
