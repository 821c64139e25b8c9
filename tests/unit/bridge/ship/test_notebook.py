"""What is kept between two lives of `ship`, on a disk that refuses it."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from msgspec.structs import replace

from shardwatch.bridge.protocol.generations import Target
from shardwatch.bridge.ship.notebook import Notebook, read_progress
from shardwatch.shard.contract.errors import ServiceError
from shardwatch.shard.contract.state.directory import StateDirectory
from shardwatch.shard.contract.state.layout import Layout


@pytest.mark.parametrize(("number", "passes"), [(errno.ENOSPC, True), (errno.EIO, True), (errno.ENOENT, False)])
def test_a_disk_that_refuses_it_is_waited_for(
    state_dir: Path, monkeypatch: pytest.MonkeyPatch, number: int, passes: bool
) -> None:
    """Otherwise `ship` would end, although it waits for a service that has no room. What was kept before is kept still."""
    layout = Layout(state_dir)
    layout.locks.mkdir(mode=0o700)

    def refused(state: StateDirectory, name: str, content: bytes, *, durable: bool = True) -> None:
        raise OSError(number, os.strerror(number))

    with Notebook(layout, Target("s", "p", "one", "g")) as notebook:
        notebook.write(replace(notebook.progress, counter=7))
        with monkeypatch.context() as patch, pytest.raises(ServiceError, match=r"ship\.json can't be written") as caught:
            patch.setattr(StateDirectory, "write", refused)
            notebook.write(replace(notebook.progress, counter=8))
        assert caught.value.retryable == passes
        found = read_progress(layout)
        assert found is not None and found == notebook.progress and found.counter == 7
