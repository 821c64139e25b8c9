"""Runs supervisord on the terms of the process that asked for it, which the plugin finds in supervisord's options.

supervisord's own `main` makes options of its own class at each start and reload, and its configuration is the same file in
every state directory. So what is particular to one service, but to none of its files, travels with the options.
"""

from __future__ import annotations

import importlib
import tempfile
from collections.abc import Sequence
from operator import attrgetter
from typing import Any, NamedTuple

import supervisor.supervisord
from supervisor.options import ServerOptions
from supervisor.states import SupervisorStates

from .first_plan import Planner
from .hang_up import HangUpHandler, Reaction

supervisord: Any = supervisor.supervisord


class Terms(NamedTuple):
    """What the caller wants of a supervisord, beyond its configuration."""

    #: Standard input is held by whoever started it: at its end, supervisord ends.
    ends_with_input: bool
    hang_up: HangUpHandler
    #: Who makes the plan of a first start; None where there is a plan.
    planner: Planner | None = None


class _Options(ServerOptions):
    """supervisord's options, with the terms."""

    def __init__(self, terms: Terms) -> None:
        super().__init__()
        self.terms = terms

    def import_spec(self, spec: str) -> Any:
        """What a name like `package.module:attribute` in the configuration means. supervisord would ask importlib.metadata, which
        takes milliseconds to load. Raises ImportError, AttributeError."""
        module, _, name = spec.partition(":")
        return attrgetter(name)(importlib.import_module(module))


def run(arguments: Sequence[str], terms: Terms) -> None:
    """supervisord in this process, until it ends; a reload starts it anew. Does what `supervisor.supervisord.main` does.

    Raises SystemExit where it refuses its arguments or its configuration.
    """
    # Otherwise supervisord writes a file into $TMPDIR to find out whether it can, and that may lie on a filesystem that hangs. It
    # needs no such place: no program has a log there.
    tempfile.tempdir = "."
    first = True
    while True:
        options: Any = _Options(terms)  # its types lack what main uses
        options.realize(list(arguments), doc=supervisord.__doc__)
        options.first = first
        options.test = False
        supervisord.go(options)
        options.close_httpservers()
        options.close_logger()
        if options.mood < SupervisorStates.RESTARTING:
            return
        first = False
        terms = terms._replace(planner=None)


def terms_of(options: object) -> Terms:
    """The terms that a supervisord runs on. One that was not started by `run` has its own ways."""
    if isinstance(options, _Options):
        return options.terms
    return Terms(ends_with_input=False, hang_up=HangUpHandler(Reaction.RELOAD))
