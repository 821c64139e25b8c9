"""Show the running service: its processes, its shards, degraded subtrees with their remedies, and its groups.

Exit code 0: all is well. 1: something needs your attention. 3: nothing is handed out, or no service runs. With --watch it is
shown again every two seconds, also after the service has ended, until Ctrl-C.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, NoReturn

from ..options import add_config_option, add_json_option, add_state_dir_option

if TYPE_CHECKING:
    from shardwatch.shard.contract.state.layout import Layout

#: Seconds between two looks with --watch.
_AGAIN_S: Final = 2.0
#: Clears a terminal, with the cursor at its beginning.
_CLEAR: Final = "\x1b[H\x1b[2J"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--watch", action="store_true", help="show it again every two seconds, until Ctrl-C")
    add_json_option(parser, "one JSON object with all of it (docs/formats.md)")
    add_config_option(parser)
    add_state_dir_option(parser)


def run(options: argparse.Namespace) -> int:
    """The exit code is the verdict's (`supervisor.service.health`)."""
    from ...service import checkup
    from ...service.status_object import status_object
    from ...terminal.lines import print_json
    from ...terminal.render import write_text
    from ..link.place import running_layout

    layout = running_layout(options)
    if options.watch:
        _show_again_and_again(layout, options.json)
    seen = checkup.examine(layout)
    found = status_object(str(layout.state_dir), seen)
    if options.json:
        print_json(found)
    else:
        write_text(text_of(found))
    return seen.health.exit_code


def _show_again_and_again(layout: Layout, as_json: bool) -> NoReturn:
    """On a terminal in the same place; else one after the other, with --json a line for each."""
    from ...service.status_now import status_now
    from ...terminal.lines import print_json_lines
    from ...terminal.render import write_text

    while True:
        found = status_now(layout)
        if as_json:
            print_json_lines([found])
        else:
            write_text((_CLEAR if sys.stdout.isatty() else "") + text_of(found))
        time.sleep(_AGAIN_S)


def text_of(found: Mapping[str, Any]) -> str:
    """The whole status for people. Pure."""
    from ...terminal.render import readable
    from ...terminal.tables import (
        degraded_text,
        findings_text,
        groups_table,
        holds_text,
        polling_text,
        processes_table,
        set_aside_text,
        shards_table,
        shipping_table,
        verification_text,
    )

    engine = found["engine"]
    parts = [f"{first_line(found)}\n" + findings_text(found["findings"])]
    parts.append(f"service in {readable(found['state_dir'])}, logs in its logs/\n")
    parts.append(processes_table(found["processes"]))
    if engine is not None:
        parts.append(shards_table(engine.get("shards") or [], found["processes"]))
        parts.append(degraded_text(engine.get("degraded") or []))
        parts.append(polling_text(engine.get("polling")))
        parts.append(verification_text(engine.get("verification")))
        parts.append(holds_text(engine.get("holds") or []))
        none = "" if engine.get("storage") else "no groups yet: `shardwatch pull --group NAME` makes one\n"
        parts.append(groups_table(found["groups"]) or none)
        parts.append(set_aside_text(found["groups"]))
    parts.append(shipping_table(found["ship"]))
    if found["web"] is not None and found["web"]["address"]:
        parts.append(f"the web page is at {readable(found['web']['address'])}\n")
    return "\n".join(part for part in parts if part)


def first_line(found: Mapping[str, Any]) -> str:
    """The state of the service, what it knows, and which of its programs run. Pure."""
    from ...terminal.tables import programs_phrase

    engine = found["engine"]
    known = "" if engine is None or engine.get("storage") else _known(engine)
    said = "; ".join(part for part in (known, programs_phrase(found["processes"])) if part)
    return f"{found['health']}: {said}" if said else str(found["health"])


def _known(engine: Mapping[str, Any]) -> str:
    from ...terminal.render import counted, readable

    scanning = "" if engine.get("ready") else "still scanning, so far "
    return (
        f"{scanning}{counted(int(engine.get('files') or 0), 'file')} in "
        f"{counted(int(engine.get('directories') or 0), 'directory')} below "
        f"{', '.join(readable(root) for root in engine.get('roots', []))}; backend {engine.get('backend')}, "
        f"tick {engine.get('tick')}"
    )
