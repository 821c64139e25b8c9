"""Runs a command for the changes of a group: pulls, begins runs, acknowledges what succeeded. Never blocks but in its wait.

What is run when, and what is acknowledged, is decided by a schedule (`supervisor/runs/`); this carries it out.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import Any, Final, Protocol

from shardwatch.aggregator.client.requests import once
from shardwatch.shard.contract.input.shown import shown
from shardwatch.shard.contract.limits import BEAT_S, next_beat

from ...runs.change import FRESH, Taken, taken
from ...runs.command import Command, Run
from ...runs.echoes import Echoes
from ...runs.instructions import Acknowledge, Fail, Instruction, Signal, Stop
from ...runs.pace import Pace
from ...terminal.own_output import OUTPUT_AND_ERRORS, OwnOutput
from ...terminal.streams import say
from ..link.connection import ServiceConnection, checked
from ..link.in_flight import Reply, hands_out
from .puller import PULL_WAIT_S
from .put_off import PutOff
from .runner import Manner, Runner

#: A lease is extended when a third of it is over: an extension may be late, or lost once.
_EXTENSIONS: Final = 3
#: Seconds for which what has succeeded may wait for more of its batch that is acknowledged with it. If we are killed meanwhile,
#: it comes again. The end of a batch does not wait.
_ACK_S: Final = 0.1


class Policy(Protocol):
    """What is run when: `Schedule`, or `Latest`."""

    def wants(self, kind: str) -> bool: ...
    def batches(self) -> list[Taken]: ...
    def is_hungry(self, *, ahead: bool) -> bool: ...
    def take(self, taken: Taken, late: Collection[int] = ()) -> list[Instruction]: ...
    def resume(self, batch: str) -> list[Instruction]: ...
    def next(self) -> Run | None: ...
    def ended(self, run: Run, failure: str, output: str = "") -> list[Instruction]: ...
    def lost(self, batch: str) -> list[Instruction]: ...


class Worker:
    """The runs of one group. Enter it, and call `follow`. When it is left, no run goes on."""

    def __init__(
        self, connection: ServiceConnection, command: Command, policy: Policy, pace: Pace, echoes: Echoes,
        manner: Manner, *, group: str, start: str | None, name: str | None = None,
    ) -> None:  # fmt: skip
        """
        Args:
            start: where a group begins that does not exist yet: `now`, or `start`; None: it exists.
            name: leases are held in it; None: in one that no other process has.
        """
        self._connection = connection
        self._policy = policy
        self._pace = pace
        self._runner = Runner(command, manner, pace, echoes, next_run=policy.next, ended=self._ended)
        self._put_off = PutOff(echoes, policy.wants)
        self._group = group
        # The command may know something from a group of that name that is gone. Where it asked to be told, the service makes the
        # notice durable together with the group.
        self._anew = "fresh" if policy.wants(FRESH) else "start"
        self._start = self._anew if start == "start" else start
        self._name = f"{group[:100]}:{os.getpid()}" if name is None else name
        #: Runs write to these files as well.
        self._own = OwnOutput(OUTPUT_AND_ERRORS)
        self._asked: int | None = None
        #: Number of a request -> its batch: if it is refused, the lease is over.
        self._concerns: dict[int, str] = {}
        self._extensions: dict[str, float] = {}
        #: Ticks of each batch that are done, and not acknowledged yet; and when they are to be (time.monotonic).
        self._done: dict[str, list[int]] = {}
        self._done_due = float("inf")
        self._known = False

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self.finish()
        self._runner.close()

    @property
    def wake_fd(self) -> int:
        """Can be read when `turn` has something to do."""
        return self._runner.fileno()

    def follow(
        self, wait: Callable[[float | None], list[tuple[int, Reply]]], beat: Callable[[], object] | None = None
    ) -> None:
        """For ever. `wait` waits so many seconds (None: without end) for answers, and for `wake_fd`; what it raises ends this.

        `beat` is called before each wait, and every BEAT_S seconds at the latest, however long runs go on.

        Raises the error that a pull is refused with.
        """
        while True:
            self.turn()
            due = self._due()
            if beat is not None:
                beat()
                due = min(due, next_beat(time.monotonic(), BEAT_S))
            for number, reply in wait(None if due == float("inf") else max(0.0, due - time.monotonic())):
                self.answered(number, reply)

    def turn(self) -> None:
        """All that is to be done now."""
        self._runner.turn()
        now = time.monotonic()
        self._extend(now)
        for batch in self._put_off.take_due(now):
            self._carry_out(self._policy.resume(batch))
        if self._done_due <= now:
            self._acknowledge()
        self._runner.begin_next()
        if self._asked is None and self._policy.is_hungry(ahead=self._pace.is_quick):
            self._pull()

    def _due(self) -> float:
        """When something is to be done without being woken (time.monotonic); infinite for never."""
        return min(self._done_due, self._runner.due(), self._put_off.due(), *self._extensions.values())

    # -- batches

    def _pull(self) -> None:
        fields: dict[str, Any] = {
            "group": self._group, "max": self._pace.paths(), "wait_ms": int(PULL_WAIT_S * 1000), "worker": self._name,
            "once": once(),
        }  # fmt: skip
        if self._start is not None:
            fields["from"] = self._start
        self._asked = self._connection.ask("pull", wait_s=PULL_WAIT_S, **fields)

    def answered(self, number: int, reply: Reply) -> None:
        """The answer to one of our requests, or a batch that was handed out twice."""
        batch = self._concerns.pop(number, None)
        if number == self._asked:
            self._asked = None
            if reply.get("error") == "unknown_group":  # it was dropped while the pull waited: the next one makes it anew
                self._known, self._start = True, self._anew
            else:
                self._take(checked(reply))
        elif hands_out(reply):
            self._take(reply)
        elif batch is not None and reply.get("error") == "lease_expired":
            self._extensions.pop(batch, None)
            self._carry_out(self._policy.lost(batch))

    def _take(self, reply: Mapping[str, Any]) -> None:
        if self._known and reply.get("created"):
            say(f"shardwatch: group {shown(self._group)} was lost, and made anew: every file follows as created")
        self._known, self._start = True, self._anew
        batch = reply.get("batch")
        if batch is None:
            return
        if batch["events"][0]["type"] == "fresh":
            say(f"shardwatch: every file follows as created: {batch['events'][0]['reason']}")
        self._runner.notice_ends()  # a run that has ended since the last turn can't be told of these changes
        one = self._of_others(taken(batch))
        self._carry_out(self._policy.take(one, self._late_ticks(one)))
        leased = {other.batch for other in self._policy.batches()}
        for over in self._extensions.keys() - leased:
            del self._extensions[over]
        if one.batch in leased:
            self._extensions.setdefault(one.batch, time.monotonic() + one.lease_s / _EXTENSIONS)

    def _of_others(self, taken: Taken) -> Taken:
        """A batch, without changes of the files to which runs write."""
        if not self._own:
            return taken
        own = self._own.among([change.path for change in taken.changes])
        return replace(taken, changes=tuple(change for change in taken.changes if change.path not in own)) if own else taken

    def _late_ticks(self, taken: Taken) -> list[int]:
        """Of the changes of a batch, those that are run for later, because the command seems to make them itself."""
        if taken.attempt > 1 or any(taken.batch == batch.batch for batch in self._policy.batches()):
            return []  # they were looked at already
        return self._put_off.choose(taken)

    def _extend(self, now: float) -> None:
        for batch in self._policy.batches():
            if self._extensions[batch.batch] <= now:
                self._extensions[batch.batch] = now + batch.lease_s / _EXTENSIONS
                lease_ms = round(batch.lease_s * 1000)
                number = self._connection.ask("extend", group=self._group, batch=batch.batch, lease_ms=lease_ms)
                self._concerns[number] = batch.batch

    def _carry_out(self, instructions: list[Instruction]) -> None:
        for instruction in instructions:
            match instruction:
                case Acknowledge(batch, None):
                    self._done.pop(batch, None)
                    self._connection.ask("ack", group=self._group, batch=batch)
                    self._extensions.pop(batch, None)
                case Acknowledge(batch, ticks):
                    self._done.setdefault(batch, []).extend(ticks or ())
                    self._done_due = min(self._done_due, time.monotonic() + _ACK_S)
                case Fail(batch, reason, output):
                    self._acknowledge()
                    self._connection.ask("nack", group=self._group, batch=batch, reason=reason, output=output)
                    self._extensions.pop(batch, None)
                case Stop(run):
                    self._runner.stop(run)
                case Signal(run, changes):
                    self._runner.signal(run, changes)

    def _acknowledge(self) -> None:
        """What is done by now. Each acknowledgement is made durable by the service, so it is not asked for each run."""
        for batch, ticks in self._done.items():
            number = self._connection.ask("ack", group=self._group, batch=batch, ticks=ticks)
            self._concerns[number] = batch
        self._done, self._done_due = {}, float("inf")

    def _ended(self, run: Run, failure: str, output: str) -> None:
        self._carry_out(self._policy.ended(run, failure, output))

    # -- the end

    def finish(self) -> None:
        """Ends all runs: by the stop signal, and by force after the grace period. What has succeeded until then is acknowledged,
        the rest is given back. Idempotent."""
        self._runner.end_all(self._acknowledge)
        self._acknowledge()
        self._runner.flush()
        if self._known or self._asked is not None:
            self._connection.ask("release", group=self._group, worker=self._name)
            self._known, self._asked = False, None
