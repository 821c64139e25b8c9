"""Print the effective configuration, and where each value comes from: default, file, environment or command line."""

from __future__ import annotations

import argparse

from shardwatch.supervisor.commands.tree_options import (
    add_config_option,
    add_json_option,
    add_state_dir_option,
    add_tree_options,
    resolve_tree,
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_tree_options(parser)
    add_json_option(parser, "one JSON object: every option's value and origin")
    add_config_option(parser)
    add_state_dir_option(parser)


def run(options: argparse.Namespace) -> int:
    resolved = resolve_tree(options)
    values = values_of(resolved)
    if options.json:
        from shardwatch.supervisor.commands.lines import print_json

        file = None if resolved.config_file is None else readable(resolved.config_file)
        print_json({"format": 1, "config_file": file, "options": values})
        return 0
    write_text(f"# configuration file: {readable(resolved.config_file or 'none found')}\n")
    rows = [(name, "=", _shown(entry["value"]), f"# {entry['origin']}") for name, entry in values.items()]
    width = max(len(name) for name, *_ in rows)
    for name, _, value, origin in rows:
        write_text(f"{name:<{width}} = {value}  {origin}\n")
    return 0
