"""Disks that misbehave: small ones that fill up, ones that turn read-only, one that is in no cache. Undone whatever happens."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path

from waiting import eventually

#: For a shell in a mount namespace of its own, at its beginning: lets go of what tests have mounted (tests/session.py). Else that
#: would stay mounted there after its test has unmounted it, and could neither be mounted anew nor give back its loop device.
LET_GO = (
    "tac /proc/self/mountinfo | while read -r _ _ _ _ at _; do"
    ' case $at in /tmp/swt-*|/dev/shm/swt-*|/var/tmp/swt-*) umount -l "$at";; esac; done'
)


def mount(*arguments: str | Path) -> None:
    """mount(8) with these arguments. Needs root."""
    subprocess.run(["mount", *arguments], check=True, capture_output=True)


@contextlib.contextmanager
def small_disk(at: Path, size: str = "8m") -> Iterator[Path]:
    """A tmpfs of that size. Needs root."""
    at.mkdir(parents=True)
    mount("-t", "tmpfs", "-o", f"size={size},mode=0700", "sw-test", at)
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
    mount("-o", "loop", image, at)
    try:
        fill(at)
        subprocess.run(["umount", at], check=True)
        mount("-o", "loop", image, at)
        yield at
    finally:
        subprocess.run(["umount", "-l", at], check=True)


class Image:
    """A filesystem of a test's own in a file, mounted at `at` by a loop device; gone at the end of the block. Needs root.

    `mkfs`: the command that makes it, without the file.
    """

    def __init__(self, at: Path, mkfs: Sequence[str], size: int = 64 << 20) -> None:
        self.at = at
        self._file = at.with_name(at.name + ".img")
        self._mkfs = mkfs
        self._size = size
        self._mounted = False

    def __enter__(self) -> Image:
        self.at.mkdir(parents=True, exist_ok=True)
        with self._file.open("wb") as f:
            f.truncate(self._size)
        subprocess.run([*self._mkfs, self._file], check=True, capture_output=True)
        self.mount()
        return self

    def __exit__(self, *_: object) -> None:
        if self._mounted:
            subprocess.run(["umount", "-l", self.at], check=True, capture_output=True)

    def mount(self) -> None:
        mount("-o", "loop", self._file, self.at)
        self._mounted = True

    def unmount(self) -> None:
        """Not lazily, so that the filesystem is gone from the kernel; whoever still looks at it delays that."""

        def gone() -> bool:
            return subprocess.run(["umount", self.at], check=False, capture_output=True).returncode == 0

        eventually(gone, 30)
        self._mounted = False

    def mount_elsewhere(self) -> None:
        """Unmounts it and mounts it again, under another device number."""
        # A second loop device is taken while the first is still held: so it is another one. `--find` leaves the choice to
        # losetup, which tries again when somebody else is quicker; a device that is named could be taken by then.
        found = subprocess.run(["losetup", "--find", "--show", self._file], check=True, capture_output=True, text=True)
        loop = found.stdout.strip()

        def again() -> None:
            mount(loop, self.at)
            self._mounted = True

        try:
            remount(self.at, self.unmount, again)
        finally:
            subprocess.run(["losetup", "--detach", loop], check=True)  # takes effect when it is no longer mounted


def device(at: Path) -> set[int]:
    """The device number of a filesystem by its top."""
    return {at.stat().st_dev}


def remount(
    at: Path, unmount: Callable[[], object], again: Callable[[], object], devices: Callable[[Path], set[int]] = device
) -> None:
    """Unmounts what is mounted at `at` and mounts it again, under none of the device numbers that it had. Needs root.

    The kernel gives the lowest number that is free to a filesystem without a device of its own. So those that it had are taken
    by others meanwhile. Programs that run beside this one may take and give back numbers at any moment: then it is done again.
    """
    before = devices(at)

    def is_elsewhere() -> bool:
        unmount()
        with _numbers_taken(before, at):
            again()
        return not before & devices(at)

    eventually(is_elsewhere, what=f"other device numbers at {at}")


@contextlib.contextmanager
def _numbers_taken(devices: Collection[int], near: Path) -> Iterator[None]:
    """Filesystems of ours have these device numbers, those of them that belong to no device and to nobody else."""
    wanted = {dev for dev in devices if os.major(dev) == 0}
    with contextlib.ExitStack() as stack:
        while wanted:
            other = stack.enter_context(small_disk(near.with_name(f"{near.name}-{os.urandom(4).hex()}"), "1m"))
            given = other.stat().st_dev
            # The lowest free one: all below it have somebody.
            wanted = {dev for dev in wanted if dev > given}
        yield


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
    mount("--bind", at, at)
    try:
        mount("-o", "remount,bind,ro", at)
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
