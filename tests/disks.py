"""Disks that misbehave: small ones that fill up, ones that turn read-only, one that is in no cache. Undone whatever happens."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path


def _mount(*arguments: str | Path) -> None:
    subprocess.run(["mount", *arguments], check=True, capture_output=True)


@contextlib.contextmanager
def small_disk(at: Path, size: str = "8m") -> Iterator[Path]:
    """A tmpfs of that size. Needs root."""
    at.mkdir(parents=True)
    _mount("-t", "tmpfs", "-o", f"size={size},mode=0700", "sw-test", at)
    try:
        yield at
    finally:
        subprocess.run(["umount", "-l", at], check=True)


@contextlib.contextmanager
def cold_disk(at: Path, fill: Callable[[Path], None], size: int = 64 << 20) -> Iterator[Path]:
    """An ext4 of its own with what `fill` puts there, mounted a moment ago. Needs root, mkfs.ext4 and a loop device."""
    image = at.with_name(at.name + ".img")
    at.mkdir(parents=True)
    with image.open("wb") as f:
        f.truncate(size)
    subprocess.run(["mkfs.ext4", "-q", "-F", image], check=True, capture_output=True)
    _mount("-o", "loop", image, at)
    try:
        fill(at)
        subprocess.run(["umount", at], check=True)
        _mount("-o", "loop", image, at)
        yield at
    finally:
        subprocess.run(["umount", "-l", at], check=True)


def fill(directory: Path) -> Path:
    """Writes a file until nothing more fits."""
    path = directory / "fill"
    fd = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        with contextlib.suppress(OSError):
            while True:
                os.write(fd, b"x" * 4096)
    finally:
        os.close(fd)
    return path


@contextlib.contextmanager
def read_only(at: Path) -> Iterator[None]:
    """Nothing below it can be written, or opened for writing, by its name. Needs root.

    A mount with open files can't be remounted, so a read-only one of the same directory is laid over it.
    """
    _mount("--bind", at, at)
    try:
        _mount("-o", "remount,bind,ro", at)
        yield
    finally:
        subprocess.run(["umount", "-l", at], check=True)


def flip(path: Path, page: int, count: int = 1, page_bytes: int = 4096) -> None:
    """Inverts whole pages of a database, the first is 0."""
    with path.open("r+b") as f:
        for number in range(page, page + count):
            f.seek(number * page_bytes)
            content = f.read(page_bytes)
            f.seek(number * page_bytes)
            f.write(bytes(byte ^ 0xFF for byte in content))
