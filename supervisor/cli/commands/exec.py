"""Run a command when something changes.

With PATH..., run the whole service in the foreground and CMD for what changes below them, until Ctrl-C. Every file counts that is
no noise of editors, version control and build tools; -e, --include and --exclude choose others. Nothing is tried again.

With --group G, run CMD for the changes of a group of the running service, durably: exit code 0 acknowledges, anything else is a
failure. What failed is tried again after a pause, and set aside in the end (`shardwatch dead list`). What was not acknowledged
when this command ends comes again.

`{}` stands for a path: an argument that contains it is repeated for each path of a run. Without any, CMD runs once for all that
has changed. There is no shell: use `sh -c` if you need one. In the environment of a run are SHARDWATCH_GROUP, SHARDWATCH_BATCH,
SHARDWATCH_ATTEMPT (1 at first), SHARDWATCH_KINDS (of its changes, separated by commas) and SHARDWATCH_RUN (a name that no other
run has).
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
from typing import TYPE_CHECKING, Final

from shardwatch.shard.contract.process.loading import Loading

from ...terminal.streams import output_is_closed, say
from ..options import (
    SectionParser,
    add_config_option,
    add_state_dir_option,
    add_tree_options,
    number,
    overrides_of,
    watched_tree,
    whole,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shardwatch.shard.contract.state.triggers import Trigger

    from ...runs.command import Command
    from ...runs.guard import Guard
    from ...runs.latest import Latest
    from ...runs.schedule import Schedule
    from ..follow.attendant import Attendant
    from ..follow.runner import Manner

#: The kinds of changes.
KINDS: Final = ("created", "modified", "deleted", "moved")
#: Largest --jobs and --timeout.
JOBS_MAX: Final = 256
TIMEOUT_S_MAX: Final = 86_400.0
#: The group of a service in the foreground, whose position a kept state directory remembers; and the name of its leases.
GROUP: Final = "exec"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    usage = "shardwatch exec [PATH...] [options] -- CMD [ARG...] {} ..."
    parser.usage = f"{usage}\n       shardwatch exec --group G [options] -- CMD [ARG...] {{}} ..."
    parser.add_argument("--group", metavar="G", help="for the running service: name of the group; created if it does not exist")
    meaning = "begin with every existing file, as created (a group: if it is new); with PATH, a CMD without paths runs once"
    parser.add_argument("--initial", action="store_true", help=meaning)
    meaning = "paths of one run at most (default: 1, or 1000 where there is no {})"
    parser.add_argument("--batch", type=whole, metavar="N", help=meaning)
    meaning = "runs side by side, never two for one path (default: 1)"
    parser.add_argument("--jobs", type=whole, metavar="N", default=1, help=meaning)
    parser.add_argument(
        "--input",
        choices=("args", "nul", "json", "none"),
        default="args",
        help="how a run is told its paths: in place of {}; on standard input, each with a NUL behind it, or as JSON lines like "
        "those of `watch --json`; or not at all (default: args)",
    )
    parser.add_argument("--timeout", type=number, metavar="S", help="end a run after S seconds; that is a failure")
    parser.add_argument(
        "--on",
        metavar="KINDS",
        default=",".join(KINDS),
        help=f"run only for these, separated by commas (default: {','.join(KINDS)}); with `fresh` among them, also without a "
        "path when all is to be forgotten that is known, since every file follows as created",
    )
    parser.add_argument(
        "--on-busy",
        choices=("queue", "restart", "drop", "signal"),
        help="with PATH, what becomes of a change during a run: it waits; the run is ended and begins anew; nothing; or the run "
        "is sent a signal (default: queue)",
    )
    parser.add_argument(
        "--retry",
        action=argparse.BooleanOptionalAction,
        help="with --group: try again what failed, or acknowledge it all the same (default: --retry)",
    )
    meaning = "signal that ends a run; 3 s later it is killed (default: TERM); or that of --on-busy signal (default: HUP)"
    parser.add_argument("--stop-signal", metavar="SIG", help=meaning)
    parser.add_argument("--prefix", action="store_true", help="begin each line of output with the path that the run is for")
    parser.add_argument("--clear", action="store_true", help="clear the terminal before a run")
    add_config_option(parser)
    meaning = "with --group: of the service; with PATH: keep the state there, and resume from it (default: temporary)"
    add_state_dir_option(parser, meaning)
    add_tree_options(parser)
    parser.add_argument("--trigger", metavar="NAME", help=argparse.SUPPRESS)  # supervisord gives it: see `_run_trigger`


def run(options: argparse.Namespace) -> int:
    return _run(options) if options.trigger is None else _run_trigger(options)


def _run(options: argparse.Namespace, *, supervised: bool = False) -> int:
    """`supervised`: supervisord has started it, and notices when it hangs."""
    from ...runs.program_place import why_unrunnable

    _check(options)
    unrunnable = why_unrunnable(options.argv[0])
    if unrunnable is not None:
        say(f"shardwatch: error: {unrunnable[1]}")
        return unrunnable[0]
    if output_is_closed():
        return 0
    if options.group is None:
        _run_in_foreground(options)
    else:
        _work(options, supervised=supervised)
    return 0


def _check(options: argparse.Namespace) -> None:
    """Raises UsageError for arguments that are none."""
    from shardwatch.shard.contract.errors import UsageError
    from shardwatch.shard.contract.input.shown import shown

    from ...runs.change import FRESH
    from ...runs.command import PATHS_MAX

    if not options.argv:
        raise UsageError("no command given", hint="put it behind --, as in `shardwatch exec src -- ruff check {}`")
    for flag, value, most in (("--jobs", options.jobs, JOBS_MAX), ("--batch", options.batch, PATHS_MAX)):
        if value is not None and not 1 <= value <= most:
            raise UsageError(f"{flag} {shown(value)} is out of range", hint=f"give 1 to {most}")
    if options.timeout is not None and not 0 < options.timeout <= TIMEOUT_S_MAX:
        hint = f"give seconds above 0, at most {TIMEOUT_S_MAX:g}"
        raise UsageError(f"--timeout {options.timeout:g} is out of range", hint=hint)
    for kind in options.on.split(","):
        if kind not in (*KINDS, FRESH):
            raise UsageError(f"--on: {shown(kind)} is no kind of change", hint=f"give some of {','.join((*KINDS, FRESH))}")
    if options.stop_signal is not None:
        stop_signal(options.stop_signal)
    if options.group is not None:
        _check_durable(options)
    elif options.retry:
        raise UsageError("--retry is for a durable worker", hint="give --group G, for a service that was started with `up`")
    elif options.jobs > 1 and _is_latest(options):
        raise UsageError(f"--on-busy {options.on_busy} is for one run at a time", hint="leave out --jobs")
    elif FRESH in options.on.split(",") and _is_latest(options):
        raise UsageError(f"--on {FRESH} needs every change in its order", hint="leave out --on-busy")


def _check_durable(options: argparse.Namespace) -> None:
    """Raises UsageError for what is for a service in the foreground only."""
    from shardwatch.shard.contract.errors import UsageError

    given = set(overrides_of(options)) - {"state_dir"}
    if given:
        what = "PATH..." if "roots" in given else "a tree option"
        raise UsageError(f"{what} is for a service in the foreground, --group for the running one", hint="leave out one of them")
    if options.on_busy is not None:
        raise UsageError("--on-busy is for a service in the foreground", hint="give PATH... and no --group")


def _options_of(trigger: Trigger) -> argparse.Namespace:
    """The section of a configuration as arguments of this command, checked. Raises UsageError."""
    from shardwatch.shard.contract.errors import UsageError

    parser = SectionParser(f"[exec.{trigger.name}]", "exec")
    add_arguments(parser)
    options = parser.parse_args(trigger.arguments[: -len(trigger.command) - 1])
    options.argv, options.umask = list(trigger.command), trigger.umask
    try:
        _check(options)
    except UsageError as error:
        raise UsageError(f"[exec.{trigger.name}]: {error.message}", hint=error.hint) from None
    return options


def unrunnable(triggers: Sequence[Trigger]) -> list[str]:
    """What is to be said of commands that are to run with a service and can't, a line each. Raises UsageError for a section that
    is wrong."""
    from ...runs.program_place import why_unrunnable

    lines = []
    for trigger in triggers:
        (program, *_) = _options_of(trigger).argv
        here = os.path.join(os.fsdecode(trigger.directory), program) if os.sep in program else program
        why = why_unrunnable(here)
        if why is not None:
            lines.append(f"[exec.{trigger.name}]: {why[1]}; everything else runs, and its changes wait until it can be run")
    return lines


def _run_trigger(options: argparse.Namespace) -> int:
    """A program of the service in `--state-dir`, which supervisord has started: the rest of its arguments is in exec.json. It
    ends with supervisord. Raises UsageError."""
    from shardwatch.shard.contract.input.shown import shown
    from shardwatch.shard.contract.state.triggers import read_triggers

    from ...host.log_line import log_line
    from ...host.scouting import unanswered
    from ...runs.program_place import NOT_RUN
    from ...terminal.streams import say_to_log
    from ..link.supervised import begin_supervised, demanded

    layout = begin_supervised(options, f"exec:{options.trigger}")
    say_to_log(log_line)
    found = next((one for one in read_triggers(layout.triggers) if one.name == options.trigger), None)
    trigger = demanded(found, f"exec.{shown(options.trigger)[1:-1]}")
    given = _options_of(trigger)
    given.state_dir = os.fspath(layout.state_dir)
    silent = unanswered(trigger.directory)
    if silent:
        say(f"shardwatch: error: [exec.{trigger.name}]: its directory {os.fsdecode(trigger.directory)} lies on {silent}")
        return NOT_RUN
    os.chdir(trigger.directory)
    return _run(given, supervised=True)


def stop_signal(name: str) -> int:
    """The number of a signal: TERM, SIGTERM or 15. Raises UsageError."""
    from shardwatch.shard.contract.errors import UsageError
    from shardwatch.shard.contract.input.shown import shown

    found = {known.name.removeprefix("SIG"): known for known in signal.Signals}.get(name.upper().removeprefix("SIG"))
    if found is None and name.isdecimal() and int(name) in set(signal.Signals):
        found = signal.Signals(int(name))
    if found is None:
        raise UsageError(f"--stop-signal: there is no signal {shown(name)}", hint="give one like TERM, INT or HUP")
    return int(found)


def _is_latest(options: argparse.Namespace) -> bool:
    """Whether there is one run at a time, of which changes are told while it goes on."""
    return options.on_busy not in (None, "queue")


def command_of(options: argparse.Namespace, group: str) -> Command:
    """The command, as the arguments describe it."""
    from ...runs.command import PATHS_MAX, Command, Input
    from ...runs.process import argument_bytes_max

    argv = [os.fsencode(argument) for argument in options.argv]
    paths_max = options.batch or (PATHS_MAX if _is_latest(options) else None)
    former = "deleted" in options.on.split(",")
    return Command(argv, Input(options.input), paths_max, argument_bytes_max(os.environb), group, former=former)


def _manner_of(options: argparse.Namespace, guard: Guard) -> Manner:
    from ..follow.runner import Manner

    given = None if options.stop_signal is None else stop_signal(options.stop_signal)
    foreground, signals = options.group is None, options.on_busy == "signal"
    return Manner(
        stop_signal=signal.SIGTERM if given is None or signals else given,
        busy_signal=signal.SIGHUP if given is None else given,
        timeout_s=options.timeout,
        prefix=options.prefix,
        clear=options.clear,
        direct=foreground and options.jobs == 1 and not options.prefix,
        attempts=not foreground and options.retry is not False,
        umask=options.umask,
        token=guard.token,
    )


def _work(options: argparse.Namespace, *, supervised: bool) -> None:
    """A durable worker of a running service, until it is asked to end."""
    from shardwatch.aggregator.protocol.codes import RETRYABLE
    from shardwatch.shard.contract.process.life import Pulse

    from ...runs.echoes import Echoes
    from ...runs.guard import Guard
    from ...runs.pace import Pace
    from ...runs.schedule import Schedule
    from ...terminal.ends import Ends
    from ..link.place import running_layout

    layout = running_layout(options)
    with Guard() as guard, Ends() as ends:
        from ..follow.worker import Worker  # ZeroMQ begins threads only behind the fork of the guard
        from ..link.connection import ServiceConnection

        command = command_of(options, options.group)
        echoes = Echoes()
        schedule = Schedule(command, options.jobs, options.on.split(","), retries=options.retry is not False)
        pace, manner = Pace(options.jobs, command.paths_max), _manner_of(options, guard)
        start = "start" if options.initial else "now"
        with (
            contextlib.closing(Pulse(layout.pulse_socket)) as pulse,
            ServiceConnection(layout, asked_again=RETRYABLE) as connection,
            Worker(connection, command, schedule, pace, echoes, manner, group=options.group, start=start) as worker,
        ):
            beat = pulse.beat if supervised else None
            worker.follow(lambda timeout_s: connection.wait(ends, timeout_s, worker.wake_fd), beat)


def _run_in_foreground(options: argparse.Namespace) -> None:
    """The whole service, until it is asked to end."""
    from ...runs.guard import Guard
    from ...terminal.ends import Ends
    from ..follow.private import private_service

    resolved = watched_tree(options, ordinary=True)
    with Guard() as guard, Ends() as ends, private_service(options, resolved, ends, ordinary=True) as (prepared, child):
        with Loading():  # heavy, and the service is on its way already
            from ...runs.echoes import LATEST_WINDOW_NS, Echoes
            from ...runs.pace import Pace
            from ...terminal.render import banner_line
            from ..filter_text import filter_text
            from ..follow.attendant import Attendant, launched_s
            from ..follow.worker import Worker

        command = command_of(options, GROUP)
        policy = _policy_of(options, command)
        echoes = Echoes(LATEST_WINDOW_NS if _is_latest(options) else None)
        pace, manner = Pace(options.jobs, command.paths_max), _manner_of(options, guard)
        with (
            Attendant(ends, prepared, child) as attendant,
            Worker(attendant.connection, command, policy, pace, echoes, manner, group=GROUP, start=None, name=GROUP) as worker,
        ):
            ready = attendant.wait_ready(bar=True)
            _begin(options, command, policy, attendant, resumed=prepared.resumed)
            say(f"shardwatch: ready: {banner_line(ready, launched_s())}")
            say(f"shardwatch: filter: {filter_text(prepared.settings)}")
            worker.follow(lambda timeout_s: attendant.wait(timeout_s, worker.wake_fd))


def _policy_of(options: argparse.Namespace, command: Command) -> Schedule | Latest:
    from ...runs.latest import Latest, OnBusy
    from ...runs.schedule import Schedule

    kinds = options.on.split(",")
    if _is_latest(options):
        return Latest(command, kinds, OnBusy(options.on_busy))
    return Schedule(command, options.jobs, kinds, retries=False)


def _begin(
    options: argparse.Namespace, command: Command, policy: Schedule | Latest, attendant: Attendant, *, resumed: bool
) -> None:
    """Makes the group, so that no change after this is missed. What is polled is said before that."""
    from ...runs.change import FRESH

    attendant.ask_status()
    if resumed:  # what an exec that was killed had been handed
        attendant.request("release", group=GROUP, worker=GROUP)
    anew = "fresh" if policy.wants(FRESH) else "start"
    attendant.request("create", group=GROUP, **{"from": anew if options.initial and command.is_told_paths else "now"})
    while attendant.owes_status:
        attendant.wait()
    if options.initial and not command.is_told_paths:
        policy.begin()
