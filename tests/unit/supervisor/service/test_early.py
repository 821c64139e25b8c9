"""supervisord's process, started before it is known for what (the rest: tests/integration)."""

from __future__ import annotations

import errno
import gc
import socket

import pytest

from shardwatch.supervisor.host import orders
from shardwatch.supervisor.service.early import EarlyProcess


def test_one_that_can_not_be_begun_leaves_nothing_to_say(monkeypatch: pytest.MonkeyPatch) -> None:
    """For want of descriptors, say: the error is told by whoever asked for it, and nothing more when the object is forgotten."""

    def refuse() -> tuple[socket.socket, socket.socket]:
        raise OSError(errno.EMFILE, "")

    monkeypatch.setattr(orders, "line", refuse)
    with pytest.raises(OSError) as caught:
        EarlyProcess()
    del caught
    gc.collect()
