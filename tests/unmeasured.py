"""A child that is not measured for coverage: measuring imports modules of its own."""

from __future__ import annotations

import os
import subprocess
import sys


def unmeasured(code: str, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Runs `python -P -c code` and demands exit code 0, unless `check` is false."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}
    return subprocess.run([sys.executable, "-P", "-c", code, *arguments], capture_output=True, text=True, check=check, env=env)
