"""A child that is not measured for coverage: measuring imports modules of its own."""

from __future__ import annotations

import os
import subprocess
import sys


def unmeasured(code: str) -> subprocess.CompletedProcess[str]:
    """Runs `python -P -c code` and demands exit code 0."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}
    return subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True, env=env)
