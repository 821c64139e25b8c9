"""Memory is given back once, after the work and not during it."""

from __future__ import annotations

import ctypes
import subprocess
import sys

import pytest

from shardwatch.shard.contract.process.slack import QUIET_NS, Slack, give_back

#: Allocates 64 MB in pieces, frees all but the last, which keeps the heap from shrinking by itself, and gives back.
FREES = """
from pathlib import Path
from shardwatch.shard.contract.process.slack import give_back

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1])

pieces = [bytearray(b"x") * 65_536 for _ in range(1000)]
last = pieces.pop()
del pieces
before = resident()
give_back()
print(before, resident())
"""


def test_nothing_is_due_without_work() -> None:
    slack = Slack()
    assert slack.next_due() is None
    assert not slack.due(10**18)


def test_due_when_the_work_has_rested_until_memory_is_given_back() -> None:
    """To ask changes nothing."""
    slack = Slack()
    slack.worked(1)
    assert slack.next_due() == 1 + QUIET_NS
    assert not slack.due(QUIET_NS)
    assert slack.due(1 + QUIET_NS)
    assert slack.due(1 + QUIET_NS)
    slack.given_back()
    assert not slack.due(2 + QUIET_NS)
    assert slack.next_due() is None


def test_work_that_goes_on_puts_it_off() -> None:
    slack = Slack()
    for now in range(0, 10 * QUIET_NS, QUIET_NS // 2):
        slack.worked(now)
        assert not slack.due(now + QUIET_NS // 2)
    assert slack.due(10 * QUIET_NS + QUIET_NS)


def test_freed_memory_is_given_back() -> None:
    done = subprocess.run([sys.executable, "-P", "-c", FREES], capture_output=True, text=True, check=True)
    before, after = map(int, done.stdout.split())
    assert after < before / 2, "pages"


def test_a_library_without_malloc_trim(monkeypatch: pytest.MonkeyPatch) -> None:
    """musl has none: nothing is done."""
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    give_back()
