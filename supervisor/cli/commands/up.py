"""Run the service: in the foreground as supervisord itself, or with --detach in the background.

PATH... are the roots. Without any, the roots of the configuration are used. With --detach the command returns when every
directory is watched and the baseline is committed, or fails and prints the reason. `shardwatch down` stops the service.
"""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import sys
import time
from types import FrameType
from typing import TYPE_CHECKING

from msgspec.structs import replace

from shardwatch.shard.contract.process import inherited
from shardwatch.shard.contract.process.loading import Loading

from ...terminal.streams import say
from ..options import (
    add_config_option,
    add_state_dir_option,
    add_tree_options,
    sources,
    watched_tree,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shardwatch.shard.contract.state.ship_section import ShipSection
    from shardwatch.shard.contract.state.sources import Sources
    from shardwatch.shard.contract.state.triggers import Trigger
    from shardwatch.shard.contract.state.web_section import WebSection

    from ...config.resolve import Resolved
    from ...service.state_dir import Prepared

#: How long --detach waits for ready, seconds: the first scan of ten million files takes minutes.
READY_S = 3600.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_tree_options(parser)
    parser.add_argument("--detach", action="store_true", help="run in the background; return when ready")
    add_config_option(parser)
    add_state_dir_option(parser, "where the service keeps its state (default: see `shardwatch --help`)")


def run(options: argparse.Namespace) -> int:
    """Returns for --detach only: otherwise this process becomes supervisord."""
    with Loading():
        from ...service.child import command
        from ...service.state_dir import prepare

    inherited.demand_limits()
    resolved = watched_tree(options)
    found = sources(options, resolved)
    resolved, found, changed = _with_changed_roots(resolved, found)
    settings, state_dir = resolved.settings, resolved.state_dir
    triggers = [replace(trigger, umask=options.umask) for trigger in resolved.triggers]
    cannot_run = _unrunnable(triggers) if triggers else []
    if resolved.ship is not None:
        cannot_run += _unshippable(resolved.ship)
    if resolved.web is not None:
        cannot_run += _unservable(resolved.web)
    prepared = prepare(state_dir, settings, triggers, resolved.ship, found, resolved.web)
    for note in (*changed, *prepared.notes, *cannot_run):
        _say(f"warning: {note}")
    if not options.detach:
        from ..filter_text import filter_text

        _say(f"filter: {filter_text(prepared.settings)}")
        _say(f"the service runs in {prepared.layout.state_dir}; Ctrl-C ends it")
        argv = command(prepared.layout, echo=True, claim=prepared.claim)
        if prepared.claim is not None:
            os.set_inheritable(prepared.claim.fd, True)
        os.execv(argv[0], argv)
    _detach(prepared, _how_to_end(options, prepared))
    return 0


def _with_changed_roots(resolved: Resolved, found: Sources) -> tuple[Resolved, Sources, list[str]]:
    """With the roots that `shardwatch root` has added and removed since a start with the same PATHs, and what should be said of
    them. Raises UsageError where the state directory lies on a filesystem that does not answer.
    """
    import contextlib

    import msgspec

    from shardwatch.shard.contract.errors import UsageError
    from shardwatch.shard.contract.state.layout import Layout
    from shardwatch.shard.contract.state.sources import read_sources

    from ...config.again import resolve_again, with_changed_roots
    from ...host.scouting import check_state_dir
    from ...planning.named import shown_path

    check_state_dir(resolved.state_dir)  # before anything is read there
    before = None
    with contextlib.suppress(OSError, UsageError, msgspec.MsgspecError):  # what is wrong there, `prepare` says
        before = read_sources(Layout(resolved.state_dir).sources)
    again = with_changed_roots(found, before)
    if again.roots == found.roots:
        return resolved, found, []
    changed = resolve_again(again)._replace(state_dir=resolved.state_dir)
    old, new = resolved.settings.roots, changed.settings.roots
    more, less = ([shown_path(root) for root in some if root not in others] for some, others in ((new, old), (old, new)))
    added = [f"root {root} was added by `shardwatch root add`: it is watched too" for root in more]
    removed = [f"root {root} was removed by `shardwatch root remove`: it is not watched" for root in less]
    return changed, again, added + removed


def _unrunnable(triggers: Sequence[Trigger]) -> list[str]:
    """Raises UsageError for a section that is wrong."""
    from .exec import unrunnable  # most configurations have none

    return unrunnable(triggers)


def _unshippable(section: ShipSection) -> list[str]:
    """Raises UsageError for a section that is wrong."""
    from .ship import unshippable  # most configurations have none

    return unshippable(section)


def _unservable(section: WebSection) -> list[str]:
    """Raises UsageError for a section that is wrong."""
    from .web import unservable  # most configurations have none

    return unservable(section)


def _how_to_end(options: argparse.Namespace, prepared: Prepared) -> str:
    """The command that ends the service, from the same place and with the same environment."""
    if options.state_dir is not None:
        return f"shardwatch down --state-dir {shlex.quote(str(prepared.layout.state_dir))}"
    if options.config_file is not None:
        return f"shardwatch down -c {shlex.quote(str(options.config_file))}"
    return "shardwatch down"


def _detach(prepared: Prepared, how_to_end: str) -> None:
    """Returns when the service is ready. Whatever ends the waiting ends the service too.

    `how_to_end`: the command that ends the service.
    """
    from ...service.checkup import examine_when_started
    from ...service.child import ChildService
    from ...terminal.render import Scanning, banner_line
    from ..filter_text import filter_text

    began = time.monotonic()
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup
            signal.signal(number, _interrupt)
    child = ChildService(prepared.layout, follow=False, claim=prepared.claim)
    scanning = Scanning(sys.stderr)
    try:
        ready = child.wait_ready(READY_S, scanning.show)
    except BaseException:
        scanning.close()
        child.stop()
        raise
    scanning.close()
    for finding in examine_when_started(prepared.layout).health.findings:
        _say(f"{'error' if finding.level == 'error' else 'warning'}: {finding}")
    _say(f"ready: {banner_line(ready, time.monotonic() - began)}")
    _say(f"filter: {filter_text(prepared.settings)}")
    _say(f"the service runs in {prepared.layout.state_dir}; `{how_to_end}` ends it")


def _interrupt(signum: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _say(text: str) -> None:
    say(f"shardwatch: {text}")
