"""Starts programs with fewer system calls, and so that `ps` shows whose they are. Runs inside supervisord.

Between fork and exec, supervisord closes every descriptor up to `minfds` by a call of its own, most of which fail. That takes
milliseconds in which the program could be loading already.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, Final

import supervisor.process

#: Its method is replaced, which types don't allow.
Subprocess: Any = supervisor.process.Subprocess
#: It starts our programs, and takes what is only to be seen.
LAUNCH: Final = "shardwatch.shard.contract.process.launch"
_stock: Final = Subprocess._spawn_as_child


def install() -> None:
    """Applies it to every program from now on. Idempotent; for the whole process."""
    Subprocess._prepare_child_fds = _prepare_child_fds
    Subprocess._spawn_as_child = _spawn_as_child


def named(argv: Sequence[str], program: str, service: str) -> list[str]:
    """The command line of a program of ours, with what it is and its state directory; any other as it is. Pure.

    It is made here, and not in supervisord's configuration, which would expand and split a path.
    """
    if LAUNCH not in argv:
        return list(argv)
    after = argv.index(LAUNCH) + 1
    return [*argv[:after], "--of", f"{service}:{program}", *argv[after:]]


def _spawn_as_child(process: Any, filename: str, argv: Sequence[str]) -> None:
    """In the child."""
    here = process.config.options.here or "."
    _stock(process, filename, named(argv, process.config.name, here))


def _prepare_child_fds(process: Any) -> None:
    """In the child: standard streams are the pipes to supervisord, and nothing else is left open."""
    options, pipes = process.config.options, process.pipes
    options.dup2(pipes["child_stdin"], 0)
    options.dup2(pipes["child_stdout"], 1)
    options.dup2(pipes["child_stdout" if process.config.redirect_stderr else "child_stderr"], 2)
    os.closerange(3, options.minfds)
