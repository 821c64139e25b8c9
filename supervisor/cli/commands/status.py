"""Show the running service: its processes, its shards, degraded subtrees with their remedies, and its groups."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from ..options import add_config_option, add_json_option, add_state_dir_option


def add_arguments(parser: argparse.ArgumentParser) -> None:
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
    seen = checkup.examine(layout)
    found = status_object(str(layout.state_dir), seen)
    if options.json:
        print_json(found)
    else:
        write_text(text_of(found))
    return seen.health.exit_code


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
