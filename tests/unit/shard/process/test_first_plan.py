"""A shard that is loaded before there is a plan waits for it, shows life meanwhile, and ends with supervisord."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from shardwatch.shard.contract.process.life import SCANNING
from shardwatch.shard.contract.state.layout import Layout
from shardwatch.shard.contract.state.planfile import Anchor, Plan, PlanFile, write_plan
from shardwatch.shard.process.first_plan import await_plan

PLAN = Plan(5, (Anchor(b"/r", "s0", b"/r"),))
#: Seconds after which a wait has failed.
GUARD_S = 30.0


@pytest.fixture
def layout(state_dir: Path) -> Layout:
    (state_dir / "run").mkdir(parents=True)
    return Layout(state_dir)


@pytest.fixture
def guard() -> Iterator[tuple[int, int]]:
    """A pipe: standard input, and what supervisord holds of it."""
    reader, writer = os.pipe()
    yield reader, writer
    os.close(reader)


@pytest.mark.parametrize("guarded", [True, False])
def test_a_plan_that_comes_is_found(layout: Layout, guard: tuple[int, int], guarded: bool) -> None:
    """A pulse says that the process is alive and has not proved anything yet."""
    reader, writer = guard
    found: list[Plan | None] = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as pulses:
        pulses.bind(os.fspath(layout.pulse_socket))
        pulses.settimeout(GUARD_S)
        waiting = threading.Thread(
            target=lambda: found.append(await_plan(layout, PlanFile(layout.plan), reader if guarded else None))
        )
        waiting.start()
        assert pulses.recv(100).endswith(SCANNING)
        os.write(writer, b"x")  # what is written says nothing, the end does
        write_plan(layout.plan, PLAN)
        waiting.join(GUARD_S)
    os.close(writer)
    assert found == [PLAN]


def test_a_plan_that_is_there_is_not_waited_for(layout: Layout) -> None:
    write_plan(layout.plan, PLAN)
    assert await_plan(layout, PlanFile(layout.plan), None) == PLAN


def test_nobody_waits_when_supervisord_is_gone(layout: Layout, guard: tuple[int, int]) -> None:
    reader, writer = guard
    os.close(writer)
    assert await_plan(layout, PlanFile(layout.plan), reader) is None
