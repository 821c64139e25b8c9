"""Runs a command for the changes of a group: pulls, begins runs, acknowledges what succeeded. Never blocks but in its wait.

What is run when, and what is acknowledged, is decided by a schedule (`supervisor/runs/`); this carries it out.
"""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

from shardwatch.shard.contract.input.shown import shown
from shardwatch.shard.contract.limits import BEAT_S, next_beat

from ...runs.change import FRESH, Taken, taken
from ...runs.command import Command, Run
from ...runs.echoes import PAUSE_S_MAX, Echoes
from ...runs.instructions import Acknowledge, Fail, Instruction, Signal, Stop
from ...runs.output import Relay, RunOutput, flush
from ...runs.pace import Pace
from ...runs.process import Program, RunProcess, why_failed
from ...runs.program_place import ProgramPlace
from ...terminal.own_output import OUTPUT_AND_ERRORS, OwnOutput
from ...terminal.streams import say
from ..link.connection import ServiceConnection, checked
from ..link.in_flight import Reply, hands_out
from .puller import PULL_WAIT_S

#: Seconds between the stop signal and the end by force.
GRACE_S: Final = 3.0
#: Seconds for which the last output may wait for its reader, when everything else has ended.
_LAST_OUTPUT_S: Final = 1.0
#: A lease is extended when a third of it is over: an extension may be late, or lost once.
_EXTENSIONS: Final = 3
#: Seconds for which what has succeeded may wait for more of its batch that is acknowledged with it. If we are killed meanwhile,
#: it comes again. The end of a batch does not wait.
_ACK_S: Final = 0.1
#: Seconds between two looks at paths whose run was put off: whoever changes one of them is not kept waiting.
_LOOK_S: Final = 1.0
#: Batches of which something is put off, at most: a group may have only so many on lease (`leases_max`).
_PUT_OFF_MAX: Final = 16
#: Clears a terminal and what was scrolled out of it (ECMA-48, xterm).
_CLEAR: Final = b"\x1b[H\x1b[2J\x1b[3J"


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


@dataclass(frozen=True, slots=True)
class Manner:
    """How runs are run."""

    #: Asks a run to end.
    stop_signal: int
    #: Tells a run that something has changed (`Signal`).
    busy_signal: int
    #: None: as long as they like.
    timeout_s: float | None
    #: Each line of output begins with the run's path.
    prefix: bool
    #: The terminal, if standard output is one, is cleared before a run begins while no other goes on.
    clear: bool
    #: Runs write where we do, with nothing in between: for one run at a time.
    direct: bool
    #: Failures are told with the number of the attempt: what failed comes again.
    attempts: bool
    umask: int
    #: In the names of all runs.
    token: str


@dataclass(slots=True)
class _Going:
    """A run that goes on. Times are of time.monotonic."""

    run: Run
    process: RunProcess
    #: None: it writes where we do.
    output: RunOutput | None
    began: float
    #: When something is to be done to it: its time is up, or its grace period. Infinite for never.
    due: float
    #: Why it was asked to end; empty where it was not.
    stopped: str = ""
    #: It was asked to end because it is not wanted any more, which is nothing to complain of.
    unwanted: bool = False


@dataclass(slots=True)
class _PutOff:
    """What of a batch is run for later. Times are of time.monotonic."""

    paths: list[bytes]
    due: float
    #: When the paths are looked at next.
    look: float


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
        self._command = command
        self._program = Program(manner.umask)
        self._policy = policy
        self._pace = pace
        self._manner = manner
        self._group = group
        # The command may know something from a group of that name that is gone. Where it asked to be told, the service makes the
        # notice durable together with the group.
        self._anew = "fresh" if policy.wants(FRESH) else "start"
        self._start = self._anew if start == "start" else start
        self._name = f"{group[:100]}:{os.getpid()}" if name is None else name
        #: Runs write to these files as well.
        self._own = OwnOutput(OUTPUT_AND_ERRORS)
        self._epoll = select.epoll()
        self._relay = Relay(self._epoll)
        self._going: dict[int, _Going] = {}
        self._asked: int | None = None
        #: Number of a request -> its batch: if it is refused, the lease is over.
        self._concerns: dict[int, str] = {}
        self._extensions: dict[str, float] = {}
        #: Ticks of each batch that are done, and not acknowledged yet; and when they are to be (time.monotonic).
        self._done: dict[str, list[int]] = {}
        self._done_due = float("inf")
        self._echoes = echoes
        self._put_off: dict[str, _PutOff] = {}
        self._warned = False
        #: A run could not begin, which may have taken seconds: signals are heard, and a pulse is sent, before the next one.
        self._refused = False
        self._known = False
        self._environ = dict(os.environb)
        self._program_place = ProgramPlace(os.fsdecode(command.argv[0]))

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self.finish()
        self._epoll.close()
        self._program_place.close()

    @property
    def wake_fd(self) -> int:
        """Can be read when `turn` has something to do."""
        return self._epoll.fileno()

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
        self._refused = False
        self._look()
        now = time.monotonic()
        self._relay.hear(now)
        self._end_overdue(now)
        self._extend(now)
        self._resume(now)
        if self._done_due <= now:
            self._acknowledge()
        self._begin_next()
        if self._asked is None and self._policy.is_hungry(ahead=self._pace.is_quick):
            self._pull()

    def _due(self) -> float:
        """When something is to be done without being woken (time.monotonic); infinite for never."""
        if self._refused:
            return 0.0
        due = [self._done_due, self._relay.due(), *self._extensions.values()]
        due += [going.due for going in self._going.values()]
        due += [min(off.due, off.look) for off in self._put_off.values()]
        return min(due)

    # -- batches

    def _pull(self) -> None:
        fields: dict[str, Any] = {
            "group": self._group, "max": self._pace.paths(), "wait_ms": int(PULL_WAIT_S * 1000), "worker": self._name,
        }  # fmt: skip
        if self._start is not None:
            fields["from"] = self._start
        self._asked = self._connection.ask("pull", wait_s=PULL_WAIT_S, **fields)

    def answered(self, number: int, reply: Reply) -> None:
        """The answer to one of our requests, or a batch that was handed out twice."""
        batch = self._concerns.pop(number, None)
        if number == self._asked:
            self._asked = None
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
        pauses = {}
        for change in taken.changes:
            if self._echoes.may_be_echo(change.path) and self._policy.wants(change.kind):
                pause_s = self._echoes.pause_s(change.path, _changed_ns(change.path))
                if pause_s:
                    pauses[change.tick] = (pause_s, change.path)
        if pauses:
            now = time.monotonic()
            paths = [path for _, path in pauses.values()]
            self._warn_of_loop(paths[0])
            self._put_off[taken.batch] = _PutOff(paths, now + max(pause_s for pause_s, _ in pauses.values()), now + _LOOK_S)
        return list(pauses)

    def _warn_of_loop(self, path: bytes) -> None:
        if not self._warned:
            self._warned = True
            say(
                f"shardwatch: warning: {os.fsdecode(path)!r} changes during run after run, as if the command changed it: "
                f"runs for such changes wait from now on, up to {PAUSE_S_MAX / 60:.0f} min (exclude what the command writes)"
            )

    def _resume(self, now: float) -> None:
        """Runs for what was put off: its time is over, or somebody else has changed it since."""
        over = len(self._put_off) - _PUT_OFF_MAX
        for place, (batch, off) in enumerate(list(self._put_off.items())):
            if place >= over and now < off.due and not self._is_changed(off, now):
                continue
            del self._put_off[batch]
            self._carry_out(self._policy.resume(batch))

    def _is_changed(self, off: _PutOff, now: float) -> bool:
        if now < off.look:
            return False
        off.look = now + _LOOK_S
        changed = [path for path in off.paths if not self._echoes.is_echo(path, _changed_ns(path))]
        for path in changed:
            self._echoes.forget(path)
        return bool(changed)

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
                    for going in self._going.values():
                        if going.run is run and not going.stopped:
                            self._stop(going)
                case Signal(run, changes):
                    for going in self._going.values():
                        if going.run is run:
                            self._echoes.begin(run.number, (change.path for change in changes), time.time_ns())
                            going.process.signal(self._manner.busy_signal)

    def _acknowledge(self) -> None:
        """What is done by now. Each acknowledgement is made durable by the service, so it is not asked for each run."""
        for batch, ticks in self._done.items():
            number = self._connection.ask("ack", group=self._group, batch=batch, ticks=ticks)
            self._concerns[number] = batch
        self._done, self._done_due = {}, float("inf")

    # -- runs

    def _begin_next(self) -> None:
        """All runs that may begin now, until one is refused."""
        while not self._refused and (run := self._policy.next()) is not None:
            self._begin(run)

    def _begin(self, run: Run) -> None:
        environ = self._environ | self._command.environment(run, self._manner.token)
        began = time.monotonic()
        if self._manner.clear and not self._going and os.isatty(1):
            self._relay.write(_CLEAR)
        output: RunOutput | None = None
        self._echoes.begin(run.number, (change.path for change in run.changes), time.time_ns())
        try:
            if not self._manner.direct:
                output = self._relay.begin(self._prefix(run), began)
            self._program_place.demand()
            process = self._program.run(
                self._command.arguments(run.changes),
                environ,
                self._command.standard_input(run.changes),
                stdout=1 if output is None else output.writers[0],
                stderr=2 if output is None else output.writers[1],
            )
        except OSError as error:
            if output is not None:
                self._relay.end(output)
            self._refused = True
            self._note_end(run, f"can't be run: {error.strerror}")
            return
        if output is not None:
            output.close_writers()
        due = float("inf") if self._manner.timeout_s is None else began + self._manner.timeout_s
        self._going[process.ended] = _Going(run, process, output, began, due)
        self._epoll.register(process.ended, select.EPOLLIN)

    def _prefix(self, run: Run) -> bytes:
        return self._about(run) + b": " if self._manner.prefix else b""

    def _about(self, run: Run) -> bytes:
        """What people are told that a run is for: its first path."""
        if not run.changes:
            return self._command.argv[0]
        return run.changes[0].path or FRESH.encode()

    def _look(self) -> None:
        """What has happened to runs and to their output."""
        for fd, _ in self._epoll.poll(0):
            if fd in self._going:
                self._end(fd)
            elif self._relay.owns(fd):
                self._relay.ready(fd)

    def _end(self, fd: int) -> None:
        self._epoll.unregister(fd)
        going = self._going.pop(fd)
        failure = why_failed(going.process.close())
        self._pace.note(time.monotonic() - going.began)
        if not failure and not going.stopped and not self._manner.clear:
            # The next run begins first, and what this one has written is passed on while that one starts: otherwise a processor
            # would have nothing to do meanwhile.
            self._note_end(going.run, "")
            self._begin_next()
            self._end_output(going)
            return
        self._end_output(going)
        output = "" if going.output is None else going.output.end()
        self._note_end(going.run, going.stopped or failure, output, told=not going.unwanted)

    def _end_output(self, going: _Going) -> None:
        if going.output is not None:
            self._relay.end(going.output)

    def _note_end(self, run: Run, failure: str, output: str = "", *, told: bool = True) -> None:
        self._echoes.end(run.number, time.time_ns())
        if failure and told:
            what = shown(os.fsdecode(self._about(run)))
            more = f" and {len(run.changes) - 1} more" if len(run.changes) > 1 else ""
            attempt = f" (attempt {run.attempt})" if self._manner.attempts else ""
            say(f"shardwatch: {what}{more}: {failure}{attempt}")
        self._carry_out(self._policy.ended(run, failure, output))

    def _stop(self, going: _Going, why: str = "") -> None:
        """It is asked to end, because it is not wanted any more if no other reason is given. Later it is ended by force."""
        going.stopped, going.unwanted = why or "it was to end", not why
        going.due = time.monotonic() + GRACE_S
        going.process.stop(self._manner.stop_signal)

    def _end_overdue(self, now: float) -> None:
        for going in self._going.values():
            if going.due > now:
                continue
            if going.stopped:
                going.due = float("inf")
                going.process.signal(signal.SIGKILL)
            else:
                self._stop(going, f"timeout of {self._manner.timeout_s:g} s")

    # -- the end

    def finish(self) -> None:
        """Ends all runs: by the stop signal, and by force after the grace period. What has succeeded until then is acknowledged,
        the rest is given back. Idempotent."""
        self._relay.hear(float("inf"))
        for going in self._going.values():
            if not going.stopped:
                self._stop(going)
        while self._going:
            due = min(going.due for going in self._going.values())
            ready = self._epoll.poll(None if due == float("inf") else max(0.0, due - time.monotonic()))
            for fd, _ in ready:
                if fd in self._going:
                    self._end_at_last(fd)
                elif self._relay.owns(fd):
                    self._relay.ready(fd)
            self._acknowledge()  # now, since we may be killed before the last run has ended
            self._end_overdue(time.monotonic())
        self._acknowledge()
        flush(self._relay, self._epoll, _LAST_OUTPUT_S)
        if self._known or self._asked is not None:
            self._connection.ask("release", group=self._group, worker=self._name)
            self._known, self._asked = False, None

    def _end_at_last(self, fd: int) -> None:
        """A run that was ended has not failed, and one that has succeeded all the same is done."""
        self._epoll.unregister(fd)
        going = self._going.pop(fd)
        code = going.process.close()
        self._end_output(going)
        if code == 0:
            self._carry_out(self._policy.ended(going.run, ""))


def _changed_ns(path: bytes) -> int:
    """When a file was changed last, nanoseconds since 1970; of one that is gone, when the nearest directory that is there was."""
    while True:
        try:
            return os.lstat(path).st_ctime_ns
        except OSError:
            if path in (b"/", b""):
                return 0
            path = os.path.dirname(path)
