"""The audit's own looks at directories."""

from __future__ import annotations

import os
from pathlib import Path

from shardwatch.supervisor.audit.disk_look import entries


def test_an_audit_enters_nothing_that_the_kernel_makes_up(tmp_path: Path) -> None:
    """Where a followed link leads there. What was asked for by its own path is read, as a shard reads it."""
    base = os.fsencode(os.path.realpath(tmp_path))
    (tmp_path / "d").mkdir()
    (tmp_path / "d/f").write_text("x")
    for name, target in (("kernel", "/proc"), ("below", "/proc/self/task"), ("disk", "d")):
        (tmp_path / name).symlink_to(target)
    assert entries(base + b"/kernel", follow=True) == entries(base + b"/below", follow=True) == []
    assert [entry.name for entry in entries(base + b"/disk", follow=True)] == [b"f"]
    assert {entry.name for entry in entries(b"/proc", follow=True)} > {b"self", b"mounts"}
