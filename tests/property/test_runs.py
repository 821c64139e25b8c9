"""Whatever ends when and however: every change is run until it succeeds or its batch has failed, and never twice at a time."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from shardwatch.supervisor.runs.change import Change, Taken
from shardwatch.supervisor.runs.command import Command, Input, Run
from shardwatch.supervisor.runs.instructions import Acknowledge, Fail, Instruction, Stop
from shardwatch.supervisor.runs.schedule import Schedule

NAMES = [b"/a", b"/b", b"/c", b"/d"]

names_of_a_batch = st.lists(st.sampled_from(NAMES), min_size=1, max_size=4, unique=True)


class RunsMachine(RuleBasedStateMachine):
    """A schedule, and a service that hands out what failed or was lost, again."""

    def __init__(self) -> None:
        super().__init__()
        self.jobs = 2
        self.schedule = Schedule(Command([b"x", b"{}"], Input.ARGS, 2, 10_000, "g"), self.jobs, ("created",), retries=True)
        self.tick = 0
        self.given = 0
        self.running: list[Run] = []
        #: Of each batch on lease, the changes that are not acknowledged.
        self.leased: dict[str, dict[int, Change]] = {}
        #: Ticks for which a run has succeeded since their batch came, and what is to be handed out again.
        self.succeeded: set[int] = set()
        self.again: list[Change] = []

    @rule(names=names_of_a_batch, kind=st.sampled_from(["created", "deleted"]))
    def hand_out(self, names: list[bytes], kind: str) -> None:
        changes = [Change(name, kind, self.tick + place) for place, name in enumerate(names, 1)]
        self.tick += len(changes)
        self.give(changes)

    @precondition(lambda self: self.again)
    @rule()
    def hand_out_again(self) -> None:
        changes, self.again = self.again, []
        self.give(changes)

    def give(self, changes: list[Change]) -> None:
        self.given += 1
        name = f"b-{self.given}"
        self.leased[name] = {change.tick: change for change in changes}
        self.carry_out(self.schedule.take(Taken(name, 1, 30.0, tuple(changes))))

    @rule()
    def begin(self) -> None:
        run = self.schedule.next()
        if run is not None:
            assert not {path for other in self.running for path in other.paths()} & run.paths(), "a path in two runs"
            self.running.append(run)
            assert len(self.running) <= self.jobs
        else:
            assert self.running or not self.leased, "nothing runs, and nothing begins"

    @precondition(lambda self: self.running)
    @rule(data=st.data(), failure=st.sampled_from(["", "", "exit code 1"]))
    def end(self, data: st.DataObject, failure: str) -> None:
        run = self.running.pop(data.draw(st.integers(0, len(self.running) - 1)))
        if not failure:
            self.succeeded.update(change.tick for change in run.changes)
        self.carry_out(self.schedule.ended(run, failure))

    @precondition(lambda self: self.leased)
    @rule(data=st.data())
    def lose(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(list(self.leased)))
        self.again += self.leased.pop(name).values()
        stopped = self.schedule.lost(name)
        assert stopped == [Stop(run) for run in self.running if run.batch == name]

    def carry_out(self, instructions: list[Instruction]) -> None:
        for instruction in instructions:
            match instruction:
                case Acknowledge(batch, ticks):
                    left = self.leased[batch]
                    for tick in left.keys() & (left.keys() if ticks is None else ticks):  # the last one names them all
                        assert left[tick].kind == "deleted" or tick in self.succeeded, "acknowledged, and never done"
                        del left[tick]
                    if ticks is None:
                        del self.leased[batch]
                case Fail(batch, reason):
                    assert reason
                    assert self.leased[batch], "nothing is left that could have failed"
                    self.again += self.leased.pop(batch).values()
                case _:
                    raise AssertionError(instruction)

    @invariant()
    def what_is_on_lease_is_known(self) -> None:
        assert {taken.batch for taken in self.schedule.batches()} == set(self.leased)

    def teardown(self) -> None:
        """Everything succeeds from now on, and everything is done in the end."""
        while self.again or self.leased or self.running:
            if self.again:
                self.hand_out_again()
            while (run := self.schedule.next()) is not None:
                self.running.append(run)
            if self.running:
                run = self.running.pop(0)
                self.succeeded.update(change.tick for change in run.changes)
                self.carry_out(self.schedule.ended(run, ""))


TestRuns = RunsMachine.TestCase
