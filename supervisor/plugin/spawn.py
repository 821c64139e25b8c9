"""Starts programs with fewer system calls, with the priority that they are to have, and so that `ps` shows whose they are. Runs
inside supervisord.

Between fork and exec, supervisord closes every descriptor up to `minfds` by a call of its own, most of which fail. That takes
milliseconds in which the program could be loading already.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from typing import Any, Final

import supervisor.process

#: Its method is replaced, which types don't allow.
Subprocess: Any = supervisor.process.Subprocess
#: It starts our programs, and takes what is only to be seen.
LAUNCH: Final = "shardwatch.shard.contract.process.launch"
#: In the configuration: what is added to the nice value of a program. With it, the program leaves the processors to those that
#: are waited for.
NICE: Final = "--nice"
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


def without_nice(argv: Sequence[str]) -> tuple[list[str], int]:
    """The command line of a program of ours without `--nice N`, which stands first behind LAUNCH, and N; any other as it is, and
    0. Pure."""
    at = argv.index(LAUNCH) + 1 if LAUNCH in argv else len(argv)
    if list(argv[at : at + 1]) != [NICE]:
        return list(argv), 0
    return [*argv[:at], *argv[at + 2 :]], int(argv[at + 1])


def _spawn_as_child(process: Any, filename: str, argv: Sequence[str]) -> None:
    """In the child."""
    here = process.config.options.here or "."
    words, nice = without_nice(argv)
    if nice:  # from its first moment: to load Python alone takes as long as a fifth of all that it loads
        with contextlib.suppress(OSError):  # a filter of system calls refuses it; what is raised here, a second supervisord meets
            os.nice(nice)
    _stock(process, filename, named(words, process.config.name, here))


def _prepare_child_fds(process: Any) -> None:
    """In the child: standard streams are the pipes to supervisord, and nothing else is left open."""
    options, pipes = process.config.options, process.pipes
    options.dup2(pipes["child_stdin"], 0)
    options.dup2(pipes["child_stdout"], 1)
    options.dup2(pipes["child_stdout" if process.config.redirect_stderr else "child_stderr"], 2)
    os.closerange(3, options.minfds)
