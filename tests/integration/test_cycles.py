"""No leak: a process that starts and stops the service again and again holds as much after the last time as after the second.

SW_CYCLES=100 makes it a hundred times; the ten of `make test` find what leaks at every start or stop.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from cycles import MODES, grown

CYCLES = int(os.environ.get("SW_CYCLES", "0"))
#: Without it: a watcher ten times, and its variations less often.
USUAL = {"watcher": 10, "kept": 5, "service": 5}
TESTS = Path(__file__).parents[1]
#: Memory after the last cycle by that after the second, at most. Python's own is flat to a few percent; which pages of a library
#: are mapped depends on the machine too.
RATIOS = {"Anonymous": 1.10, "Rss": 1.25}


@pytest.mark.parametrize("mode", MODES)
def test_starting_and_stopping_leaves_nothing(state_dir: Path, mode: str, no_leaks: None) -> None:
    """There are no more descriptors, sockets, threads, processes and files than after the second time, and memory is flat."""
    cycles = CYCLES or USUAL[mode]
    done = subprocess.run(
        [sys.executable, "-P", TESTS / "cycles.py", mode, str(cycles), state_dir],
        capture_output=True, text=True, timeout=120 + 60 * cycles, check=False,
        env={**os.environ, "TMPDIR": str(state_dir), "PYTHONPATH": f"{TESTS.parent / 'src'}:{TESTS}"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(rows) == cycles
    second, last = rows[1], rows[-1]
    assert not grown(second["held"], last["held"]), (second, last)
    assert last["held"]["processes"] == last["held"]["bound"] == 0
    if mode == "watcher":
        assert last["held"]["files"] == 2  # the root and its file
    for name, ratio in RATIOS.items():
        assert last["memory_kb"][name] <= second["memory_kb"][name] * ratio, (name, second, last)
