"""Which filesystems the kernel makes up, asked of real ones."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from shardwatch.shard.disk.virtual import behind_link, virtual_type


@pytest.mark.parametrize(
    ("path", "kind"), [("/proc", "proc"), ("/proc/self/task", "proc"), ("/sys", "sysfs"), ("/", ""), (".", "")]
)
def test_the_type_of_a_filesystem(path: str, kind: str) -> None:
    """Of /proc and /sys it is known; of a disk there is none."""
    fd = os.open(path, os.O_RDONLY)
    try:
        assert virtual_type(fd) == kind
    finally:
        os.close(fd)


def test_a_path_that_passes_a_link(tmp_path: Path) -> None:
    """Wherever in the path the link is."""
    real = Path(os.path.realpath(tmp_path))
    (real / "d/e").mkdir(parents=True)
    (real / "link").symlink_to("d")
    for path, passes in ((real / "d/e", False), (real / "link", True), (real / "link/e", True)):
        fd = os.open(path, os.O_RDONLY)
        try:
            assert behind_link(os.fsencode(path), fd) is passes
        finally:
            os.close(fd)
