"""Programs that leave their group: when each is taken out, started again, or given up to the kernel."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from supervisor import events
from supervisor.states import ProcessStates

from shardwatch.supervisor.plugin.leaving import Leaving


class Program:
    """A process as supervisord has it. Told to stop, it ends when the test says so."""

    def __init__(self, group: Any, name: str, state: int = ProcessStates.RUNNING) -> None:
        self.group = group
        self.config = SimpleNamespace(name=name, environment={"SHARD_ID": name}, stopwaitsecs=2)
        self.state = state
        self.laststart = 5.0
        self.stops = 0
        self.pid = 0
        group.processes[name] = self
        group.config.process_configs.append(self.config)

    def stop(self) -> None:
        self.stops += 1
        if self.state == ProcessStates.BACKOFF:
            self.end()
        else:
            self.state = ProcessStates.STOPPING

    def end(self) -> None:
        before, self.state = self.state, ProcessStates.STOPPED
        event: Any = events.ProcessStateStoppedEvent
        events.notify(event(self, before))


@pytest.fixture
def group() -> Any:
    return SimpleNamespace(config=SimpleNamespace(name="shards", process_configs=[]), processes={})


@pytest.fixture
def clock() -> list[float]:
    """Its only item is the time."""
    return [100.0]


@pytest.fixture
def leaving(group: Any, clock: list[float]) -> Iterator[Leaving]:
    supervisord: Any = SimpleNamespace(process_groups={"shards": group})
    yield Leaving(supervisord, lambda: clock[0])
    events.clear()


def test_a_program_is_taken_out_when_it_ends(leaving: Leaving, group: Any) -> None:
    """Whoever has asked need not ask again, and asking again does not put off that it is killed. Another that stops, stays."""
    program, other = Program(group, "s0"), Program(group, "s1")
    process = leaving.tell("shards", "s0")
    assert process is program  # type: ignore[comparison-overlap]
    assert leaving.tell("shards", "s0") is process and program.stops == 1
    assert process is not None and not leaving.has_left("shards", "s0", process)
    for one in (program, other):
        one.end()
    assert leaving.has_left("shards", "s0", process)
    assert list(group.processes) == ["s1"] and group.config.process_configs == [other.config]
    assert leaving.tell("shards", "s0") is None and leaving.tell("none", "s0") is None


@pytest.mark.parametrize("state", [ProcessStates.BACKOFF, ProcessStates.EXITED, ProcessStates.STOPPED])
def test_what_does_not_run_is_taken_out_at_once(leaving: Leaving, group: Any, state: int) -> None:
    """It waits for its next start, has ended, or was stopped by an operator."""
    Program(group, "s0", state)
    assert leaving.tell("shards", "s0") is None
    assert not group.processes and not group.config.process_configs


def test_what_is_wanted_again_is_started_again_once_it_has_ended(leaving: Leaving, group: Any) -> None:
    """Whoever waits for its end waits no longer. Told to leave once more, it leaves."""
    program: Any = Program(group, "s0")
    assert not leaving.want_again("shards", "s0"), "it was not told to leave"
    leaving.tell("shards", "s0")
    assert leaving.want_again("shards", "s0") and not leaving.want_again("shards", "s0")
    assert leaving.has_left("shards", "s0", program)
    program.end()
    assert group.processes == {"s0": program} and program.laststart == 0
    program.state = ProcessStates.RUNNING
    leaving.tell("shards", "s0")
    leaving.want_again("shards", "s0")
    leaving.tell("shards", "s0")
    assert not leaving.has_left("shards", "s0", program)
    program.end()
    assert not group.processes


def test_one_that_the_kernel_keeps_is_killed_and_as_good_as_gone(leaving: Leaving, group: Any, clock: list[float]) -> None:
    """After the time that supervisord gives it, and a second. How long it is stuck is told until it ends."""
    with subprocess.Popen(["sleep", "60"]) as child:
        program: Any = Program(group, "s0")
        program.pid = child.pid
        leaving.tell("shards", "s0")
        clock[0] += 3.0
        assert not leaving.has_left("shards", "s0", program) and leaving.stuck_s(program) == 0
        clock[0] += 0.1
        assert leaving.has_left("shards", "s0", program)
        assert child.wait(60) == -signal.SIGKILL
    clock[0] += 7.0
    assert leaving.has_left("shards", "s0", program) and leaving.stuck_s(program) == 7.0
    assert group.processes == {"s0": program}, "supervisord has it until it ends"
    leaving.want_again("shards", "s0")
    assert leaving.stuck_s(program) == 7.0
    program.end()
    assert leaving.stuck_s(program) == 0 and group.processes == {"s0": program}


def test_one_that_the_kernel_keeps_is_told_also_if_nobody_waits_for_it(leaving: Leaving, group: Any, clock: list[float]) -> None:
    """The coordinator was killed when it had told it to leave. Otherwise `status` would say that somebody has stopped it."""
    with subprocess.Popen(["sleep", "60"]) as child:
        program: Any = Program(group, "s0")
        other: Any = Program(group, "s1")
        program.pid = child.pid
        leaving.tell("shards", "s0")
        clock[0] += 3.1
        assert leaving.stuck_s(program) == 0 and child.wait(60) == -signal.SIGKILL
    clock[0] += 2.0
    assert leaving.stuck_s(program) == 2.0 and leaving.stuck_s(other) == 0


def test_another_program_of_that_name_is_another(leaving: Leaving, group: Any) -> None:
    """An operator took the whole group out of supervisord meanwhile, and it was made again."""
    old: Any = Program(group, "s0")
    leaving.tell("shards", "s0")
    group.config.process_configs.clear()
    new: Any = Program(group, "s0")
    told: Any = leaving.tell("shards", "s0")
    assert told is new and new.stops == 1
    old.end()
    assert group.processes == {"s0": new}
    assert leaving.has_left("shards", "s0", old) and not leaving.has_left("shards", "s0", told)
