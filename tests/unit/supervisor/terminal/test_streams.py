"""Lines for people on standard error, and what becomes of them where they can't be written."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

GUARD_S = 60.0


def test_a_disk_that_was_full_is_written_to_again(tmp_path: Path) -> None:
    """The line that it refuses is lost; later ones, and what else is written to standard error, are not."""
    script = (
        "import os, resource\n"
        "from shardwatch.supervisor.terminal.streams import say\n"
        "hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]\n"
        "say('first')\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (os.fstat(2).st_size, hard))\n"
        "say('lost')\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))\n"
        "say('second')\n"
        "os.write(2, b'of a run\\n')\n"
    )
    errors = tmp_path / "errors"
    with errors.open("w") as file:
        subprocess.run([sys.executable, "-c", script], stderr=file, check=True, timeout=GUARD_S)
    assert errors.read_text() == "first\nsecond\nof a run\n"
