"""Directories opened by their paths, with openat2(2) and without it. Real files."""

from __future__ import annotations

import ctypes
import errno
import os
from pathlib import Path
from typing import Any

import pytest
from descriptors import descriptors, opened_since

from shardwatch.shard.disk import calls as disk


@pytest.fixture(params=[True, False], ids=["openat2", "step by step"])
def kernel(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """With openat2(2), and as on a kernel, or in a container, without it."""
    monkeypatch.setattr(disk, "_have_openat2", request.param and disk._have_openat2)


def test_no_link_on_the_way_is_followed(tmp_path: Path, kernel: None) -> None:
    """Rule 9: neither in the middle nor at the end; both are absence."""
    (tmp_path / "d/e").mkdir(parents=True)
    (tmp_path / "l").symlink_to("d")
    base = os.fsencode(tmp_path)
    for path in (base + b"/l", base + b"/l/e", base + b"/none", base + b"/none/e"):
        with pytest.raises(OSError) as raised:
            disk.open_directory(path)
        assert raised.value.errno in disk.ABSENT
        if b"none" not in path:
            os.close(disk.open_directory(path, follow=True))
    (tmp_path / "f").write_text("x")
    with pytest.raises(NotADirectoryError):
        disk.open_directory(base + b"/f")


def test_a_path_can_begin_at_a_descriptor(tmp_path: Path, kernel: None) -> None:
    """What is there must not depend on what the way above it leads to by now."""
    (tmp_path / "d/e").mkdir(parents=True)
    fd = os.open(tmp_path / "d", os.O_RDONLY)
    (tmp_path / "d").rename(tmp_path / "moved")
    below = disk.open_directory(b"e", at=fd)
    assert os.readlink(f"/proc/self/fd/{below}") == str(tmp_path / "moved/e")
    with pytest.raises(FileNotFoundError):
        disk.open_directory(b"none", at=fd)
    os.close(below)
    os.close(fd)


@pytest.mark.parametrize("follow", [False, True])
def test_a_path_of_any_length_can_be_opened(tmp_path: Path, kernel: None, follow: bool) -> None:
    """Rule 9: PATH_MAX is passed step by step, through descriptors that need no right to read. None stays open."""
    fds = [os.open(tmp_path, os.O_RDONLY)]
    name = b"d" * 200
    for _ in range(30):
        os.mkdir(name, dir_fd=fds[-1])
        fds.append(os.open(name, os.O_RDONLY, dir_fd=fds[-1]))
    path = os.fsencode(tmp_path) + (b"/" + name) * 30
    before = descriptors()
    fd = disk.open_directory(path, follow=follow)
    assert os.path.sameopenfile(fd, fds[-1])
    os.close(fd)
    with pytest.raises(FileNotFoundError):
        disk.open_directory(path + b"/none", follow=follow)
    assert opened_since(before) == []
    for fd in fds:
        os.close(fd)


@pytest.mark.parametrize("code", [errno.ENOSYS, errno.EPERM])
def test_a_kernel_without_openat2_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    """Once; what it can't do is done step by step. It is another matter where that is refused as well: a filesystem may say so of
    one directory."""

    def refuse(*arguments: Any) -> int:
        ctypes.set_errno(code)
        return -1

    monkeypatch.setattr(disk, "_have_openat2", True)
    monkeypatch.setattr(disk, "_syscall", refuse)
    with pytest.raises(FileNotFoundError):
        disk.open_directory(os.fsencode(tmp_path / "none"))
    assert disk.opens_at_once()
    os.close(disk.open_directory(os.fsencode(tmp_path)))
    assert not disk.opens_at_once()
