"""Find files that the running service watches, by name, size and time. The answer comes from the index, not from the disk.

GLOB is a pattern of a .gitignore, relative to a root, as for --include: *.py is every such file, /src/** is everything below src.
Without GLOB every file is found. The order is not defined. A change of the last moments may not be in the index yet: `shardwatch
sync` waits for that.
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from ..options import add_config_option, add_json_option, add_state_dir_option

if TYPE_CHECKING:
    from collections.abc import Iterable

    from shardwatch.aggregator.index.finding import FoundRow


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("patterns", nargs="*", metavar="GLOB", help="which files; several add up, and !GLOB takes away")
    parser.add_argument("--changed-within", metavar="TIME", help="only files whose mtime is at most so old: 90s, 10m, 1h, 2d")
    parser.add_argument("--larger", metavar="N", help="only files of more than N bytes: 4096, 10k, 1.5M, 2G")
    output = parser.add_mutually_exclusive_group()
    output.add_argument("-0", "--null", action="store_true", help="end each path with a NUL, as `xargs -0` reads them")
    add_json_option(output, "one JSON object per line (docs/formats.md)")
    add_config_option(parser)
    add_state_dir_option(parser)


def run(options: argparse.Namespace) -> int:
    from ...search.find import pages
    from ...terminal.ends import Ends
    from ..amounts import byte_count, seconds
    from ..link.place import running_layout

    within_s = None if options.changed_within is None else seconds("--changed-within", options.changed_within)
    larger = None if options.larger is None else byte_count("--larger", options.larger)
    write = _as_json if options.json else _as_null if options.null else _as_text
    with Ends() as ends:
        for page in pages(running_layout(options), options.patterns, within_s, larger):
            ends.write(write(page))
    return 0


def _as_json(page: Iterable[FoundRow]) -> bytes:
    from msgspec.json import encode

    from ...terminal.lines import path_fields

    def line(found: FoundRow) -> bytes:
        times = {"mtime_ns": found.mtime_ns, "tick": found.tick, "observed_at": found.at_ns / 10**9}
        return encode({"type": "file", **path_fields(found.path), "size": found.size, **times})

    return b"".join(line(found) + b"\n" for found in page)


def _as_null(page: Iterable[FoundRow]) -> bytes:
    return b"".join(found.path + b"\0" for found in page)


def _as_text(page: Iterable[FoundRow]) -> bytes:
    from ...terminal.render import readable

    text = "".join(readable(found.path) + "\n" for found in page)
    return text.encode(sys.stdout.encoding, "backslashreplace")
