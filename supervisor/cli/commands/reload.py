"""Take over a changed configuration in the running service, without stopping it.

The service's configuration file is read again, with the environment and the arguments that the service was started with, and
checked as `shardwatch config` does. If it is wrong, nothing changes. Otherwise each change is printed, with how it is taken over:
at once, by starting the aggregator or the shards again, or by a new plan. Nothing is lost meanwhile. Files that are out of scope
now are reported as deleted, and those that have come into it as created. The command returns when everything is watched and
scanned. SIGHUP to a service without a terminal, and `supervisorctl update`, do the same.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from ..options import add_change_options, add_config_option, add_json_option, add_state_dir_option

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shardwatch.shard.contract.state.layout import Layout
    from shardwatch.shard.contract.state.sources import Sources

    from ...config.resolve import Resolved
    from ...reload.steps import ConfigChange, Configuration

#: Seconds for which the shards are waited for: the first scan of ten million files takes minutes.
READY_S = 3600.0
#: After so many seconds, then twice as many and so on, it is said what is wrong with the service meanwhile.
LOOK_S = 15.0
#: Seconds by which an answer that it is not done in time may be early.
_EARLY_S = 1.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_change_options(parser)
    add_json_option(parser, "one JSON object (docs/formats.md)")
    add_config_option(parser)
    add_state_dir_option(parser)


def run(options: argparse.Namespace) -> int:
    from ...reload.asking import alone
    from ..link.place import running_layout

    layout = running_layout(options)
    with alone(layout):
        sources = sources_in_force(layout)
        if options.config_file is not None:
            _check_file(options.config_file, sources)
        waits = reload(options, layout, sources)
    if waits:
        wait_until_scanned(layout)
    return 0


def _check_file(named: str, sources: Sources) -> None:
    """-c finds the service; it does not give it another file. Raises UsageError."""
    import os

    from shardwatch.shard.contract.errors import UsageError

    from ...planning.named import shown_path

    here, file = os.fsencode(os.path.abspath(named)), sources.config_file
    if file is None or os.path.realpath(here) != os.path.realpath(file):
        what = "no configuration file" if file is None else f"the configuration file {shown_path(file)}"
        hint = f"restart it with `-c {shown_path(here)}`, or leave out -c"
        raise UsageError(f"the service was started with {what}", hint=hint)


def sources_in_force(layout: Layout) -> Sources:
    """What the configuration of a running service comes from. Raises UsageError where that is not known."""
    import msgspec

    from shardwatch.shard.contract.errors import UsageError
    from shardwatch.shard.contract.state.sources import read_sources

    try:
        sources = read_sources(layout.sources)
    except msgspec.MsgspecError as error:
        hint = "restart the service: `shardwatch down`, then `up`"
        raise UsageError(f"{layout.sources} is damaged: {error}", hint=hint) from None
    if sources is None:
        hint = "restart the service; one that a Python program started is changed by that program"
        raise UsageError("it is not known what the configuration of this service comes from", hint=hint)
    return sources


def reload(options: argparse.Namespace, layout: Layout, sources: Sources) -> bool:
    """Has what `sources` say now taken over by the service, and prints it. Returns whether the scans are to be waited for. Call
    it `alone`, and wait then without holding up others. Raises UsageError for a configuration that is wrong, and what `ask`
    raises."""
    from ...config.again import resolve_again
    from ...reload.asking import ask, in_force
    from ...reload.costs import cost_of
    from ...reload.steps import changes
    from ...service.served import served_plan, unless_damaged
    from ..options import warn

    resolved = resolve_again(sources)
    before = unless_damaged(f"what the service in {layout.state_dir} runs with is damaged", lambda: in_force(layout))
    after, notes = _checked(resolved, before, sources, layout)
    found = [*changes(before, after), *_for_a_restart(resolved, sources, layout)]
    warn([*resolved.notes, *notes])
    plan = served_plan(layout)
    costs = [cost_of(change, plan, before.settings, after.settings) for change in found]
    _print(options, found, costs)
    if not options.dry_run and (before, sources) != (after, sources_in_force(layout)):
        ask(layout, before, after, sources)
        return bool(found) and not options.no_wait
    return False


def _checked(
    resolved: Resolved, before: Configuration, sources: Sources, layout: Layout
) -> tuple[Configuration, list[str]]:
    """What is to run, and what should be said of it, a line each. Raises UsageError for what can't be."""
    from msgspec.structs import replace

    from ...reload.steps import Configuration
    from ...service.served import served_plan
    from .config import checked

    settings, notes = checked(resolved, before.settings, served_plan(layout))
    triggers = tuple(replace(trigger, umask=sources.umask) for trigger in resolved.triggers)
    return Configuration(settings=settings, triggers=triggers, ship=resolved.ship, web=resolved.web), notes


def _for_a_restart(resolved: Resolved, sources: Sources, layout: Layout) -> list[ConfigChange]:
    """What a running service can't take over."""
    import os

    from shardwatch.shard.contract.state.options import STATE_DIR

    from ...config.names import variable
    from ...reload.steps import HOW, ConfigChange

    given = sources.state_dir is not None or variable(STATE_DIR) in sources.variables
    if given or sources.config_file is None or os.path.realpath(resolved.state_dir) == os.path.realpath(layout.state_dir):
        return []  # without a file it is named after the roots of the start
    text = f"{STATE_DIR.name}: {layout.state_dir} -> {resolved.state_dir}"
    return [ConfigChange(STATE_DIR.name, text, HOW[STATE_DIR.name])]


def _print(options: argparse.Namespace, found: Sequence[ConfigChange], costs: Sequence[str]) -> None:
    """A line for each change; with --dry-run also what it would cost."""
    from ...terminal.lines import print_json
    from ...terminal.render import readable, write_text

    if options.json:
        print_json(fields_of(found, costs, dry_run=options.dry_run))
        return
    lines = [
        readable(str(change)) + (f": {cost}" if options.dry_run else "") + "\n" for change, cost in zip(found, costs, strict=True)
    ]
    write_text("".join(lines) or "nothing has changed\n")


def fields_of(found: Sequence[ConfigChange], costs: Sequence[str], *, dry_run: bool) -> dict[str, Any]:
    """What `reload --json` prints. Pure."""
    changed = [
        {"option": one.option, "text": one.text, "taken_over": one.how.name.lower(), "cost": cost}
        for one, cost in zip(found, costs, strict=True)
    ]
    return {"format": 1, "dry_run": dry_run, "changes": changed}


def wait_until_scanned(layout: Layout) -> None:
    """Returns when the shards have looked at everything. What can't be read is `status`'s to tell; what may keep a shard from
    looking at all is said here, too, each thing once. Nothing is said where the aggregator is away for a moment: it may be
    started again for what is taken over.

    Raises NotRunningError where no service runs any more, or where it stays away for all that time, and Ended.
    """
    import time

    from shardwatch.shard.contract.errors import NotRunningError, ServiceError

    from ...service import checkup, service
    from ...terminal.ends import Ends
    from ...terminal.streams import say
    from ..link.connection import ServiceConnection

    end, wait_s = time.monotonic() + READY_S, LOOK_S
    said: set[tuple[str, ...]] = set()
    with Ends() as ends, ServiceConnection(layout, asked_again=frozenset({"stopping"}), on_absence=None) as connection:
        while (began := time.monotonic()) < end:
            wait_s = min(wait_s, end - began)
            try:
                connection.request(ends, "sync", wait_s=wait_s, timeout_ms=int(wait_s * 1000))
            except NotRunningError:  # it has more to do than that, or is tried again in a while
                if time.monotonic() >= end or not service.running(layout):
                    raise
            except ServiceError:
                if time.monotonic() - began < wait_s - _EARLY_S:
                    return  # all has been looked at, save what can't be
            else:
                return
            wait_s *= 2
            for finding in checkup.examine(layout).health.findings:
                if finding.level == "error" and finding.key not in said:
                    said.add(finding.key)
                    say(f"shardwatch: still waiting for what was to be looked at: {finding}")
