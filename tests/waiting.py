"""Waiting for a condition under a deadline: tests never sleep for a guessed time, and never wait for ever."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from shardwatch.shard.disk.calls import coarse_ns

T = TypeVar("T")


def eventually(predicate: Callable[[], T | None], deadline_s: float = 60.0, *, every_s: float = 0.02, what: str = "") -> T:
    """Calls `predicate` until it gives something true, and returns that.

    The deadline is a guard against hangs, not a measure of speed: give it generously. An AssertionError of the
    predicate counts as "not yet", so that a test may wait for a block of assertions; the failure names the last one.

    Raises:
        AssertionError: at the deadline, with `what` (or the predicate's name) and what it gave last.
    """
    deadline = time.monotonic() + deadline_s
    while True:
        cause: AssertionError | None = None
        last: object = None
        try:
            result = predicate()
            if result:
                return result
            last = result
        except AssertionError as e:
            cause = e
        if time.monotonic() >= deadline:
            name = what or getattr(predicate, "__name__", repr(predicate))
            raise AssertionError(f"not within {deadline_s:g} s: {name}; last: {last!r}") from cause
        time.sleep(every_s)


def next_tick() -> None:
    """Waits until a change gets a later time than one that was made before, some milliseconds at most. On most filesystems all
    changes between two ticks of the kernel's clock have the same time.
    """
    begun = coarse_ns()
    eventually(lambda: coarse_ns() > begun, every_s=0.001, what="the next tick of the clock")
