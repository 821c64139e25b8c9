"""What a shard's process waits for, with pipes."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from shardwatch.shard.process.wakeups import Wakeups

#: Less than a millisecond, which only the wait for names is exact to.
PART_NS = 400_000


class Pipes:
    """One for hints, one for room, and another."""

    def __init__(self) -> None:
        self._ends = [os.pipe() for _ in range(3)]
        self.hints, self.room, self.other = (reader for reader, _ in self._ends)
        self.wakeups = Wakeups(self.hints, self.room, [self.other])

    def write(self, *readers: int) -> None:
        for reader, writer in self._ends:
            if reader in readers:
                os.write(writer, b"x")

    def close(self) -> None:
        for fd in sum(self._ends, ()):
            os.close(fd)


@pytest.fixture
def pipes() -> Iterator[Pipes]:
    pipes = Pipes()
    yield pipes
    pipes.close()


@pytest.mark.parametrize("names", [False, True])
def test_it_wakes_for_what_is_ready_and_else_in_time(pipes: Pipes, names: bool) -> None:
    """Whatever it waits for; nothing is read of it."""
    assert pipes.wakeups.wait(PART_NS, names=names) == set()
    pipes.write(pipes.hints, pipes.other)
    for _ in range(2):
        assert pipes.wakeups.wait(10**12, names=names) == {pipes.hints, pipes.other}


def test_room_counts_while_something_could_not_be_sent(pipes: Pipes) -> None:
    """There is mostly room: it would never rest otherwise."""
    pipes.write(pipes.room)
    assert pipes.wakeups.wait(0, names=False) == set()
    for _ in range(2):
        pipes.wakeups.await_room(wanted=True)
        assert pipes.wakeups.wait(10**12, names=False) == {pipes.room}
    for _ in range(2):
        pipes.wakeups.await_room(wanted=False)
        assert pipes.wakeups.wait(0, names=False) == set()


def test_the_last_part_of_a_millisecond_is_waited_for_hints_alone(pipes: Pipes) -> None:
    """The poll before it has found nothing: what comes after that ends the second wait."""
    polled = iter([False, True])

    def clock() -> int:
        if next(polled):
            pipes.write(pipes.hints, pipes.other)
        return 0

    wakeups = Wakeups(pipes.hints, pipes.room, [pipes.other], clock)
    assert wakeups.wait(999_999, names=True) == {pipes.hints}
