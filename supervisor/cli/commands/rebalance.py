"""Move subtrees from shards that have grown past their share to others, while the service runs.

What the trees contain now is estimated as for a first plan, and for a second it is counted how often files change. The heaviest
shard then gives subtrees to the lightest, and a tree that has grown enough gets another shard. Where one shard has most of the
changes, those come first. Everything else stays where it is. Each subtree that moves is printed. No change is missed and none
is delivered again: who gets a subtree watches it and looks at all of it, and if it runs already, it does so before the other one
lets go. The service does this by itself if shards are uneven for a while (`rebalance_s`).
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from ..options import add_change_options, add_config_option, add_json_option, add_state_dir_option

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shardwatch.shard.contract.state.planfile import Plan

    from ...planning.rebalancing import Move


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_change_options(parser)
    add_json_option(parser, "one JSON object (docs/formats.md)")
    add_config_option(parser)
    add_state_dir_option(parser)


def run(options: argparse.Namespace) -> int:
    from shardwatch.shard.contract.errors import NotRunningError

    from ...planning.planning import rebalance
    from ...reload.asking import alone, ask, in_force
    from ...service.served import served_plan, unless_damaged
    from ...service.service import programs
    from ...service.shares import rates_now
    from ..link.place import running_layout
    from .reload import wait_until_scanned

    layout = running_layout(options)
    with alone(layout):
        before = served_plan(layout)
        if before is None:
            raise NotRunningError("there is no plan yet", hint="wait until the service is ready", retryable=True)
        now = unless_damaged(f"what the service in {layout.state_dir} runs with is damaged", lambda: in_force(layout))
        rates = rates_now(layout, now.settings, before)
        if options.dry_run:
            pids = [int(row["pid"]) for row in programs(layout) if row["group"] == "shards" and row["pid"]]
            found = rebalance(layout, now.settings, rates, lambda: pids)
            after = before if found is None else found.plan
        else:
            ask(layout, now, now, None, rebalanced=before.generation, rates=rates)
            after = served_plan(layout) or before
        _print(options, before, after)
    if not options.dry_run and not options.no_wait and after.generation != before.generation:
        wait_until_scanned(layout)
    return 0


def _print(options: argparse.Namespace, before: Plan, after: Plan) -> None:
    from ...planning.rebalancing import moves, summary
    from ...terminal.lines import print_json
    from ...terminal.render import readable, write_text

    found = moves(before, after)
    if options.json:
        print_json(fields_of(found, after, dry_run=options.dry_run))
        return
    lines = [f"{readable(line)}\n" for line in summary(found)] or ["no subtree is to be moved to another shard\n"]
    write_text("".join(lines))


def fields_of(found: Sequence[Move], after: Plan, *, dry_run: bool) -> dict[str, Any]:
    """What `rebalance --json` prints. Pure."""
    from ...terminal.lines import path_fields

    moved = [
        {**path_fields(move.path), "from": move.before, "to": move.after, "directories": move.directories, "files": move.files}
        for move in found
    ]
    return {"format": 1, "dry_run": dry_run, "shards": after.shards(), "moves": moved}
