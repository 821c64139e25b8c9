"""Filesystems of a test's own, each of a kind: made, mounted, mounted again elsewhere, and gone at the end whatever happened."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from disks import Image, mount, remount, small_disk

SFTP_SERVER = "/usr/lib/openssh/sftp-server"
#: Options of FUSE filesystems: what is changed behind one is seen at the next look. It could be a second later otherwise, and 20
#: seconds later on sshfs, which has a cache of its own.
_UNCACHED = "entry_timeout=0,attr_timeout=0,negative_timeout=0"


class Made(NamedTuple):
    """One that is mounted at `at`."""

    at: Path
    #: Unmounts it and mounts it again, where it can be under another device number; None where nothing would be left of it.
    mount_elsewhere: Callable[[], None] | None
    #: Where its files lie, if they can be changed by another path, without the mount.
    behind: Path | None = None


@contextlib.contextmanager
def _image(at: Path, *mkfs: str, size: int = 64 << 20) -> Iterator[Made]:
    with Image(at, mkfs, size) as image:
        yield Made(at, image.mount_elsewhere)


@contextlib.contextmanager
def _tmpfs(at: Path) -> Iterator[Made]:
    with small_disk(at):
        yield Made(at, None)


@contextlib.contextmanager
def _overlay(at: Path) -> Iterator[Made]:
    lower = at.with_name(at.name + "-lower")
    lower.mkdir()
    with small_disk(at.with_name(at.name + "-upper")) as upper:
        for name in ("data", "work"):
            (upper / name).mkdir()
        with _mounted(
            at, "mount", "-t", "overlay", "-o", f"lowerdir={lower},upperdir={upper}/data,workdir={upper}/work", "sw-test"
        ):
            yield Made(at, lambda: _again(at))


def _again(at: Path) -> None:
    """An overlay that is mounted once more over itself: the same layers, other devices."""
    options = subprocess.run(["findmnt", "-n", "-o", "OPTIONS", at], check=True, capture_output=True, text=True).stdout
    layers = ",".join(o for o in options.strip().split(",") if o.split("=")[0] in ("lowerdir", "upperdir", "workdir"))
    remount(at, lambda: _unmount(at), lambda: mount("-t", "overlay", "-o", layers, "sw-test", str(at)), _overlay_devices)


def _overlay_devices(at: Path) -> set[int]:
    """Directories of an overlay have the device number of the overlay, and files can have one of their layer."""
    return {path.lstat().st_dev for path in (at, *at.iterdir())}


def _unmount(at: Path) -> None:
    subprocess.run(["umount", at], check=True, capture_output=True)


@contextlib.contextmanager
def _mounted(at: Path, *command: str) -> Iterator[None]:
    at.mkdir(parents=True, exist_ok=True)
    subprocess.run([*command, str(at)], check=True, capture_output=True, stdin=subprocess.DEVNULL)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", at], check=True, capture_output=True)


@contextlib.contextmanager
def _fuse(at: Path, *command: str) -> Iterator[Made]:
    with contextlib.ExitStack() as stack:
        stack.enter_context(_mounted(at, *command))

        def again() -> None:
            argv = [*command, str(at)]
            remount(
                at, lambda: _unmount(at), lambda: subprocess.run(argv, check=True, capture_output=True, stdin=subprocess.DEVNULL)
            )

        yield Made(at, again)


@contextlib.contextmanager
def _bindfs(at: Path) -> Iterator[Made]:
    real = at.with_name(at.name + "-real")
    real.mkdir()
    with _fuse(at, "bindfs", "-o", _UNCACHED, str(real)) as made:
        yield made._replace(behind=real)


@contextlib.contextmanager
def _sshfs(at: Path) -> Iterator[Made]:
    real = at.with_name(at.name + "-real")
    real.mkdir()
    server = at.with_name(at.name + "-server")  # instead of ssh: the server itself, on this machine
    server.write_text(f"#!/bin/sh\nexec {SFTP_SERVER}\n")
    server.chmod(0o700)
    with _fuse(at, "sshfs", "-o", f"ssh_command={server},dir_cache=no,{_UNCACHED}", f"test:{real}") as made:
        yield made._replace(behind=real)


class Kind(NamedTuple):
    make: Callable[[Path], contextlib.AbstractContextManager[Made]]
    #: The program that makes it, and its Debian package.
    program: str
    package: str


KINDS = {
    "ext4": Kind(lambda at: _image(at, "mkfs.ext4", "-q", "-F", "-I", "256"), "mkfs.ext4", "e2fsprogs"),
    "ext4, inodes of 128 bytes": Kind(lambda at: _image(at, "mkfs.ext4", "-q", "-F", "-I", "128"), "mkfs.ext4", "e2fsprogs"),
    "xfs": Kind(lambda at: _image(at, "mkfs.xfs", "-q", "-f", size=320 << 20), "mkfs.xfs", "xfsprogs"),
    "btrfs": Kind(lambda at: _image(at, "mkfs.btrfs", "-q", "-f", size=128 << 20), "mkfs.btrfs", "btrfs-progs"),
    "vfat": Kind(lambda at: _image(at, "mkfs.vfat"), "mkfs.vfat", "dosfstools"),
    "tmpfs": Kind(_tmpfs, "mount", "mount"),
    "overlayfs": Kind(_overlay, "findmnt", "util-linux"),
    "FUSE (bindfs)": Kind(_bindfs, "bindfs", "bindfs"),
    "FUSE (sshfs)": Kind(_sshfs, "sshfs", "sshfs"),
}


def in_this_kernel(kind: str) -> bool:
    """Whether the running kernel can mount it. Only vfat is asked for: all others are there wherever the tests run."""
    return kind != "vfat" or "vfat" in Path("/proc/filesystems").read_text().split()


@contextlib.contextmanager
def filesystem(kind: str, at: Path) -> Iterator[Made]:
    """One of this kind, mounted. Needs root. A test that needs a program that is not there is listed as not run."""
    needed = KINDS[kind]
    if shutil.which(needed.program) is None:
        pytest.skip(f"needs {needed.program} (Debian: {needed.package})")
    if kind == "FUSE (sshfs)" and not Path(SFTP_SERVER).exists():
        pytest.skip(f"needs {SFTP_SERVER} (Debian: openssh-sftp-server)")
    with needed.make(at) as made:
        yield made
