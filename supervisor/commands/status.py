"""Show the running service: its processes, shards, degraded subtrees with their remedies, and groups."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from shardwatch.supervisor.commands.tree_options import add_config_option, add_json_option, add_state_dir_option

#: Who asks how things are wants to know soon: less than the 5 s after which a hung program is replaced.
ANSWER_S = 3.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_json_option(parser, "one JSON object with all of it (docs/formats.md)")
    add_config_option(parser)
    add_state_dir_option(parser)


def run(options: argparse.Namespace) -> int:
    from shardwatch.shard.contract.errors import NotRunningError
    from shardwatch.supervisor import service
    from shardwatch.supervisor.commands.asking import asking
    from shardwatch.supervisor.commands.lines import print_json, valid
    from shardwatch.supervisor.commands.place import running_layout
    from shardwatch.supervisor.render import write_text

    layout = running_layout(options)
    processes = [{**row, "name": program_name(row)} for row in service.programs(layout)]
    found: dict[str, Any] = {"format": 1, "state_dir": valid(str(layout.state_dir)), "processes": processes}
    try:
        with asking(options) as ask:
            engine = ask("status", answer_s=ANSWER_S)["status"]
            groups = engine.pop("groups", [])
    except NotRunningError:  # the aggregator is down, supervisord is not: say so, with all that is known
        engine, groups = None, []
    found.update({"answering": engine is not None, "engine": engine, "groups": groups})
    if engine is None:
        found["reason"] = valid(service.why_down(layout, "aggregator", processes))
    if options.json:
        print_json(found)
    else:
        write_text(text_of(found))
    return 0 if engine is not None else NotRunningError.exit_code


def program_name(row: Mapping[str, Any]) -> str:
    """As supervisorctl says it: `aggregator`, `shards:00`."""
    return str(row["name"] if row["name"] == row["group"] else f"{row['group']}:{row['name']}")


def text_of(found: Mapping[str, Any]) -> str:
    """The whole status for people. Pure."""
    from shardwatch.supervisor.commands.tables import (
        degraded_text,
        groups_table,
        holds_text,
        processes_table,
        processes_text,
        set_aside_text,
        shards_table,
    )
    from shardwatch.supervisor.render import readable

    engine = found["engine"]
    parts = [f"service in {readable(found['state_dir'])}, logs in its logs/\n"]
    if engine is None:
        parts.append(f"the aggregator does not answer: {readable(found['reason'])}; supervisord starts it again by itself\n")
    else:
        if engine.get("storage"):
            parts.append("error: {message}\n    -> {remedy}\n".format(**{k: readable(v) for k, v in engine["storage"].items()}))
        else:
            parts.append(_known(engine))
        parts += [f"note: {readable(str(note))}\n" for note in engine.get("notes") or []]
    parts.append(processes_table(found["processes"]))
    parts.append(processes_text(found["processes"]))
    if engine is not None:
        parts.append(shards_table(engine.get("shards") or []))
        parts.append(degraded_text(engine.get("degraded") or []))
        parts.append(holds_text(engine.get("holds") or []))
        none = "" if engine.get("storage") else "no groups yet: `shardwatch pull --group NAME` makes one\n"
        parts.append(groups_table(found["groups"]) or none)
        parts.append(set_aside_text(found["groups"]))
    return "\n".join(part for part in parts if part)


def _known(engine: Mapping[str, Any]) -> str:
    from shardwatch.supervisor.render import counted, readable

    return (
        f"{'ready' if engine.get('ready') else 'scanning'}: {counted(int(engine.get('files') or 0), 'file')} in "
        f"{counted(int(engine.get('directories') or 0), 'directory')} below "
        f"{', '.join(readable(root) for root in engine.get('roots', []))}; backend {engine.get('backend')}, "
        f"tick {engine.get('tick')}\n"
    )
