"""Warnings that others cause are sparse."""

from __future__ import annotations

import logging

import pytest

from shardwatch.shard.contract.process.log import Sparse


def test_one_line_a_second_at_most(caplog: pytest.LogCaptureFixture) -> None:
    """What is left out is counted in the next line; a long line is cut."""
    log = logging.getLogger("sparse-test")
    now = [100.0]
    sparse = Sparse(log, lambda: now[0])
    with caplog.at_level(logging.WARNING, logger="sparse-test"):
        for _ in range(1000):
            sparse.warning("refused: " + "x" * 10_000)
        assert len(caplog.messages) == 1
        assert len(caplog.messages[0]) <= 500
        now[0] += 1.0
        sparse.warning("again")
        now[0] += 1.0
        sparse.warning("and again")
    assert caplog.messages[1:] == ["again (and 999 more like it before)", "and again"]
