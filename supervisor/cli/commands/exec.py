"""Run a command when something changes.

With --group G, run CMD for the changes of a group of the running service, durably: exit code 0 acknowledges, anything else is a
failure. What failed is tried again after a pause, and set aside in the end (`shardwatch groups list`). What was not acknowledged
when this command ends comes again.

`{}` stands for a path: an argument that contains it is repeated for each path of a run. There is no shell: use `sh -c` if you
need one. In the environment of a run are SHARDWATCH_GROUP, SHARDWATCH_BATCH, SHARDWATCH_ATTEMPT (1 at first), SHARDWATCH_KINDS
(of its changes, separated by commas) and SHARDWATCH_RUN (a name that no other run has).
"""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING, Final

from ...terminal.streams import output_is_closed, say
from ..options import add_config_option, add_state_dir_option

if TYPE_CHECKING:
    from ...runs.command import Command

#: The kinds of changes.
KINDS: Final = ("created", "modified", "deleted", "moved")
#: Largest --jobs and --timeout.
JOBS_MAX: Final = 256
TIMEOUT_S_MAX: Final = 86_400.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.usage = "shardwatch exec --group G [options] -- CMD [ARG...] {} ..."
    parser.add_argument("--group", required=True, metavar="G", help="name of the group; created if it does not exist")
    parser.add_argument(
        "--initial", action="store_true", help="if the group does not exist yet, begin with every existing file, as created"
    )
    meaning = "paths of one run at most (default: 1, or 1000 where there is no {})"
    parser.add_argument("--batch", type=int, metavar="N", help=meaning)
    parser.add_argument("--jobs", type=int, metavar="N", default=1, help="runs side by side, never two for one path (default: 1)")
    parser.add_argument(
        "--input",
        choices=("args", "nul", "json", "none"),
        default="args",
        help="how a run is told its paths: in place of {}; on standard input, each with a NUL behind it, or as JSON lines like "
        "those of `watch --json`; or not at all (default: args)",
    )
    parser.add_argument("--timeout", type=float, metavar="S", help="end a run after S seconds; that is a failure")
    parser.add_argument(
        "--on",
        metavar="KINDS",
        default=",".join(KINDS),
        help=f"run only for these, separated by commas (default: {','.join(KINDS)}); with `fresh` among them, also without a "
        "path when all is to be forgotten that is known, since every file follows as created",
    )
    parser.add_argument(
        "--retry",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="try again what failed, or acknowledge it all the same (default: --retry)",
    )
    meaning = "signal that ends a run; 3 s later it is killed (default: TERM)"
    parser.add_argument("--stop-signal", metavar="SIG", default="TERM", help=meaning)
    parser.add_argument("--prefix", action="store_true", help="begin each line of output with the path that the run is for")
    add_config_option(parser)
    add_state_dir_option(parser)


def run(options: argparse.Namespace) -> int:
    from ...runs.process import why_unrunnable

    _check(options)
    unrunnable = why_unrunnable(options.argv[0])
    if unrunnable is not None:
        say(f"shardwatch: error: {unrunnable[1]}")
        return unrunnable[0]
    if output_is_closed():
        return 0
    _work(options)
    return 0


def _check(options: argparse.Namespace) -> None:
    """Raises UsageError for arguments that are none."""
    from shardwatch.shard.contract.errors import UsageError
    from shardwatch.shard.contract.input.shown import shown

    from ...runs.change import FRESH
    from ...runs.command import PATHS_MAX

    if not options.argv:
        raise UsageError("no command given", hint="put it behind --, as in `shardwatch exec --group lint -- ruff check {}`")
    for flag, value, most in (("--jobs", options.jobs, JOBS_MAX), ("--batch", options.batch, PATHS_MAX)):
        if value is not None and not 1 <= value <= most:
            raise UsageError(f"{flag} {shown(value)} is out of range", hint=f"give 1 to {most}")
    if options.timeout is not None and not 0 < options.timeout <= TIMEOUT_S_MAX:
        hint = f"give seconds above 0, at most {TIMEOUT_S_MAX:g}"
        raise UsageError(f"--timeout {options.timeout:g} is out of range", hint=hint)
    for kind in options.on.split(","):
        if kind not in (*KINDS, FRESH):
            raise UsageError(f"--on: {shown(kind)} is no kind of change", hint=f"give some of {','.join((*KINDS, FRESH))}")
    stop_signal(options.stop_signal)


def stop_signal(name: str) -> int:
    """The number of a signal: TERM, SIGTERM or 15. Raises UsageError."""
    import signal

    from shardwatch.shard.contract.errors import UsageError
    from shardwatch.shard.contract.input.shown import shown

    found = {known.name.removeprefix("SIG"): known for known in signal.Signals}.get(name.upper().removeprefix("SIG"))
    if found is None and name.isdecimal() and int(name) in set(signal.Signals):
        found = signal.Signals(int(name))
    if found is None:
        raise UsageError(f"--stop-signal: there is no signal {shown(name)}", hint="give one like TERM, INT or HUP")
    return int(found)


def command_of(options: argparse.Namespace, group: str) -> Command:
    """The command, as the arguments describe it."""
    from ...runs.command import Command, Input
    from ...runs.process import argument_bytes_max

    argv = [os.fsencode(argument) for argument in options.argv]
    former = "deleted" in options.on.split(",")
    return Command(argv, Input(options.input), options.batch, argument_bytes_max(os.environb), group, former=former)


def _work(options: argparse.Namespace) -> None:
    """A durable worker of a running service, until it is asked to end."""
    from shardwatch.aggregator.protocol.codes import RETRYABLE

    from ...runs.guard import Guard
    from ...runs.pace import Pace
    from ...runs.schedule import Schedule
    from ...terminal.ends import Ends
    from ..link.place import running_layout

    layout = running_layout(options)
    with Guard() as guard, Ends() as ends:
        from ..follow.worker import Manner, Worker  # ZeroMQ begins threads only behind the fork of the guard
        from ..link.connection import ServiceConnection

        command = command_of(options, options.group)
        manner = Manner(
            stop_signal=stop_signal(options.stop_signal),
            timeout_s=options.timeout,
            prefix=options.prefix,
            umask=options.umask,
            token=guard.token,
        )
        schedule = Schedule(command, options.jobs, options.on.split(","), retries=options.retry)
        pace = Pace(options.jobs, command.paths_max)
        start = "start" if options.initial else "now"
        with (
            ServiceConnection(layout, asked_again=RETRYABLE) as connection,
            Worker(connection, command, schedule, pace, manner, group=options.group, start=start) as worker,
        ):
            worker.follow(lambda timeout_s: connection.wait(ends, timeout_s, worker.wake_fd))
