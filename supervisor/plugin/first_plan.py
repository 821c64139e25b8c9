"""Waits for the plan of a first start, without keeping the programs waiting that need none. Runs inside supervisord.

`run` has the plan made by a child, the *planner*, while its own process becomes supervisord. This module needs nothing of
supervisord, so that `run` can name the planner before supervisord is loaded.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from typing import Any, NamedTuple

from .map_entry import MapEntry, drop_closed


class Planner(NamedTuple):
    """The child that makes the plan."""

    pid: int
    #: Of a pipe. It can be read once the plan is there, or once it is certain that this child makes none.
    planned: int


class FirstPlan(MapEntry):
    """The planner's pipe in supervisord's socket map."""

    def __init__(self, socket_map: dict[int, Any], planner: Planner, then: Callable[[], None]) -> None:
        """`then` is called once: when the plan is there, or will not be. It must not raise."""
        self._map = socket_map
        self._planner = planner
        self._then = then
        self._over = False
        socket_map[planner.planned] = self

    def readable(self) -> bool:
        return not self._over

    def handle_read_event(self) -> None:
        self._over = True
        del self._map[self._planner.planned]
        if not os.read(self._planner.planned, 1):
            # It ends, since its end of the pipe is closed. Otherwise it reads ahead, and supervisord reaps it later.
            with contextlib.suppress(ChildProcessError):  # supervisord was quicker
                os.waitpid(self._planner.pid, 0)
        os.close(self._planner.planned)
        self._then()


def forget_planner(socket_map: dict[int, Any]) -> None:
    """At a reload: the pipe was closed, and nobody waits for it any more."""
    drop_closed(socket_map, FirstPlan)
