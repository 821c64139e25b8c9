"""Which directory may become a state directory, by what lies in it."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from shardwatch.shard.contract.errors import UsageError
from shardwatch.shard.contract.state.contents import DIRECTORIES, examine, is_foreign
from shardwatch.shard.contract.state.directory import StateDirectory


@pytest.mark.parametrize(
    ("names", "foreign"),
    [
        ([], False),
        (["lost+found"], False),
        (["letter.txt"], True),
        ([".gitignore", "letter.txt"], True),
        (["settings.json", "letter.txt"], False),
        (["groups.db.damaged-17-wal", ".plan.json.0123456789abcdef"], False),
    ],
)
def test_a_directory_is_foreign_by_what_lies_in_it(tmp_path: Path, names: list[str], foreign: bool) -> None:
    """Unless a file of ours is beside it: what a user has put into a state directory stays there."""
    for name in names:
        (tmp_path / name).write_text("")
    with StateDirectory(tmp_path) as state:
        assert is_foreign(state) == foreign


def test_sockets_and_directories_may_lie_where_sockets_belong(tmp_path: Path) -> None:
    """And nowhere else."""
    for name in DIRECTORIES:
        (tmp_path / name).mkdir(mode=0o700)
    (tmp_path / "run" / "inner").mkdir()
    with socket.socket(socket.AF_UNIX) as some, StateDirectory(tmp_path) as state:
        some.bind(str(tmp_path / "run" / "x.sock"))
        examine(state)
        (tmp_path / "run" / "x.sock").rename(tmp_path / "logs" / "x.sock")
        with pytest.raises(UsageError, match=r"logs/x\.sock is a socket, not a file"):
            examine(state)
