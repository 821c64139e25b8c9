"""Checks the roots that a command is about to read. For a service `service.state_dir.prepare` does this; `plan` has no service.
"""

from __future__ import annotations

import os

from shardwatch.shard.contract.errors import UsageError
from shardwatch.shard.contract.state.settings import Settings

from ..planning.named import NOT_THERE, trouble_with


def check_roots(settings: Settings) -> None:
    """Raises UsageError for the first root that can't be watched, and need not be waited for."""
    for root in settings.named():
        trouble = trouble_with(root)
        if trouble and not (trouble == NOT_THERE and settings.wait_for_roots):
            raise UsageError(f"root {os.fsdecode(root)} {trouble}", hint="give a directory or a file that you can read")
