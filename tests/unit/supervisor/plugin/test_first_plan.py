"""How supervisord's loop hears of the plan of a first start."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest
from session import deliver

from shardwatch.supervisor.plugin.first_plan import FirstPlan, Planner, forget_planner


@pytest.fixture
def ended() -> int:
    """A child that has ended, or is about to, and is not reaped."""
    child = os.fork()
    if child == 0:
        os._exit(0)
    return child


@pytest.fixture
def alive() -> Iterator[int]:
    """A child that lives for as long as the test."""
    child = os.fork()
    if child == 0:
        signal.pause()
    yield child
    deliver(child, signal.SIGKILL)
    os.waitpid(child, 0)


def test_a_planner_that_is_done_is_reaped(ended: int) -> None:
    """Its end of the pipe is closed. The plan is taken once, and nothing of it stays in the loop."""
    planned, planning = os.pipe()
    socket_map: dict[int, Any] = {}
    taken: list[int] = []
    entry = FirstPlan(socket_map, Planner(ended, planned), lambda: taken.append(1))
    assert socket_map == {planned: entry}
    assert entry.readable()
    os.close(planning)
    entry.handle_read_event()
    assert taken == [1]
    assert not entry.readable()
    assert socket_map == {}
    with pytest.raises(ChildProcessError):
        os.waitpid(ended, os.WNOHANG)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(planned)


def test_a_planner_that_supervisord_has_reaped_is_no_error(ended: int) -> None:
    """Both hear of its end at the same time."""
    planned, planning = os.pipe()
    taken: list[int] = []
    entry = FirstPlan({}, Planner(ended, planned), lambda: taken.append(1))
    os.waitpid(ended, 0)
    os.close(planning)
    entry.handle_read_event()
    assert taken == [1]


def test_a_planner_that_goes_on_is_not_waited_for(alive: int) -> None:
    """The plan is there, and it reads ahead of the shards."""
    planned, planning = os.pipe()
    taken: list[int] = []
    entry = FirstPlan({}, Planner(alive, planned), lambda: taken.append(1))
    os.write(planning, b"1")
    entry.handle_read_event()
    os.close(planning)
    assert taken == [1]
    assert os.waitpid(alive, os.WNOHANG) == (0, 0)


def test_a_reload_forgets_the_planner() -> None:
    """supervisord has closed the pipe by its number: that may be another's by now, and other entries stay."""
    socket_map: dict[int, Any] = {7: object()}
    others = dict(socket_map)
    FirstPlan(socket_map, Planner(1, 99), lambda: None)
    forget_planner(socket_map)
    assert socket_map == others
