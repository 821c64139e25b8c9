"""A limit of inotify watches for one service alone: that of a user namespace in which it runs."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

from cli_process import Command

#: In a user namespace its own limit, which nobody else has.
_NAMESPACE_LIMIT = "/proc/sys/user/max_inotify_watches"


def in_a_namespace(watches: int, command: Sequence[str | bytes | Path]) -> list[str | bytes | Path]:
    """The command line of a command of ours, in a user namespace of its own with so many watches. Needs unshare."""
    return ["unshare", "--user", "--map-root-user", "sh", "-c", f'echo {watches} > {_NAMESPACE_LIMIT}; exec "$@"', "sh", *command]


def limit(service: Command, watches: int) -> None:
    """Sets the limit of the namespace in which a command runs. Needs root and nsenter."""
    script = f"echo {watches} > {_NAMESPACE_LIMIT}"
    subprocess.run(["nsenter", "--user", "--target", str(service.process.pid), "sh", "-c", script], check=True)
