"""What is said of a database that can't be used, where SQLite does not say why."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import pytest

from shardwatch.aggregator.storage.damage import refusal


def _free(monkeypatch: pytest.MonkeyPatch, path: Path, pages: int) -> None:
    """The disk has so many free pages of 4 KiB."""
    fields = list(os.statvfs(path))
    fields[0] = fields[1] = 4096  # f_bsize, f_frsize
    fields[4] = pages  # f_bavail
    found = os.statvfs_result(fields)
    monkeypatch.setattr(os, "statvfs", lambda path: found)


@pytest.mark.parametrize(("pages", "full"), [(0, True), (7, True), (15, True), (16, False), (10_000, False)])
def test_a_disk_with_hardly_any_room_is_full(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, pages: int, full: bool) -> None:
    """SQLite writes 32 KiB at once in one place, and calls it an error of the disk if there is less."""
    _free(monkeypatch, tmp_path, pages)
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = sqlite3.SQLITE_IOERR_SHMSIZE
    found = refusal(error, tmp_path)
    assert (found.message == f"the disk of the state directory {tmp_path} is full") == full, found
    assert ("free some space" in found.remedy) == full
