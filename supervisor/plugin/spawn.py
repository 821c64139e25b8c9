"""Starts programs with fewer system calls. Runs inside supervisord.

Between fork and exec, supervisord closes every descriptor up to `minfds` by a call of its own, most of which fail. That takes
milliseconds in which the program could be loading already.
"""

from __future__ import annotations

import os
from typing import Any

import supervisor.process

#: Its method is replaced, which types don't allow.
Subprocess: Any = supervisor.process.Subprocess


def install() -> None:
    """Applies it to every program from now on. Idempotent; for the whole process."""
    Subprocess._prepare_child_fds = _prepare_child_fds


def _prepare_child_fds(process: Any) -> None:
    """In the child: standard streams are the pipes to supervisord, and nothing else is left open."""
    options, pipes = process.config.options, process.pipes
    options.dup2(pipes["child_stdin"], 0)
    options.dup2(pipes["child_stdout"], 1)
    options.dup2(pipes["child_stdout" if process.config.redirect_stderr else "child_stderr"], 2)
    os.closerange(3, options.minfds)
