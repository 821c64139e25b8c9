"""What the service believes is read only where nobody else could have written it."""

from __future__ import annotations

from pathlib import Path

import pytest

from shardwatch.shard.contract.errors import UsageError
from shardwatch.shard.contract.state.directory import StateDirectory
from shardwatch.shard.contract.state.planfile import Plan, read_plan, write_plan
from shardwatch.shard.contract.state.settings import Settings, read_settings, write_settings


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
@pytest.mark.parametrize("kind", ["settings", "plan"])
def test_what_others_can_write_is_refused(tmp_path: Path, kind: str, mode: int) -> None:
    """Group- or world-writable: one line, with the remedy that makes it good again."""
    path = tmp_path / "file.json"
    if kind == "settings":
        write_settings(path, Settings(roots=(b"/r",), include=(), exclude=()))
    else:
        write_plan(path, Plan(1, ()))
    read = read_settings if kind == "settings" else read_plan
    read(path)
    path.chmod(mode)
    with pytest.raises(UsageError, match="can be written by others") as refused:
        read(path)
    assert refused.value.hint.endswith(f"chmod 600 {path}")
    path.chmod(0o600)
    read(path)


def test_an_error_names_the_file_by_its_whole_path(tmp_path: Path) -> None:
    """Not by the name in its directory, or by that of the temporary file that is written first."""
    (tmp_path / "plan.json").mkdir()
    (tmp_path / "locks").mkdir()
    with StateDirectory(tmp_path) as state:
        for name in ("plan.json", "locks/none"):
            with pytest.raises(OSError) as failed:
                state.write(name, b"") if name == "plan.json" else state.read(name)
            assert failed.value.filename == str(tmp_path / name)
