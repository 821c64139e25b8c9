"""Roots that a command is about to read, checked: `service.prepare` does it for a service, `plan` and `doctor` have none."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable

from shardwatch.shard.contract.errors import UsageError


def trouble_with(root: bytes) -> str:
    """Why `root` can't be watched; "" if it can."""
    try:
        found = os.stat(root)
    except (FileNotFoundError, NotADirectoryError):
        return "does not exist"
    except OSError as error:
        return f"can't be reached: {error.strerror}"
    if not stat.S_ISDIR(found.st_mode):
        return "is not a directory"
    return "" if os.access(root, os.R_OK | os.X_OK) else "can't be read: permission denied"


def check_roots(roots: Iterable[bytes]) -> None:
    """Raises UsageError for the first root that can't be watched."""
    for root in roots:
        trouble = trouble_with(root)
        if trouble:
            raise UsageError(f"root {os.fsdecode(root)} {trouble}", hint="give a directory that you can read")
