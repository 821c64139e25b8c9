"""Print what has changed since a cursor, and the cursor for the next time.

Every answer ends with a cursor. Without CURSOR nothing else is printed: begin with that. Each path that has changed since is
printed once, in its present state: modified (it is there) or deleted. `fresh` is printed instead if that is not known, because
the cursor is too old or belongs to another index: then look at everything, for example with `shardwatch find`. A change of the
last moments may not be in the index yet: `shardwatch sync` waits for that.
"""

from __future__ import annotations

import argparse
from typing import Any

from ..options import add_config_option, add_json_option, add_state_dir_option


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("cursor", nargs="?", metavar="CURSOR", help="what an earlier answer ended with, as it was printed")
    add_json_option(parser, "one JSON object per line (docs/formats.md)")
    add_config_option(parser)
    add_state_dir_option(parser)


def run(options: argparse.Namespace) -> int:
    from ...terminal.ends import Ends
    from ...terminal.lines import Printer
    from ..link.connection import ServiceConnection
    from ..link.place import running_layout

    layout = running_layout(options)
    cursor = {} if options.cursor is None else {"cursor": options.cursor}
    with Ends() as ends, ServiceConnection(layout) as connection:
        printer = Printer(ends, as_json=options.json)
        while True:
            reply = connection.request(ends, "since", **cursor)
            printer.write(reply["events"])
            cursor = {"cursor": reply["cursor"]}
            if not reply["more"]:
                break
        _finish(printer, reply)
    return 0


def _finish(printer: Any, reply: dict[str, Any]) -> None:
    """The end of the answer."""
    cursor, why = reply["cursor"], reply.get("fresh")
    if printer.as_json:
        fresh = [] if why is None else [{"type": "fresh", "tick": int(cursor.rpartition(":")[2]), "reason": why}]
        printer.write([*fresh, {"type": "cursor", "cursor": cursor}])
        return
    from ...terminal.render import readable

    fresh_line = "" if why is None else f"fresh     what has changed is not known: {readable(why)}\n"
    printer.text(f"{fresh_line}{cursor}\n")
