"""Whether the program of a command can be run. Filesystems that hang: tests/scenarios/test_slow_mounts.py."""

from __future__ import annotations

from pathlib import Path

from shardwatch.supervisor.runs.program_place import NOT_FOUND, NOT_RUN, why_unrunnable


def test_why_a_command_cannot_be_run(tmp_path: Path) -> None:
    """With the exit codes of a shell; a name that could be overlooked is quoted."""
    (tmp_path / "plain").write_text("")
    assert why_unrunnable("sh") is None
    assert why_unrunnable("no-such") == (NOT_FOUND, "there is no command no-such")
    assert why_unrunnable("") == (NOT_FOUND, "there is no command ''")
    assert why_unrunnable("no such") == (NOT_FOUND, "there is no command 'no such'")
    for place in (tmp_path, tmp_path / "plain"):
        assert why_unrunnable(str(place)) == (NOT_RUN, f"{place} can't be executed")
