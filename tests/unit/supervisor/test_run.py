"""The process that becomes supervisord, as far as it can be seen before it does."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from running import settings_for
from session import deliver
from waiting import eventually

from shardwatch.shard.contract.process.life import Lock
from shardwatch.supervisor import run
from shardwatch.supervisor.planning import planning
from shardwatch.supervisor.service import service
from shardwatch.supervisor.service.state_dir import prepare


@pytest.mark.parametrize("early", [False, True])
def test_who_plans_ahead_does_not_keep_the_place_of_a_service_that_has_ended(
    state_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, early: bool
) -> None:
    """supervisord is killed while its first plan is made: another service may begin at once, whatever its child does."""
    reader, writer = os.pipe()
    monkeypatch.setattr(planning, "ensure_plan", lambda *_, **__: os.read(reader, 1))
    layout = prepare(state_dir, settings_for(tmp_path)).layout
    before = run._FirstPlanner() if early else None
    lock = Lock(layout.service_lock)
    monkeypatch.setattr(run, "KEPT_FDS", (lock.fileno(), os.dup(lock.fileno())))
    found = run._plan_ahead(layout, before)
    assert found is not None
    planner, planned = found
    try:
        assert service.running(layout)
        for fd in run.KEPT_FDS:  # as the kernel does when supervisord is killed
            os.close(fd)
        eventually(lambda: not service.running(layout))
        assert os.waitpid(planner, os.WNOHANG) == (0, 0), "it plans on"
    finally:
        deliver(planner, signal.SIGKILL)
        os.waitpid(planner, 0)
        for fd in (reader, writer, planned):
            os.close(fd)
