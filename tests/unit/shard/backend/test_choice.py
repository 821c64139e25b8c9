"""Which backend there can be where inotify can't be had at once."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from shardwatch.shard.backend import choice
from shardwatch.shard.backend.choice import open_backend
from shardwatch.shard.backend.inotify import InotifyBackend
from shardwatch.shard.tree.nodes import Top


@pytest.mark.parametrize(
    ("number", "reason"), [(errno.EMFILE, "no inotify instance left"), (errno.ENOSYS, "function not implemented")]
)
def test_inotify_that_can_not_be_had_is_told_for_each_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, reason: str
) -> None:
    """So that each is polled, with the reason, and with what helps."""

    def refuse(watches_max: int, patience: object) -> InotifyBackend:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(choice, "_inotify", refuse)
    backend, remedy = open_backend("inotify", 0)
    fd = os.open(tmp_path, os.O_RDONLY)
    try:
        with pytest.raises(OSError, match=reason) as refused:
            backend.watch(fd, Top(os.fsencode(tmp_path), 0))
        assert refused.value.errno == errno.ENOSPC
        assert (backend.name, backend.watches()) == ("inotify", 0)
        assert "max_user_instances" in remedy(10) or "max_inotify_instances" in remedy(10)
    finally:
        os.close(fd)
        backend.close()
