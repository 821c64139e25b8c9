"""`hold` where the kernel has nothing to spare. What it does otherwise: tests/integration/test_cli_hold.py."""

from __future__ import annotations

import errno
from typing import Any

import pytest

from shardwatch.supervisor.cli.commands import hold


class Service:
    """Takes holds, and notes them."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def hold(self, name: str, lease_s: float) -> bool:
        self.said.append("hold")
        return True

    def unhold(self, name: str) -> bool:
        self.said.append("unhold")
        return True


@pytest.mark.parametrize("timeout_s", [None, 0.05])
def test_a_command_that_runs_is_held_for_without_a_descriptor(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], timeout_s: float | None
) -> None:
    """Where none is free for its end, it is looked for that. It is not said that it can't be run."""

    def refused(_: int) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(hold, "ended_fd", refused)
    monkeypatch.setattr(hold, "RENEW_S", 0.1)
    service: Any = Service()
    assert hold._Holder(service, "n").run(["sh", "-c", "sleep 0.3; exit 7"], timeout_s) == 7
    assert service.said[-1] == "unhold" and service.said.count("unhold") == 1
    assert capfd.readouterr().err == ""
