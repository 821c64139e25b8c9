"""A request is carried out, wherever the coordinator is killed meanwhile, and whatever is wrong."""

from __future__ import annotations

import xmlrpc.client
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from shardwatch.shard.contract.errors import ShardwatchError
from shardwatch.shard.contract.state.layout import Layout
from shardwatch.shard.contract.state.planfile import Anchor, Plan, read_plan, write_plan
from shardwatch.shard.contract.state.settings import Settings, read_settings, write_settings
from shardwatch.shard.contract.state.sources import Sources, read_sources
from shardwatch.shard.contract.state.triggers import Trigger, read_triggers
from shardwatch.supervisor.reload.request import Outcome, ReloadRequest, read_outcome, read_request, write
from shardwatch.supervisor.reload.steps import Configuration
from shardwatch.supervisor.reload.taking_over import take_over

OLD_PLAN = Plan(1, (Anchor(b"/a", "s0", b"/a"), Anchor(b"/a/x", "s1", b"/a")), "old")
NEW_PLAN = Plan(2, (Anchor(b"/a", "s0", b"/a"), Anchor(b"/b", "s2", b"/b")), "new")
BEFORE = Configuration(
    settings=Settings(roots=(b"/a",), include=("*",), exclude=()),
    triggers=(Trigger(name="lint", arguments=("--", "true"), directory=b"/"),),
)
AFTER = Configuration(settings=replace(BEFORE.settings, roots=(b"/a", b"/b")))
#: With other filters, too: nothing goes on.
FILTERED = Configuration(settings=replace(AFTER.settings, exclude=("x",)))
REQUEST = ReloadRequest(id="r", before=BEFORE, after=AFTER, sources=Sources(roots=(b"/a", b"/b")))


class Killed(BaseException):
    """The coordinator is killed at this point."""


class Supervisord:
    """What is running, and its calls. `die_at`: the number of the call before which the caller is killed."""

    def __init__(self, layout: Layout) -> None:
        self.running = {"aggregator", "s0", "s1", "lint"}
        self.groups = {"aggregator": "aggregator", "s0": "shards", "s1": "shards", "lint": "exec"}
        self.calls: list[str] = []
        self.die_at = -1
        self.plan_fails = self.nobody_answers = False
        #: At how many looks an aggregator that was told to stop still ends.
        self.ends_for = self.ending = 0
        self._layout = layout
        self._stopping = False
        self.proxy: Any = self
        self.shards = self
        self.supervisor = self

    def _called(self, name: str) -> None:
        if len(self.calls) == self.die_at:
            self.die_at = -1
            raise Killed
        self.calls.append(name)

    def beat(self) -> None:
        self._called("beat")

    def await_heirs(self, shards: Sequence[str], generation: int, settle_s: float) -> None:
        self._called(f"await {' '.join(shards)} for {generation}, {settle_s:g} s")
        plan = read_plan(self._layout.plan)
        assert plan is not None and plan.next is not None, "it is on disk what they are to get ready for"
        assert plan.next.generation == generation and "aggregator" in self.running
        if self.nobody_answers:
            raise ShardwatchError("no answer")

    def prepare_plan(self, request: ReloadRequest) -> None:
        self._called("prepare_plan")
        assert self.running >= {"aggregator"} or request.halted, "nothing is stopped before there is a plan"
        if self.plan_fails:
            raise ShardwatchError("no plan", hint="none")
        write_plan(self._layout.next_plan, NEW_PLAN)

    def status(self) -> list[dict[str, Any]]:
        self._called("status")
        rows = [{"name": name, "group": group, "state": self._state(name)} for name, group in self.groups.items()]
        self.ending = max(0, self.ending - 1)
        return rows

    def _state(self, name: str) -> str:
        if name in self.running:
            return "RUNNING"
        return "STOPPING" if name == "aggregator" and self.ending else "STOPPED"

    def end(self, group: str, name: str) -> bool:
        self._called("end")
        self._stopping = not self._stopping
        if not self._stopping:
            self.running.discard(name)
            self.groups.pop(name, None)
        return name not in self.groups

    def remove(self, shard: str) -> None:
        self._called("remove")
        self.running.discard(shard)
        self.groups.pop(shard, None)

    def add(self, shard: str) -> None:
        self._called("add")
        self.running.add(shard)
        self.groups[shard] = "shards"

    def stopProcess(self, name: str, wait: bool = True) -> None:
        self._called("stop")
        if name not in self.running:
            raise xmlrpc.client.Fault(70, "NOT_RUNNING")
        self.running.discard(name)
        self.ending = 0 if wait else self.ends_for

    def startProcess(self, name: str, wait: bool) -> None:
        if name in self.running:
            raise xmlrpc.client.Fault(60, "ALREADY_STARTED")
        if not self.ending:  # as supervisord: nothing is done then, and nothing said
            self.running.add(name)

    def reread(self) -> None:
        self._called("reread")


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    layout = Layout(tmp_path / "state")
    layout.run.mkdir(parents=True, mode=0o700)
    layout.state_dir.chmod(0o700)
    write_settings(layout.settings, BEFORE.settings)
    write_plan(layout.plan, OLD_PLAN)
    write(layout.reload, REQUEST)
    return layout


@pytest.fixture
def supervisord(layout: Layout) -> Iterator[Supervisord]:
    yield Supervisord(layout)


def assert_taken_over(layout: Layout, supervisord: Supervisord, after: Configuration = AFTER) -> None:
    assert read_settings(layout.settings) == after.settings
    assert read_triggers(layout.triggers) == ()
    assert read_sources(layout.sources) == REQUEST.sources
    assert read_plan(layout.plan) == NEW_PLAN
    assert supervisord.running == {"aggregator", "s0", "s2"}
    assert read_outcome(layout.reload_outcome) == Outcome(id="r")
    assert not layout.reload.exists() and not layout.next_plan.exists()


@pytest.mark.parametrize("after", [AFTER, FILTERED])
def test_it_is_taken_over_wherever_the_coordinator_is_killed(
    layout: Layout, supervisord: Supervisord, after: Configuration
) -> None:
    """Before each of its calls, once; its successor begins again. The aggregator is stopped for other filters only, and it takes
    some time."""
    supervisord.ends_for = 2
    write(layout.reload, replace(REQUEST, after=after))
    assert take_over(layout, supervisord)
    assert_taken_over(layout, supervisord, after)
    assert ("stop" in supervisord.calls) is (after is FILTERED)
    calls = len(supervisord.calls)
    assert calls >= 10
    for n in range(calls):
        other = Supervisord(layout)
        other.die_at, other.ends_for = n, 2
        write_settings(layout.settings, BEFORE.settings)
        write_plan(layout.plan, OLD_PLAN)
        write(layout.reload, replace(REQUEST, after=after))
        with pytest.raises(Killed):
            take_over(layout, other)
        assert read_request(layout.reload) is not None
        take_over(layout, other)
        assert_taken_over(layout, other, after)


def test_shards_that_can_go_on_are_left_alone(layout: Layout, supervisord: Supervisord) -> None:
    """With other roots and a plan that continues the one in force; not if anything else decides about what is watched."""
    continues = Plan(2, (*(replace(anchor, since=1) for anchor in OLD_PLAN.anchors), Anchor(b"/b", "s2", b"/b", since=2)))
    supervisord.prepare_plan = lambda request: write_plan(layout.next_plan, continues)  # type: ignore[method-assign]
    take_over(layout, supervisord)
    assert read_plan(layout.plan) == continues and supervisord.running == {"aggregator", "s0", "s1", "s2"}
    assert "remove" not in supervisord.calls
    write_plan(layout.plan, OLD_PLAN)
    write(layout.reload, replace(REQUEST, after=FILTERED))
    take_over(layout, supervisord)
    assert supervisord.calls.count("remove") == 3 and supervisord.running == {"aggregator", "s0", "s1", "s2"}


def test_a_plan_in_force_that_is_damaged_is_continued_by_nobody(layout: Layout, supervisord: Supervisord) -> None:
    """All shards are started again."""
    layout.plan.write_bytes(b"{")
    take_over(layout, supervisord)
    assert supervisord.calls.count("remove") == 2 and read_plan(layout.plan) == NEW_PLAN


@pytest.mark.parametrize("which", ["in force", "next"])
def test_nothing_is_moved_by_a_damaged_plan(layout: Layout, supervisord: Supervisord, which: str) -> None:
    """The request is done all the same, and the coordinator makes another plan after it. Otherwise it would begin with it again
    and again."""

    def prepare_plan(request: ReloadRequest) -> None:
        layout.next_plan.write_bytes(b"{")

    supervisord.prepare_plan = prepare_plan  # type: ignore[method-assign]
    if which == "in force":
        layout.plan.write_bytes(b"{")
    write(layout.reload, replace(REQUEST, after=BEFORE, sources=None, rebalance=True, generation=OLD_PLAN.generation))
    assert take_over(layout, supervisord)
    assert read_outcome(layout.reload_outcome) == Outcome(id="r")
    assert not layout.reload.exists() and not layout.next_plan.exists()
    assert supervisord.running == {"aggregator", "s0", "s1", "lint"} and "remove" not in supervisord.calls


def test_nothing_is_asked(layout: Layout, supervisord: Supervisord) -> None:
    """Without a request nothing is done; one that is damaged, or that others could have written, is dropped, and said."""
    for content, mode in ((b"{", 0o600), (b"{}", 0o666)):
        layout.reload.write_bytes(content)
        layout.reload.chmod(mode)
        take_over(layout, supervisord)
        assert not layout.reload.exists()
    take_over(layout, supervisord)
    assert supervisord.calls == []


def test_a_plan_that_can_not_be_made_changes_nothing(layout: Layout, supervisord: Supervisord) -> None:
    """Everything runs on, and the outcome says why."""
    supervisord.plan_fails = True
    assert not take_over(layout, supervisord)
    assert read_outcome(layout.reload_outcome) == Outcome(id="r", error="no plan", remedy="none")
    assert supervisord.running == {"aggregator", "s0", "s1", "lint"}
    assert (read_settings(layout.settings), read_plan(layout.plan)) == (BEFORE.settings, OLD_PLAN)
    assert not layout.reload.exists()


def test_an_aggregator_that_still_ends_is_waited_for(layout: Layout, supervisord: Supervisord) -> None:
    """The predecessor was killed when it had told it to stop: supervisord would not start it, and not say so."""
    supervisord.running.discard("aggregator")
    supervisord.ending = 3
    write(layout.reload, replace(REQUEST, after=FILTERED, halted=True))
    take_over(layout, supervisord)
    assert_taken_over(layout, supervisord, FILTERED)
    assert "stop" not in supervisord.calls


@pytest.mark.parametrize("rebalance", [False, True])
def test_what_a_predecessor_has_ended_runs_again_where_its_successor_makes_no_plan(
    layout: Layout, supervisord: Supervisord, rebalance: bool
) -> None:
    """It was killed while the aggregator and a command were stopped; another request may have taken the place of its own."""
    del supervisord.groups["lint"]
    supervisord.running -= {"aggregator", "lint"}
    supervisord.plan_fails, supervisord.ending = True, 3
    request = replace(REQUEST, after=FILTERED, halted=True)
    if rebalance:
        request = replace(REQUEST, after=BEFORE, sources=None, rebalance=True, generation=OLD_PLAN.generation, halted=True)
    write(layout.reload, request)
    take_over(layout, supervisord)
    assert read_outcome(layout.reload_outcome) == Outcome(id="r", error="no plan", remedy="none")
    assert supervisord.running == {"aggregator", "s0", "s1"}
    assert "reread" in supervisord.calls, "which starts the command"
    assert not layout.reload.exists()


def test_an_aggregator_that_an_operator_has_stopped_stays_stopped(layout: Layout, supervisord: Supervisord) -> None:
    """It is not for a reload to start it."""
    supervisord.running.discard("aggregator")
    write(layout.reload, replace(REQUEST, halted=False))
    supervisord.prepare_plan = lambda request: write_plan(layout.next_plan, NEW_PLAN)  # type: ignore[method-assign]
    take_over(layout, supervisord)
    assert supervisord.running == {"s0", "s2"}


def test_files_that_can_not_be_written(
    layout: Layout, supervisord: Supervisord, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was stopped is started again, and the outcome says why nothing has changed."""

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("shardwatch.supervisor.reload.taking_over.write_settings", full)
    take_over(layout, supervisord)
    outcome = read_outcome(layout.reload_outcome)
    assert outcome is not None and "No space left on device" in outcome.error
    assert "aggregator" in supervisord.running
    assert read_plan(layout.plan) == OLD_PLAN


def test_an_aggregator_is_not_stopped_where_that_can_not_be_noted(
    layout: Layout, supervisord: Supervisord, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A successor would take it for one that an operator has stopped. What was ended runs again, and the outcome says why."""

    def full(path: Path, content: Any) -> None:
        if path == layout.reload:
            raise OSError(28, "No space left on device")
        write(path, content)

    write(layout.reload, replace(REQUEST, after=FILTERED))
    monkeypatch.setattr("shardwatch.supervisor.reload.taking_over.write", full)
    take_over(layout, supervisord)
    outcome = read_outcome(layout.reload_outcome)
    assert outcome is not None and "No space left on device" in outcome.error
    assert "stop" not in supervisord.calls and "aggregator" in supervisord.running
    assert supervisord.calls[-1] == "reread" and read_settings(layout.settings) == BEFORE.settings


def test_an_outcome_that_can_not_be_written_is_all_that_is_tried_again(
    layout: Layout, supervisord: Supervisord, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Programs that were ended, and started, are not ended once more. It is said once."""
    refused: list[Path] = []

    def full(path: Path, content: Any) -> None:
        if path == layout.reload_outcome and len(refused) < 3:
            refused.append(path)
            raise OSError(28, "No space left on device")
        write(path, content)

    monkeypatch.setattr("shardwatch.supervisor.reload.taking_over.write", full)
    monkeypatch.setattr("shardwatch.supervisor.reload.taking_over.BEAT_S", 0.0)
    take_over(layout, supervisord)
    assert_taken_over(layout, supervisord)
    assert len(refused) == 3 and supervisord.calls.count("prepare_plan") == 1
    assert capsys.readouterr().out.count("No space left on device; it is tried again") == 1


@pytest.mark.parametrize("method", ["stopProcess", "startProcess"])
def test_other_faults_of_supervisord_are_raised(layout: Layout, supervisord: Supervisord, method: str) -> None:
    """The coordinator then begins again."""

    def refuse(*_: object) -> None:
        raise xmlrpc.client.Fault(6, "SHUTDOWN_STATE")

    setattr(supervisord, method, refuse)
    write(layout.reload, replace(REQUEST, after=FILTERED))
    with pytest.raises(xmlrpc.client.Fault):
        take_over(layout, supervisord)
    assert layout.reload.exists()


def test_shares_are_made_equal_while_the_aggregator_runs(
    layout: Layout, supervisord: Supervisord, capsys: pytest.CaptureFixture[str]
) -> None:
    """The plan is exchanged, and the shards are started again; a request for an earlier plan does nothing."""
    rebalanced = replace(REQUEST, after=BEFORE, sources=None, rebalance=True, generation=OLD_PLAN.generation)
    for request in (rebalanced, replace(rebalanced, id="again")):
        write(layout.reload, request)
        supervisord.calls.clear()
        take_over(layout, supervisord)
        assert read_outcome(layout.reload_outcome) == Outcome(id=request.id)
    assert "prepare_plan" not in supervisord.calls
    assert read_plan(layout.plan) == NEW_PLAN
    assert supervisord.running == {"aggregator", "s0", "s2", "lint"}
    assert "plan 2: shard s1 gives to s0 /a/x (about 0 files in 0 directories)" in capsys.readouterr().out


def test_a_request_that_comes_meanwhile_is_carried_out_next(layout: Layout, supervisord: Supervisord) -> None:
    """It is written over the one that is carried out."""
    rebalanced = replace(REQUEST, id="", after=BEFORE, sources=None, rebalance=True, generation=OLD_PLAN.generation)
    write(layout.reload, rebalanced)
    prepare = supervisord.prepare_plan

    def prepare_plan(request: ReloadRequest) -> None:
        prepare(request)
        write(layout.reload, REQUEST)

    supervisord.prepare_plan = prepare_plan  # type: ignore[method-assign]
    take_over(layout, supervisord)
    assert read_outcome(layout.reload_outcome) == Outcome(id="") and read_request(layout.reload) == REQUEST
    take_over(layout, supervisord)
    assert_taken_over(layout, supervisord)
    assert read_request(layout.reload) is None


def test_the_next_plan_of_another_request_is_not_put_in_force(layout: Layout, supervisord: Supervisord) -> None:
    """Its predecessor was killed before it was exchanged, and now there is nothing to be moved."""
    write_plan(layout.next_plan, NEW_PLAN)
    write(layout.reload, replace(REQUEST, after=BEFORE, sources=None, rebalance=True, generation=OLD_PLAN.generation))
    supervisord.prepare_plan = lambda request: None  # type: ignore[method-assign]
    take_over(layout, supervisord)
    assert read_plan(layout.plan) == OLD_PLAN and not layout.next_plan.exists()


#: One of the two subtrees of s1 passes to s0; both run on.
PASSES = Plan(1, (*OLD_PLAN.anchors, Anchor(b"/a/y", "s1", b"/a")), "old")
PASSED = Plan(2, (*(replace(a, since=1) for a in OLD_PLAN.anchors), Anchor(b"/a/y", "s0", b"/a", since=2)), "old")


@pytest.mark.parametrize("roots", [False, True])
@pytest.mark.parametrize("nobody_answers", [False, True])
def test_heirs_are_waited_for_before_a_plan_is_exchanged(
    layout: Layout, supervisord: Supervisord, roots: bool, nobody_answers: bool
) -> None:
    """Of a rebalance, and of other roots, while the aggregator runs; wherever the coordinator is killed meanwhile. Where it can't
    be asked who is ready, the plan is exchanged all the same."""
    request = REQUEST if roots else replace(REQUEST, after=BEFORE, sources=None, rebalance=True, generation=1)
    die_at = -1
    while True:
        write_settings(layout.settings, BEFORE.settings)
        write_plan(layout.plan, PASSES)
        write(layout.reload, request)
        one = Supervisord(layout)
        one.prepare_plan = lambda request: write_plan(layout.next_plan, PASSED)  # type: ignore[method-assign]
        one.nobody_answers, one.die_at = nobody_answers, die_at
        if die_at >= 0:
            with pytest.raises(Killed):
                take_over(layout, one)
        take_over(layout, one)
        assert read_plan(layout.plan) == PASSED and one.running >= {"aggregator", "s0", "s1"}
        assert "remove" not in one.calls
        if die_at < 0:
            assert one.calls.count("await s0 for 2, 0.05 s") == 1
            die_at = len(one.calls)
        die_at -= 1
        if die_at < 0:
            return


def test_nobody_is_waited_for_who_is_started_again(layout: Layout, supervisord: Supervisord) -> None:
    """With links that are followed, whoever is given something begins anew."""
    follows = replace(BEFORE, settings=replace(BEFORE.settings, follow_symlinks=True))
    write_plan(layout.plan, PASSES)
    write(layout.reload, replace(REQUEST, before=follows, after=follows, sources=None, rebalance=True, generation=1))
    supervisord.prepare_plan = lambda request: write_plan(layout.next_plan, PASSED)  # type: ignore[method-assign]
    take_over(layout, supervisord)
    assert read_plan(layout.plan) == PASSED and not [call for call in supervisord.calls if call.startswith("await")]


def test_shares_that_are_equal_stay(layout: Layout, supervisord: Supervisord) -> None:
    """No plan is prepared where nothing is to be moved."""
    write(layout.reload, replace(REQUEST, after=BEFORE, sources=None, rebalance=True, generation=OLD_PLAN.generation))
    supervisord.prepare_plan = lambda request: None  # type: ignore[method-assign]
    take_over(layout, supervisord)
    assert read_plan(layout.plan) == OLD_PLAN
    assert supervisord.running == {"aggregator", "s0", "s1", "lint"}
