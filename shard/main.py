"""One shard process: it connects the parts, reports readiness and sends beats. supervisord starts it with SHARD_ID in its
environment.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import signal
import stat
import sys
import time

import msgspec

from .backend.choice import open_backend
from .backend.patience import Patience
from .backend.share import WatchShare, limited_part
from .compiled import choice
from .contract.errors import ShardwatchError, UsageError
from .contract.filter.scope import scope_of
from .contract.input.command_line import values_of
from .contract.limits import (
    SHARD_ID_PATTERN,
    WIRE_VERSION,
)
from .contract.process import inherited, log_choice
from .contract.process.life import Lock, Pulse, die_with_parent, new_epoch, service_id, wake_on_time
from .contract.process.log import open_log
from .contract.process.log import use as use_log
from .contract.process.slack import Slack, give_back
from .contract.process.stand_in import StandIn, asked_to_stand_in
from .contract.state.layout import Layout
from .contract.state.planfile import Anchor, Plan, PlanFile, with_roots
from .contract.state.settings import Settings, SettingsFile
from .contract.wire.frames import Beat, Reply, encode
from .disk.ignore_setting import ignore_files_of
from .disk.look import Reader
from .disk.mounts import Mounts
from .process.first_plan import await_plan
from .process.heartbeat import Heartbeat
from .process.line import Line
from .process.lock_roots import LockRoots
from .process.restraint import Restraint
from .process.shift import Shift
from .process.succession import PlanOverError, Succession
from .process.wakeups import Wakeups
from .schedule.tuning import Tuning
from .schedule.watcher import Watcher
from .stream.send import Stream
from .territory.doubts import Doubts
from .territory.territory import Territory
from .version_control.locks import Locks

log = logging.getLogger("shardwatch.shard")

#: How long a new shard waits for its predecessor to let go of the lock, seconds.
_LOCK_WAIT_S = 20.0
#: Bytes of unacked frames that leave memory worth giving back.
_MUCH_BYTES = 1 << 16


class ShardProcess:
    """Owns the sockets, the lock and the loop. `stand_in`: it sweeps for a while in the place of a watcher that crashes."""

    def __init__(
        self,
        shard: str,
        layout: Layout,
        settings: Settings,
        settings_file: SettingsFile,
        plan: Plan,
        plan_file: PlanFile,
        stand_in: StandIn | None = None,
    ) -> None:
        self.shard = shard
        self._settings = settings
        settings = with_roots(settings, plan)
        self._restraint = Restraint(settings, limited=stand_in is None)
        self._settings_file = settings_file
        self._succession = Succession(shard, plan, plan_file, settings, fixed=stand_in is not None)
        # What can't be watched on the filesystem that a directory lies on is found out by looking: it may be another by now.
        local = "polling" if stand_in is not None else settings.local_backend
        anchors = [msgspec.structs.replace(anchor, backend=local) for anchor in plan.of(shard)]
        if not anchors:
            raise UsageError(f"the plan gives nothing to shard {shard!r}", hint="the coordinator removes such shards by itself")
        self._lock = Lock(layout.lock(f"shard-{shard}"), wait_s=_LOCK_WAIT_S)
        self._service = service_id()
        self._line = Line(shard, layout, self._service, log)
        by_itself = "auto" if settings.backend == "auto" and local == "inotify" else local
        patience = Patience()
        self._backend, remedy = open_backend(by_itself, plan.watches.get(shard, 0), patience)
        self._stream = Stream(shard, new_epoch(), plan.generation, self._line.send, service=self._service)
        self._mounts = Mounts(plan.homes, later=plan.later)
        self._territory = Territory(
            anchors,
            frozenset(a.path for a in plan.anchors),
            reader=Reader(
                scope_of(settings),
                state_dir=os.fsencode(os.path.realpath(layout.state_dir)),
                recursive=settings.recursive,
                follow=settings.follow_symlinks,
                on_progress=self._show_life,
                ignores=ignore_files_of(settings),
            ),
            backend=self._backend,
            doubts=Doubts(
                remedy, asked=settings.backend == "polling", standing_in=_why(stand_in, shard) if stand_in is not None else None
            ),
            emit=self._stream.add,
            mounts=self._mounts,
        )
        shards = len(plan.shards())
        self._tuning = Tuning(
            self._territory,
            settings,
            shards=shards,
            patience=patience,
            watch_share=WatchShare(lambda: limited_part(self._backend), shards),
            verifies=stand_in is None,
            clock=time.monotonic_ns,
        )
        tuning = self._tuning
        self._watcher = Watcher(
            self._territory, self._backend, self._stream, tuning.debounce, poller=tuning.poller, mounts=self._mounts,
            verifier=tuning.verifier, rate=tuning.rate,
        )  # fmt: skip
        self._local = local
        self._lock_roots = LockRoots(shard, self._settings, plan)
        self._locks = Locks(self._lock_roots.of(plan), self._territory.slow.guard)
        self._heartbeat = Heartbeat()
        self._pulse = Pulse(layout.pulse_socket)
        self._slack = Slack()
        self._shift = Shift(stand_in, time.monotonic_ns())
        self._stands_in = stand_in is not None
        self._stopping = False
        #: When there is something to do, as it was at the end of the last turn; 0: at once.
        self._due_at = 0
        #: Overflows that have been logged.
        self._overflows_logged = 0

    @property
    def epoch(self) -> int:
        """The number of its stream."""
        return self._stream.epoch

    @property
    def anchors(self) -> int:
        """How many anchors it has."""
        return len(self._territory.places)

    @property
    def exit_code(self) -> int:
        """Of the process once `run` has returned: 0, unless it is to be started again (`renewal`)."""
        return self._restraint.departure.code

    def stop(self) -> None:
        self._stopping = True

    def run(self, wakeup_fd: int) -> None:
        """Runs until `stop`, until standard input ends (supervisord is dead), or until the shift of a stand-in is over."""
        wakeups = self._wakeups(wakeup_fd)
        self._watcher.begin()
        leaving, wait = False, 0
        while not self._stopping:
            self._pulse.beat(scanning=not self._watcher.baseline_done)
            ready = wakeups.wait(wait, names=bool(self._watcher.debounce))
            if wakeup_fd in ready:
                with contextlib.suppress(BlockingIOError):
                    os.read(wakeup_fd, 4096)
            if 0 in ready and not os.read(0, 4096):
                log.warning("standard input ended: supervisord is gone, leaving")
                return
            quiet = self._take_in(ready)
            if quiet and not leaving and (wait := self._until_named()):
                continue  # names to debounce
            leaving = self._is_done(time.monotonic_ns())
            if ready and not leaving and self._only_news(ready) and (wait := self._until_due(leaving=False)):
                continue  # an acknowledgement
            if not leaving:
                self._work()
            self._tell(time.monotonic_ns())
            if leaving and (not self._stream.unacked or self._restraint.departure.is_over(time.monotonic_ns())):
                log.info("leaving, to be started again" if self.exit_code else "the watcher is tried again")
                return
            wakeups.await_room(wanted=bool(self._stream.unsent or self._heartbeat.owes(self._locks.there)))
            wait = self._until_due(leaving=leaving)

    def _wakeups(self, wakeup_fd: int) -> Wakeups:
        others = [self._line.news, wakeup_fd]
        if self._locks.fileno() >= 0:
            others.append(self._locks.fileno())
        if not _stdin_is_guard():
            log.info("standard input is no pipe: its end is not watched")
        else:
            others.append(0)
        return Wakeups(self._backend.fileno(), self._line.room, others)

    def _take_in(self, ready: set[int]) -> bool:
        """Replies and hints that have come. Returns whether nothing has come but hints of names.

        While names are debounced, hints that could wait are taken, too: else a name would seem quiet that is hit again and again.
        """
        self._line.tend()
        if self._line.news in ready:
            self._take_replies()
        hints = self._backend.fileno()
        told = hints in ready
        only_names = (told or bool(self._watcher.debounce)) and self._watcher.take_hints()
        return told and only_names and len(ready) == 1

    def _take_replies(self) -> None:
        for reply in self._line.replies():
            self._take_reply(reply)
        if self._line.outdated:
            log.warning("the aggregator began with other code than this shard: leaving, to be started with it")
            self._stopping = True

    def _only_news(self, ready: set[int]) -> bool:
        """Whether nothing but hints and replies has come, and none of them left something to send. It then depends on the time
        alone whether there is anything to do: two of the three turns that follow a save end here."""
        others = ready - {self._line.news, self._backend.fileno()}
        return not (others or self._stream.unsent or self._heartbeat.owes(self._locks.there))

    def _is_done(self, now: int) -> bool:
        """Whether a stand-in's time is over, or the process is to be started again, and what it took on is done. It looks no more
        then, and only waits until all that it sent is committed."""
        watcher, departure = self._watcher, self._restraint.departure
        if departure.begun:
            rests = watcher.idle and not watcher.pending and not watcher.syncs
            if departure.looks_no_more(now, rests=rests):
                return True
        return self._shift.is_over(now) and self._watcher.baseline_done and not self._watcher.syncs

    def _work(self) -> None:
        watcher = self._watcher
        done, taking_on, answered = watcher.baseline_done, watcher.handover.taking_on, watcher.syncs.answered
        watcher.work()
        if watcher.syncs.answered != answered:
            self._heartbeat.answer_sync()
        if watcher.handover.taking_on != taking_on:
            self._heartbeat.get_ready()
        if watcher.baseline_done and not done:
            now = time.monotonic_ns()
            self._heartbeat.end_baseline()
            self._slack.worked(now)
            self._shift.end_baseline(now)

    def _tell(self, now: int) -> None:
        """Sends a beat if one is due, and then frames: readiness, which they bring, is told with this beat's backend and
        doubts."""
        self._locks.look(now)
        self._watcher.occupy(bool(self._locks.there))
        if self._heartbeat.due(now, self._locks.there):
            self._beat(now)
        if not self._heartbeat.owes(self._locks.there):
            self._stream.flush(now)
        if self._stream.kept_bytes >= _MUCH_BYTES:
            self._slack.worked(now)
        elif self._slack.due(now):
            self._slack.given_back()
            give_back()

    def _until_due(self, *, leaving: bool) -> int:
        """Nanoseconds until there is something to do, 0 where there is."""
        looks = not leaving and not self._stream.full
        if looks and not self._watcher.idle and not self._watcher.pauses:
            self._due_at = 0
            return 0
        now = time.monotonic_ns()
        due = [self._heartbeat.next_due()]
        if looks:
            due.append(self._watcher.next_due())
        departure = self._restraint.departure
        others = (
            self._shift.next_due(now), self._stream.next_resend(), self._slack.next_due(), departure.next_due(now),
            self._line.next_due(),
        )  # fmt: skip
        due += [at for at in others if at is not None]
        self._due_at = min(due)
        return max(0, self._due_at - now)

    def _until_named(self) -> int:
        """Nanoseconds until there is something to do, after names have come and nothing else; 0 where there is, or where that is
        not known."""
        names = self._watcher.debounce.next_due()
        return max(0, (self._due_at if names is None else min(self._due_at, names)) - time.monotonic_ns())

    def _take_reply(self, reply: Reply) -> None:
        self._heartbeat.hear(reply.life)
        if not self._stream.reply(reply, time.monotonic_ns()):
            self._new_epoch(reply.epoch)
            return
        if reply.generation not in (0, self._stream.generation):
            self._go_by_plan()
        self._watcher.syncs.keep(reply.syncs)
        if reply.pollers:
            self._watcher.poller.share_with(reply.pollers)
        if not self._shift.is_over(time.monotonic_ns()):  # else the successor is asked again
            for token in reply.syncs:
                self._watcher.syncs.ask(token)
        for directory, names in reply.looks:
            self._watcher.look_again(directory, names)
        for path, after, upto in reply.checks:
            self._watcher.rechecks.check_again((path, after, upto))

    def _new_epoch(self, known: int) -> None:
        """The aggregator lost this epoch, or knows a later one: begin another, with a baseline."""
        epoch = new_epoch(max(known, self._stream.epoch))
        log.warning("epoch %d can't go on, beginning %d", self._stream.epoch, epoch)
        self._stream.begin(epoch)
        self._watcher.begin()

    def _beat(self, now: int) -> None:
        self._go_by_plan()
        settings = self._settings_file.changed()
        if settings is not None:
            log.info("other settings are taken over")
            self._tuning.take_over(settings)
            self._restraint.take_over(settings)
        self._restraint.look(settled=self._watcher.baseline_done)
        self._tell_overflows()
        locks = self._locks.there
        state = self._state(locks)
        if self._line.send(encode(state)):
            self._heartbeat.beat(now, locks, doubtful=bool(state.doubts))
        else:
            self._heartbeat.refused(now)

    def _state(self, locks: list[bytes]) -> Beat:
        """How things are now."""
        territory, watcher = self._territory, self._watcher
        return Beat(
            version=WIRE_VERSION,
            shard=self.shard,
            epoch=self._stream.epoch,
            generation=self._stream.generation,
            pid=os.getpid(),
            state="scanning" if not watcher.baseline_done else "stand-in" if self._stands_in else "watching",
            backend="polling" if territory.directories.swept and not self._backend.watches() else self._backend.name,
            directories=len(territory.directories),
            files=territory.files if watcher.baseline_done else territory.reader.looks,
            watches=self._backend.watches(),
            polled=len(territory.directories.swept),
            pending=watcher.pending,
            unacked=self._stream.unacked,
            overflows=watcher.overflows,
            rescans=watcher.scans.rescans,
            hints=watcher.hints,
            looks=territory.reader.looks,
            filtered=territory.reader.filtered,
            others=territory.reader.others,
            doubts=territory.report(),
            resent=self._stream.resent,
            service=self._service,
            busiest=watcher.busiest.report(time.monotonic_ns()),
            rescan_pause_ms=watcher.pace.pause_ns // 1_000_000,
            rescan_owed=watcher.pace.owed,
            locks=locks,
            verifying=watcher.rechecks.verifying,
            native_code=choice.STATE,
            life=self._heartbeat.life,
            ignore_files=None if territory.ignores is None else territory.ignores.known,
            polling=watcher.poller.state(),
            unreadable=len(territory.doubts),
            memory=self._restraint.memory.resident,
            memory_needed=self._restraint.memory.needed,
            taking_on=watcher.handover.taking_on,
        )

    def _go_by_plan(self) -> None:
        """Goes on with another plan, if there is one, or gets ready for one that is to come. Where it can't go on, the process
        ends, to be started again with that plan."""
        handover = self._watcher.handover
        if handover.passes_on:
            return
        try:
            found = self._succession.look(self._stream.generation)
        except PlanOverError:
            log.warning("there is another plan than the one that this shard serves: leaving, to be started with it")
            self._stopping = True
            return
        lock_roots = self._lock_roots.changed(*self._succession.plans)
        if lock_roots is not None:
            self._locks.keep_to(lock_roots)
        if found is None:
            self._get_ready()
            return
        plan, change = found
        log.info("going on with plan %d: %d anchors less, %d more", plan.generation, len(change.left), len(change.taken))
        # What is kept is watched as before with them, and what is let go may be watched as either until then.
        self._territory.reader.go_by(with_roots(self._settings, plan))
        taken = self._as_watched(change.taken)
        stops = frozenset(anchor.path for anchor in plan.anchors)
        self._mounts.know(plan.homes, plan.later)
        handover.go_by(plan.generation, change._replace(taken=taken), stops)
        self._tuning.share_among(len(plan.shards()))
        limited = limited_part(self._backend)
        if limited is not None:
            share = plan.watches.get(self.shard, 0)
            limited.watches_max = share and max(share, limited.watches())

    def _get_ready(self) -> None:
        """Watches in advance what the plan that is to come gives it. Its own baseline comes first."""
        handover, coming = self._watcher.handover, self._succession.coming()
        if coming.generation == handover.taking_on.generation or not self._watcher.baseline_done:
            return
        if coming.anchors:
            log.info("getting ready for plan %d: %d anchors more", coming.generation, len(coming.anchors))
        handover.get_ready(coming.generation, self._as_watched(coming.anchors), coming.stops)

    def _as_watched(self, anchors: tuple[Anchor, ...]) -> tuple[Anchor, ...]:
        """These anchors as this shard watches what it has: it finds out by looking what can't be watched."""
        return tuple(msgspec.structs.replace(anchor, backend=self._local) for anchor in anchors)

    def _show_life(self) -> None:
        """In the midst of a step that takes long, such as a look at a directory of a million names: nobody must take this process
        for hung, neither supervisord nor who asks for the status."""
        self._pulse.beat(scanning=not self._watcher.baseline_done)
        now = time.monotonic_ns()
        if now >= self._heartbeat.next_due():
            self._beat(now)

    def _tell_overflows(self) -> None:
        """A line a beat at most, however many there were."""
        watcher = self._watcher
        if watcher.overflows != self._overflows_logged:
            self._overflows_logged = watcher.overflows
            text = "%d overflows of the kernel's queue, %d rescans since the start; a rescan waits %.1f s after the last one"
            log.warning(text, watcher.overflows, watcher.scans.rescans, watcher.pace.pause_ns / 1e9)

    def close(self) -> None:
        self._backend.close()
        self._locks.close()
        self._territory.close()
        self._mounts.close()
        self._line.close()
        self._pulse.close()
        self._lock.close()


def _stdin_is_guard() -> bool:
    """Whether the end of standard input tells the death of whoever started this process: true of a pipe, not of /dev/null."""
    try:
        mode = os.fstat(0).st_mode
    except OSError:
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)


def _why(stand_in: StandIn, shard: str) -> tuple[str, str]:
    """Reason and remedy for `status`. The reason is always the same: what changes would be news each time."""
    remedy = (
        f"see logs/shard-{shard}.log; it died {stand_in.deaths} times in a row, and is tried again by itself after "
        f"{stand_in.for_s:.0f} s, or at once by `supervisorctl restart shards:{shard}`"
    )
    return "its watcher crashes again and again, so it is swept", remedy


def main(argv: list[str] | None = None) -> int:
    """`shardwatch-shard --state-dir DIR [--shard ID]`, run by supervisord. ID is the shard's in the plan (default: $SHARD_ID)."""
    try:
        given = values_of(sys.argv[1:] if argv is None else argv, "state-dir", "shard")
        shard = given.get("shard", os.environ.get("SHARD_ID", ""))
        if "state-dir" not in given or not re.fullmatch(SHARD_ID_PATTERN, shard):
            raise UsageError("no directory, or no valid shard id", hint="give --state-dir DIR, and --shard ID or $SHARD_ID")
    except UsageError as error:
        print(f"shardwatch-shard: error: {error}", file=sys.stderr)
        return error.exit_code
    die_with_parent()
    wake_on_time()  # at the end of a debounce time, before the threads of the backend begin
    layout = Layout(os.path.abspath(given["state-dir"]))
    open_log()
    reader, writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        inherited.correct_for_service()  # many descriptors: a scan holds one for each level
        inherited.ignore_signals(signal.SIGHUP)
        log_choice.follow(layout, f"shards:{shard}", use_log)
        settings_file = SettingsFile(layout.settings)
        settings = settings_file.read()
        plan_file = PlanFile(layout.plan)
        plan = await_plan(layout, plan_file, 0 if _stdin_is_guard() else None)
        if plan is None:
            log.warning("standard input ended: supervisord is gone, leaving")
            return 0
        stand_in = asked_to_stand_in()
        process = ShardProcess(shard, layout, settings, settings_file, plan, plan_file, stand_in)
    except (ShardwatchError, OSError) as error:
        log.error("%s", error)
        print(f"shardwatch-shard: error: {error}", file=sys.stderr)
        return 75
    signal.signal(signal.SIGTERM, lambda *_: process.stop())
    signal.signal(signal.SIGINT, lambda *_: process.stop())
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    log.info("shard %s, epoch %d, %d anchors", shard, process.epoch, process.anchors)
    if stand_in is not None:
        log.warning("the watcher died %d times in a row: sweeping for %.1f s in its place", stand_in.deaths, stand_in.for_s)
    try:
        process.run(reader)
    finally:
        process.close()
    return process.exit_code


if __name__ == "__main__":
    sys.exit(main())
