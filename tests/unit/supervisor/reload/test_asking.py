"""Commands that have something taken over: one after another, and what is said where nobody does it."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from waiting import eventually

from shardwatch.shard.contract.errors import InUseError, NotRunningError, ServiceError, ServiceTimeoutError
from shardwatch.shard.contract.state.layout import Layout
from shardwatch.shard.contract.state.settings import Settings
from shardwatch.supervisor.reload import asking
from shardwatch.supervisor.reload.request import Outcome, read_request, write
from shardwatch.supervisor.reload.steps import Configuration

NOW = Configuration(settings=Settings(roots=(b"/a",), include=("*",), exclude=()))


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    layout = Layout(tmp_path / "state")
    layout.run.mkdir(parents=True, mode=0o700)
    layout.state_dir.chmod(0o700)
    return layout


def test_another_command_is_waited_for(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    """For a while; then it is said who is in the way."""
    with asking.alone(layout):
        monkeypatch.setattr(asking, "OTHER_S", 0.0)
        with pytest.raises(InUseError, match="another command"), asking.alone(layout):
            pass
    with asking.alone(layout):
        pass


def test_what_a_command_has_left_is_carried_out_before_the_next_one(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was ended by Ctrl-C: what the service will run with is known once its request is done. One that stays is replaced."""
    looks: list[bool] = []

    def running(layout: Layout) -> bool:
        looks.append(layout.reload.exists())
        if len(looks) == 3:
            layout.reload.unlink()
        return True

    monkeypatch.setattr(asking, "running", running)
    layout.reload.write_bytes(b"{}")
    with asking.alone(layout):
        assert looks == [True, True, True] and not layout.reload.exists()
    layout.reload.write_bytes(b"{}")
    monkeypatch.setattr(asking, "OTHER_S", 0.0)
    with asking.alone(layout):
        assert layout.reload.exists()


def test_the_outcome_is_that_of_this_request(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not that of an earlier one; and an error is raised, with its remedy."""
    monkeypatch.setattr(asking, "running", lambda layout: True)
    write(layout.reload_outcome, Outcome(id="earlier"))

    def carry_out() -> None:
        request = eventually(lambda: read_request(layout.reload))
        write(layout.reload_outcome, Outcome(id=request.id, error="no plan", remedy="make one"))

    coordinator = threading.Thread(target=carry_out)
    coordinator.start()
    with pytest.raises(ServiceError, match=r"the service runs on as before: no plan \(make one\)"):
        asking.ask(layout, NOW, NOW, None)
    coordinator.join()


def test_it_is_asked_again_where_another_request_was_written_over_it(
    layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The coordinator asks itself to rebalance at that moment, and carries that out."""
    monkeypatch.setattr(asking, "running", lambda layout: True)

    def carry_out() -> None:
        asked = eventually(lambda: read_request(layout.reload))
        write(layout.reload_outcome, Outcome(id=""))
        layout.reload.unlink()
        again = eventually(lambda: read_request(layout.reload))
        assert again == asked
        write(layout.reload_outcome, Outcome(id=asked.id))
        layout.reload.unlink()

    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(carry_out)
        asking.ask(layout, NOW, NOW, None)
        done.result()
    assert read_request(layout.reload) is None


def test_nobody_carries_it_out(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    """The service has ended, or it takes too long. A later request knows that the aggregator may be stopped."""
    monkeypatch.setattr(asking, "running", lambda layout: False)
    with pytest.raises(NotRunningError, match="the service ended meanwhile"):
        asking.ask(layout, NOW, NOW, None)
    request = read_request(layout.reload)
    assert request is not None and not request.halted
    monkeypatch.setattr(asking, "running", lambda layout: True)
    monkeypatch.setattr(asking, "DONE_S", 0.0)
    layout.reload.write_bytes(b"{")
    with pytest.raises(ServiceTimeoutError, match="not taken over within 0 s"):
        asking.ask(layout, NOW, NOW, None, rebalanced=7)
    request = read_request(layout.reload)
    assert request is not None and (request.halted, request.rebalance, request.generation) == (True, True, 7)
