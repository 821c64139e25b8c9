"""Where a temporary state directory is made, and where it is not."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from shardwatch.shard.contract.errors import UsageError
from shardwatch.supervisor.service import temporary
from shardwatch.supervisor.service.temporary import make_temporary, remove_temporary


@pytest.fixture(autouse=True)
def _no_other_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)


def test_it_is_private_and_lies_in_tmpdir(state_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody else can enter it, and each call gives another."""
    state_dir.mkdir(mode=0o700, exist_ok=True)
    monkeypatch.setenv("TMPDIR", str(state_dir))
    first, second = make_temporary("x"), make_temporary("x")
    assert first.parent == second.parent == state_dir
    assert first != second
    assert stat.S_IMODE(first.stat().st_mode) == 0o700


def test_it_has_room_for_sockets(state_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A long TMPDIR is passed over."""
    long = state_dir / ("x" * 90)
    long.mkdir(parents=True)
    monkeypatch.setenv("TMPDIR", str(long))
    made = make_temporary("x")
    try:
        assert made.parent == Path("/tmp")
    finally:
        remove_temporary(made)
    assert not made.exists()


def test_without_any_place_the_remedies_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """TMPDIR, and what the caller offers instead."""
    monkeypatch.delenv("TMPDIR", raising=False)
    monkeypatch.setattr(temporary, "is_safe", lambda place: False)
    with pytest.raises(UsageError, match="no place for a temporary state directory") as refused:
        make_temporary("give --state-dir DIR")
    assert refused.value.hint == "set TMPDIR, or give --state-dir DIR"
