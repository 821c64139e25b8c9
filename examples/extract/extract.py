"""An extract stage: keeps a SQLite database of the modules, imports and functions of a tree of AST JSON.

    shardwatch exec --group facts --initial --on created,modified,deleted,moved,fresh --batch 100 \\
        -- python extract.py --database facts.db --tree TREE {}     run by `exec`, or
    python extract.py --database facts.db --tree TREE --follow STATE_DIR      a worker by itself; both may run at once
    python extract.py --database facts.db --tree TREE --importers json        which modules import json?
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from database import Database


def follow(database: Database, state_dir: Path, group: str) -> None:
    """Takes in every change, for ever. What it had not acknowledged when it was killed comes again.

    A service that goes away later is waited for; one that does not answer at the beginning ends the program.
    """
    from shardwatch import ExtractClient

    with ExtractClient(state_dir) as client:
        incarnation = str(client.hello()["incarnation"])
        if database.followed() != incarnation:  # what the database knows may be of another index
            if not client.create(group, from_="fresh"):
                client.reset(group)  # it is told to forget, and then everything
            database.follow(incarnation)
        for batch in client.batches(group, from_="fresh"):
            if batch.fresh:
                database.forget()
            for event in batch.events:
                database.take_in(path for path in (event.moved_from, event.path) if path)
            batch.ack()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--database", type=Path, required=True, help="made if it is not there")
    parser.add_argument("--tree", type=Path, required=True, help="the directory that is watched")
    parser.add_argument("--group", default="facts", help="name of the group, with --follow (default: facts)")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--follow", type=Path, metavar="STATE_DIR", help="be a worker of this service (`shardwatch status`)")
    what.add_argument("--importers", metavar="MODULE", help="print the modules that import it, or something in it")
    what.add_argument("--functions", metavar="NAME", help="print where functions of this name are")
    what.add_argument("paths", nargs="*", default=[], metavar="PATH", help="files that have changed, or are gone")
    options = parser.parse_args()
    with Database(options.database, options.tree) as database:
        if options.follow:
            follow(database, options.follow, options.group)
        elif options.importers:
            print(*database.importers(options.importers), sep="\n")
        elif options.functions:
            print(*database.functions(options.functions), sep="\n")
        elif os.environ.get("SHARDWATCH_KINDS") == "fresh":
            database.forget()
        else:
            database.take_in(options.paths)


if __name__ == "__main__":
    main()
