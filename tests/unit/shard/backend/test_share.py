"""A shard may hold more watches as soon as the limit is raised, or other programs give theirs back; the reserve stays theirs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from shardwatch.shard.backend.beside import BesideBackend
from shardwatch.shard.backend.inotify import InotifyBackend
from shardwatch.shard.backend.share import WatchShare, limited_part, refusals_of
from shardwatch.shard.backend.sweeping import SweepingBackend
from shardwatch.shard.tree.nodes import Top

S = 10**9


class Held:
    """A backend that holds all watches that it may."""

    def __init__(self, watches_max: int) -> None:
        self.watches_max = watches_max
        self.free = 0

    def watches(self) -> int:
        return self.watches_max - self.free


class Machine:
    """The limit, and what others hold."""

    def __init__(self, allowed: int, others: int) -> None:
        self.allowed = allowed
        self.held = others
        self.counted = 0

    def others(self) -> int:
        self.counted += 1
        return self.held


@pytest.fixture
def machine() -> Machine:
    return Machine(1_000, 400)


def share(backend: Held, machine: Machine, shards: int = 1) -> WatchShare:
    return WatchShare(lambda: backend, shards, allowed=lambda: machine.allowed, others=machine.others)


def test_a_raised_limit_is_taken_at_once(machine: Machine) -> None:
    """Apart from the reserve. What others hold is counted anew only then, or after a while."""
    backend = Held(500)
    own = share(backend, machine)
    assert not own.renew(S) and backend.watches_max == 500
    assert not own.renew(2 * S) and machine.counted == 1
    machine.allowed = 2_000
    assert own.renew(3 * S) and backend.watches_max == 1_400
    machine.allowed = 500
    assert not own.renew(4 * S) and backend.watches_max == 1_400


def test_what_others_give_back_is_taken_after_a_while(machine: Machine) -> None:
    """The limit is the same."""
    backend = Held(500)
    own = share(backend, machine)
    assert not own.renew(S)
    machine.held = 100
    assert not own.renew(30 * S)
    assert own.renew(31 * S) and backend.watches_max == 800


def test_shards_take_a_part_each(machine: Machine) -> None:
    """So that there is something left for all that want it; the rest comes with the next times."""
    backend = Held(100)
    own = share(backend, machine, shards=3)
    assert own.renew(S) and backend.watches_max == 234


@pytest.mark.parametrize(("watches_max", "free"), [(0, 0), (500, 1)])
def test_where_the_kernel_decides_nothing_is_counted(machine: Machine, watches_max: int, free: int) -> None:
    """No own bound, or it is not reached."""
    backend = Held(watches_max)
    backend.free = free
    assert not share(backend, machine).renew(S) and machine.counted == 0


def test_it_is_for_backends_with_a_watch_for_each_directory(tmp_path: Path) -> None:
    """Also where it is one of two, as soon as it is opened. With the real numbers of this machine nothing fails."""
    inotify, sweeping = InotifyBackend(watches_max=1), SweepingBackend("asked")
    assert limited_part(inotify) is inotify and limited_part(sweeping) is None
    assert refusals_of(inotify)() and not refusals_of(sweeping)()
    assert not WatchShare(lambda: inotify, 1).renew(S)
    assert not WatchShare(lambda: None, 1).renew(S)
    top = Top(os.fsencode(tmp_path), 0)
    both = BesideBackend(lambda: inotify, lambda: sweeping)
    assert limited_part(both) is None and refusals_of(both)()
    fd = os.open(tmp_path, os.O_RDONLY)
    both.watch(fd, top)
    assert limited_part(both) is inotify and refusals_of(both)()
    assert WatchShare(lambda: limited_part(both), 1).renew(S) in (True, False)
    inotify.watches_max = 1
    with pytest.raises(OSError, match="share of the watches"):
        both.watch(fd, top.adopt(b"x"))
    assert not refusals_of(both)()  # the other one is asked too
    os.close(fd)
    both.close()
