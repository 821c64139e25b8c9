"""How a program of a service is started."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

_PROGRAM = """
import gc, os
collected = gc.isenabled()

def main(arguments):
    print(arguments, collected, gc.isenabled(), os.nice(0))
    return 7
"""


@pytest.mark.parametrize(("named", "more"), [([], 0), (["--of", "--of:x"], 0), (["--of", "--nice:x", "--nice", "3"], 3)])
def test_a_program_gets_its_arguments_and_gives_its_code(tmp_path: Path, named: list[str], more: int) -> None:
    """It is loaded without collections, and runs with them. A supervisord that began with earlier code leaves its priority to
    it."""
    (tmp_path / "program.py").write_text(_PROGRAM)
    launched = subprocess.run(
        [sys.executable, "-P", "-m", "shardwatch.shard.contract.process.launch", *named, "program", "--state-dir", "."],
        capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )  # fmt: skip
    assert launched.returncode == 7, launched.stderr
    assert launched.stdout == f"['--state-dir', '.'] False True {min(19, os.nice(0) + more)}\n"
