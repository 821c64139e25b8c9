"""The priority of a process, set by real processes of their own: it can't be raised again without a privilege."""

from __future__ import annotations

import subprocess
import sys

import pytest

#: Sets a priority after a thread was started, sets another, and prints for each what was refused and what all threads have.
CODE = """
import os, sys, threading
from shardwatch.shard.contract.process.priority import take_priority
from shardwatch.shard.contract.state.settings import Settings

threading.Thread(target=threading.Event().wait, daemon=True).start()
if sys.argv[1] == "other":
    os.setresuid(61001, 61001, 61001)
for text in sys.argv[2:]:
    niceness, io_class, level, least = text.split(",")
    settings = Settings(roots=(), include=(), exclude=(), niceness=int(niceness), io_class=io_class, io_level=int(level))
    refused = take_priority(settings, niceness_min=int(least))
    threads = [int(name) for name in os.listdir("/proc/self/task")]
    nice = {os.getpriority(os.PRIO_PROCESS, thread) for thread in threads}
    import ctypes
    call = {"x86_64": 252, "aarch64": 31}[os.uname().machine]
    io = {ctypes.CDLL(None).syscall(call, 1, thread) for thread in threads}
    print(*nice, *io, refused.restart_helps, refused.what, sep="|")
"""


def told(user: str, *asked: str, niceness: int = 0) -> list[str]:
    before = [] if not niceness else ["nice", "-n", str(niceness)]
    done = subprocess.run(
        [*before, sys.executable, "-P", "-c", CODE, user, *asked], capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    return done.stdout.splitlines()


@pytest.mark.root
def test_all_threads_have_it() -> None:
    """Niceness, class and level; and back again, where that is allowed."""
    assert told("root", "7,idle,4,-20", "3,best-effort,6,-20", "-2,inherited,4,-20", "0,inherited,4,-20") == [
        f"7|{3 << 13}|False|",
        f"3|{2 << 13 | 6}|False|",
        "-2|0|False|",
        "0|0|False|",
    ]


@pytest.mark.parametrize(("asked", "nice"), [("0,inherited,4,10", 10), ("5,inherited,4,10", 10), ("15,inherited,4,10", 15)])
def test_a_program_that_gives_way_has_at_least_its_own(asked: str, nice: int) -> None:
    """The coordinator."""
    assert told("root", asked) == [f"{nice}|0|False|"]


@pytest.mark.root
def test_without_a_privilege_it_is_not_raised() -> None:
    """It says so, and whether a process that is started anew would have it: its parent may be nicer or not."""
    assert told("other", "6,idle,4,-20", "4,inherited,4,-20", "-5,inherited,4,-20", "0,inherited,4,-20") == [
        f"6|{3 << 13}|False|",
        "6|0|True|niceness 4 was refused, and is 6",
        "6|0|False|niceness -5 was refused, and is 6",
        "6|0|True|niceness 0 was refused, and is 6",
    ]
