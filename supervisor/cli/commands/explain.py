"""Explain why an event of PATH came, or did not come: whether the path is watched and which rule decides that, which shard looks
at it, what the index has of it, and what each group was told or will be told.

PATH need not exist. It is neither changed nor looked at by the service, and no filesystem that hangs is waited for. Without a
running service the command says what can be known without it. The exit code is 0 whatever the answer is.
"""

from __future__ import annotations

import argparse
import os

from ..options import add_config_option, add_json_option, add_state_dir_option


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("path", metavar="PATH", help="what is asked about; a slash at its end says that it is a directory")
    add_json_option(parser, "one JSON object (docs/formats.md)")
    add_config_option(parser)
    add_state_dir_option(parser)


def run(options: argparse.Namespace) -> int:
    from shardwatch.shard.contract.errors import UsageError
    from shardwatch.shard.contract.state.layout import Layout

    from ...explanation.explain import explanation
    from ..link.place import state_dir_of

    path = os.fsencode(options.path)
    if not path:
        raise UsageError("PATH is empty", hint="give the path of a file or directory")
    found = explanation(Layout(state_dir_of(options, about=path)), path)
    if options.json:
        from ...terminal.lines import print_json

        print_json(found)
        return 0
    from ...explanation.sentences import headline, of
    from ...terminal.render import write_text

    write_text("".join(line + "\n" for line in (headline(found), *(f"  {sentence}" for sentence in of(found)))))
    return 0
