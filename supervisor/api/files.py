"""Checks whether the files that events name can be processed. Blocks, and is called in a thread."""

from __future__ import annotations

import os
import stat
from dataclasses import replace

from shardwatch.aggregator.queue.file_event import DELETED, FileEvent


def check_files(events: list[FileEvent], size_max: int | None) -> list[tuple[FileEvent, str]]:
    """Looks at the files: each event, with what is known of its file filled in, and why it can't be queued, or ""."""
    return [(event, "") if event.event_type == DELETED else _look(event, size_max) for event in events]


def _look(event: FileEvent, size_max: int | None) -> tuple[FileEvent, str]:
    try:
        found = event.path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return event, "vanished"
    except (OSError, ValueError):
        return event, "unreadable"
    if not stat.S_ISREG(found.st_mode):
        return event, "not a regular file"
    if size_max is not None and found.st_size > size_max:
        return event, "too large"
    if not os.access(event.path, os.R_OK):
        return event, "unreadable"
    if event.file_size is None or event.mtime_ns is None:
        size = found.st_size if event.file_size is None else event.file_size
        event = replace(event, file_size=size, mtime_ns=found.st_mtime_ns)
    return event, ""
