"""Reads the arguments, runs one command, and turns errors into one line and an exit code.

Only the module of the chosen command is imported, and that module imports heavy modules inside its `run`. So `--help`
and `--version` cost only an argparse, and `watch` can start its service as soon as the arguments are read.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from importlib import import_module
from typing import TYPE_CHECKING, NoReturn

from shardwatch.shard.contract.causes import cause
from shardwatch.shard.contract.errors import ShardwatchError, UsageError
from shardwatch.shard.contract.input.shown import cut
from shardwatch.shard.contract.version import __version__

from ..terminal import streams
from ..terminal.ends import Ended
from .options import DEBUG

if TYPE_CHECKING:
    from ..service.early import EarlyProcess

#: Exit codes that belong to no error class (those are in shard.contract.errors); all are documented in docs/formats.md.
EXIT_BUG = 70
EXIT_INTERRUPTED = 130

#: Every command and its line in `--help`. Its module is shardwatch.supervisor.cli.commands.NAME.
COMMANDS = {
    "watch": "run the whole service in the foreground and print changes",
    "up": "run the service (in the foreground, or --detach)",
    "reload": "take over a changed configuration in the running service",
    "rebalance": "move subtrees from shards that have grown past their share to others",
    "root": "list the roots of the running service, add or remove one",
    "down": "stop the service, and return when all of its processes are gone",
    "status": "show processes, shards, degraded subtrees and groups",
    "top": "show the running service on the terminal, again and again",
    "logs": "print the logs of all programs, in the order of their times",
    "pull": "print and acknowledge the pending events of a group",
    "groups": "list the groups, or create, rewind, reset, wait for or drop one",
    "exec": "run a command when something changes",
    "dead": "list the paths that failed too often, hand them out again, or drop them",
    "ship": "publish every change to NATS JetStream, for other machines",
    "web": "serve a web page about the service, and its metrics",
    "find": "find files by name, size and time, in the index",
    "since": "print what has changed since a cursor",
    "explain": "say why an event of a path came, or did not come",
    "sync": "wait until every change made so far is in the index",
    "drain": "wait until every group has acknowledged every change made so far",
    "hold": "hold back batches while a command, such as a build, runs",
    "release": "end a hold that was taken without a command",
    "audit": "compare the index with the disk, and repair differences",
    "plan": "show how a tree would be divided into shards, without starting anything",
    "doctor": "check limits, filesystems and permissions, with remedies",
    "config": "print the effective configuration and the origin of each value",
    "init": "look at a tree and write a shardwatch.toml for it",
    "completion": "print a script that has bash, zsh or fish complete these commands",
}

_EPILOG = """\
`shardwatch COMMAND --help` explains a command. A running service is found by the first of these that names its state directory:
--state-dir, SHARDWATCH_STATE_DIR, and state_dir in a configuration file (-c FILE, or the nearest shardwatch.toml in the working
directory or above it). Otherwise it is found in its default place. Each configuration file, or set of roots, has its own below
$XDG_STATE_HOME/shardwatch (~/.local/state/shardwatch).

exit codes: 0 success · 1 status, doctor, audit: something needs attention · 2 wrong input · 3 no service runs there · 4 in use ·
5 timeout · 6 the service failed · 70 a defect of shardwatch · 130 interrupted   (docs/formats.md)
"""


class Parser(argparse.ArgumentParser):
    """argparse whose errors are one line, like every other error of ours."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(cut(message), hint=f"see `{self.prog} --help`")


class _Help(argparse.RawDescriptionHelpFormatter):
    """argparse forgets that commands are indented once more than options: the longest would not have its text beside it."""

    def add_argument(self, action: argparse.Action) -> None:
        super().add_argument(action)
        for below in self._iter_indented_subactions(action):
            self._action_max_length = max(
                self._action_max_length, len(self._format_action_invocation(below)) + self._current_indent
            )


def make_parser(chosen: str | None, *, alone: bool = False, whole: bool = False) -> Parser:
    """The parser of all commands, of which only `chosen` gets its arguments (the others' modules stay unread).

    Args:
        alone: the others are left out altogether, since nothing can be asked about them. A parser of a command takes 1 ms.
        whole: all of them get their arguments.
    """
    parser = Parser(
        prog="shardwatch",
        description="Watches large trees of files and delivers every change to an extract stage, at least once.",
        epilog=_EPILOG,
        formatter_class=_Help,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=_version())
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands", parser_class=Parser)
    for name, line in COMMANDS.items():
        if name != chosen and alone:
            continue
        if name != chosen and not whole:
            commands.add_parser(name, help=line, add_help=False)
            continue
        module = import_module(f"shardwatch.supervisor.cli.commands.{name}")
        command = commands.add_parser(
            name,
            help=line,
            description=line if whole else module.__doc__,  # completions show it beside the name
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    return parser


def run(arguments: list[str], early: EarlyProcess | None) -> int:
    """Runs one command and returns its exit code. Never lets a traceback out, unless SHARDWATCH_DEBUG is set.

    `early`: the process of the service that the command may start.
    """
    try:
        code = _run(arguments, early)
        sys.stdout.flush()
        return code
    except ShardwatchError as error:
        complain(str(error))
        return error.exit_code
    except BrokenPipeError:
        streams.forget(1)
        return 0
    except OSError as error:
        complain(_os_error(error))
        _flush_or_forget()
        return 1
    except Ended as ended:
        return 0 if ended.signum is None else 128 + ended.signum
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except Exception as error:
        if os.environ.get(DEBUG):
            raise
        state_dir = getattr(_last_arguments, "state_dir", None)
        logs = f"; the service's logs are in {state_dir}/logs" if state_dir else ""
        complain(f"defect in shardwatch: {type(error).__name__}: {error}{logs} (set SHARDWATCH_DEBUG=1 for the traceback)")
        return EXIT_BUG


_last_arguments: argparse.Namespace | None = None


def _run(arguments: list[str], early: EarlyProcess | None) -> int:
    global _last_arguments
    chosen = next((a for a in arguments if not a.startswith("-")), None)
    parser = make_parser(chosen, alone=arguments[0] == chosen) if chosen in COMMANDS else make_parser(None)
    behind: list[str] = []
    if chosen == "exec" and "--" in arguments:  # whose PATHs would take it all
        dashes = arguments.index("--")
        arguments, behind = arguments[:dashes], arguments[dashes + 1 :]
    try:
        options, unknown = parser.parse_known_args(arguments)
    except SystemExit as leave:  # --help and --version
        return leave.code if isinstance(leave.code, int) else 0
    _last_arguments = options
    if unknown:
        asked = " ".join(filter(None, ("shardwatch", options.command)))
        raise UsageError(cut(f"unrecognized arguments: {' '.join(unknown)}"), hint=f"see `{asked} --help`")
    options.early = early
    if options.command is None:
        raise UsageError("no command given", hint="see `shardwatch --help`; to begin: `shardwatch watch .`")
    if options.command == "exec":
        options.argv = behind
    if options.command == "completion":
        options.parser_of_all = lambda: make_parser(None, whole=True)
    if options.command != "hold":  # whose command makes files, too
        options.umask = os.umask(0o077)  # for the files of the commands of `exec` and `up`, which are not ours
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:  # `main`: from now on there may be something to be cleaned up
        signal.signal(signal.SIGINT, signal.default_int_handler)
    code = options.run(options)
    return int(code)


def complain(message: str) -> None:
    """One line on standard error, whatever the message holds."""
    streams.say(f"shardwatch: error: {' '.join(message.split())}")


def _os_error(error: OSError) -> str:
    name = error.filename if error.filename is not None else ""
    path = os.fsdecode(name) if isinstance(name, (str, bytes)) else str(name)
    why = cause(error)
    said = f"{path}: {why.what}" if path else why.what
    return f"{said} ({why.remedy})" if why.remedy else said


def _version() -> str:
    return f"shardwatch {__version__}"


def _flush_or_forget() -> None:
    """What can't be written to standard output (a full disk) was complained of; it must not raise again at exit."""
    try:
        sys.stdout.flush()
    except OSError:
        streams.forget(1)
