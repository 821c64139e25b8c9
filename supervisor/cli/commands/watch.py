"""Run the whole service in the foreground and print what changes below PATH..., one line per event, until Ctrl-C.

The service uses a temporary state directory, which is removed at the end. If you give a --state-dir, it is kept, and a later
watch continues where this one ended: what changed in between is printed right after ready.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from shardwatch.shard.contract.errors import UsageError
from shardwatch.shard.contract.limits import IPC_PATH_BYTES_MAX
from shardwatch.shard.contract.state.layout import Layout

from ...terminal.streams import output_is_closed
from ..options import (
    add_config_option,
    add_json_option,
    add_state_dir_option,
    add_tree_options,
    watched_tree,
)

if TYPE_CHECKING:
    import subprocess

    from ...terminal.ends import Ends

#: How long supervisord may take to end (its programs get 1 + 1 + 2 s), and then what it left, of the 5 s that all may take.
STOP_S, LEFT_S = 4.3, 0.2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_tree_options(parser)
    parser.add_argument(
        "--from",
        dest="start",
        choices=("now", "start"),
        help="now: what changes from now on (default); start: every existing file first, as created",
    )
    add_json_option(parser, "one JSON object per line, `ready` first (docs/formats.md)")
    add_config_option(parser)
    add_state_dir_option(parser, "keep the state there, and resume from it (default: temporary)")


def run(options: argparse.Namespace) -> int:
    if output_is_closed():
        return 0
    from ...terminal.ends import Ended, Ends

    with Ends() as ends:
        try:
            _watch(options, ends)
        except Ended:
            pass
    return 0


def _watch(options: argparse.Namespace, ends: Ends) -> None:
    from ...service import service

    resolved = watched_tree(options)
    settings, state_dir = resolved.settings, resolved.state_dir
    if not options.state_dir:
        state_dir = _temporary_directory()
    ephemeral = not options.state_dir
    try:
        ends.check()
        prepared = service.prepare(state_dir, settings)
        process = service.start(prepared.layout, follow=True, ephemeral=ephemeral, claim=prepared.claim)
        try:
            from ..follow.session import Session  # heavy, and the service is on its way already

            with Session(options, ends, prepared, settings, process) as session:
                session.run()
        finally:
            _end(prepared.layout, process)
    finally:
        if ephemeral:
            service.remove(Layout(state_dir))


def _end(layout: Layout, process: subprocess.Popen[bytes]) -> None:
    """Ends the service at any point of its life, also before it holds the lock by which others would find it."""
    import subprocess

    from ...service import service

    process.terminate()
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    service.stop(layout, LEFT_S)


def _temporary_directory() -> Path:
    """A new directory, mode 0700, in the first usable place whose path is short enough for a socket in it."""
    from shardwatch.shard.contract.state.trust import is_safe

    from ...service.state_dir import TEMPORARY_SUFFIX_BYTES

    places = [os.environ.get("TMPDIR"), os.environ.get("XDG_RUNTIME_DIR"), "/tmp", "/var/tmp"]
    refused: OSError | None = None
    for place in filter(None, places):
        if not is_safe(place):  # a TMPDIR that `sudo` has kept, for one
            continue
        for _ in range(100):
            path = Path(place).absolute() / f"shardwatch-{os.urandom(4).hex()}"
            longest = max(len(os.fsencode(socket)) for socket in Layout(path).sockets())
            if longest + TEMPORARY_SUFFIX_BYTES > IPC_PATH_BYTES_MAX:
                break
            try:
                path.mkdir(mode=0o700)
                return path
            except FileExistsError:
                continue
            except OSError as error:
                refused = error
                break
    reason = f": {refused.strerror}" if refused else ""
    raise UsageError(f"no place for a temporary state directory{reason}", hint="set TMPDIR, or give --state-dir DIR")
