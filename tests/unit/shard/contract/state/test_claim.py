"""A state directory is claimed by one service, or by whoever prepares it for one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from shardwatch.shard.contract.errors import InUseError
from shardwatch.shard.contract.state.claim import claim_directory
from shardwatch.shard.contract.state.directory import StateDirectory


def test_a_claim_has_one_holder(tmp_path: Path) -> None:
    """Until every descriptor of it is closed, those that were inherited too; probes of the locks do not disturb it."""
    first, second = StateDirectory(tmp_path), StateDirectory(tmp_path)
    claim_directory(first)
    inherited = os.dup(first.fd)
    with pytest.raises(InUseError, match="already"):
        claim_directory(second, 0.05)
    first.close()
    with pytest.raises(InUseError):
        claim_directory(second)
    os.close(inherited)
    claim_directory(second)
    second.close()
