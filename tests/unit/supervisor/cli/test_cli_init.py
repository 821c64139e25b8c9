"""What `shardwatch init` finds out before it writes a file."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from shardwatch.supervisor.cli.commands.init import look_at
from shardwatch.supervisor.host import confinement
from shardwatch.supervisor.host.confinement import KUBERNETES, SYSTEMD, Confinement
from shardwatch.supervisor.planning import limits
from shardwatch.supervisor.planning.limits import InotifyLimits


@pytest.mark.parametrize(("by", "where"), [(KUBERNETES, " (on the node: no container has its own)"), (SYSTEMD, "")])
def test_too_few_watches_are_raised_where_they_can_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by: str, where: str
) -> None:
    """In a container the sysctl of the remedy would be refused: it is said where to set it, as by `plan` and `doctor`."""
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "x.json").write_text("{}")
    monkeypatch.setattr(limits, "read_inotify_limits", lambda: InotifyLimits(1, 128, 16_384, 1, 1))
    monkeypatch.setattr(confinement, "read_confinement", lambda: Confinement(by=by))
    assert look_at(os.fsencode(tmp_path)).remedy == f"sudo sysctl -w fs.inotify.max_user_watches=65536{where}"
