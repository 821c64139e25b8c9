"""One shard process: wiring, readiness, heartbeat. Started by supervisord with SHARD_ID in its environment."""

from __future__ import annotations

import argparse
import contextlib
import errno
import logging
import os
import re
import select
import signal
import stat
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import zmq

from .backend.base import Backend
from .contract.causes import WATCH, cause
from .contract.errors import ShardwatchError, UsageError, WireError
from .contract.filter.scope import scope_of
from .contract.kernel.allowance import INSTANCES, WATCHES, allowance
from .contract.limits import (
    BEAT_S,
    FRAME_BYTES_MAX,
    LIMIT_RESERVE,
    SHARD_ID_PATTERN,
    VERIFY_SHARE,
    WIRE_VERSION,
    next_beat,
)
from .contract.process import inherited
from .contract.process.life import Lock, Pulse, die_with_parent, new_epoch, service_id
from .contract.process.log import Sparse, open_log
from .contract.process.slack import Slack, give_back
from .contract.process.stand_in import StandIn, asked_to_stand_in
from .contract.state.layout import Layout
from .contract.state.planfile import Anchor, Plan, PlanFile
from .contract.state.settings import Settings, read_settings
from .contract.wire.frames import Beat, decode_down, encode
from .disk.look import Reader
from .disk.mounts import Mounts
from .schedule.settle import Settle
from .schedule.watcher import Watcher
from .stream.send import Stream
from .territory.doubts import Doubts
from .territory.territory import Territory
from .territory.verify import Verifier
from .tree.nodes import Node
from .version_control.locks import Locks

log = logging.getLogger("shardwatch.shard")

#: How long a new shard waits for its predecessor to let go of the lock, seconds.
_LOCK_WAIT_S = 20.0
#: Pause before a beat that nobody took is tried again.
_BEAT_RETRY_NS = 50_000_000
#: What follows a look takes this long at least until a consumer has it (measured with a settle time of 0), ns: a look is made so
#: much sooner, and settle times mean the hand-over. Those below 5 ms are waited for in full.
_HAND_OVER_NS = 1_500_000
_SETTLE_MS_SHORT = 5
#: Unacked frames that leave memory worth giving back.
_MUCH_FRAMES = 4
#: Shortest life of a stand-in, ns: what ends within supervisord's start-up grace (1 s) counts as a failed start.
_SHIFT_NS_MIN = 2_000_000_000


def open_backend(names: set[str], watches_max: int) -> tuple[Backend, Callable[[int], str]]:
    """The backend for anchors with these names, and what helps when it has no room for n directories.

    Where not one inotify instance is left, everything is swept.
    """
    if "native" in names:
        from .backend.native import NativeBackend

        return NativeBackend(), _more_watches
    if names == {"polling"}:
        from .backend.sweeping import SweepingBackend

        return SweepingBackend("polling"), _more_watches
    from .backend.inotify import InotifyBackend

    if not os.path.exists("/proc/self/fd"):  # what is open is watched by its path there
        from .backend.sweeping import SweepingBackend

        reason = cause(OSError(errno.ENOENT, ""), WATCH).what
        log.error("%s: sweeping instead", reason)
        return SweepingBackend(reason), _mount_proc
    try:
        return InotifyBackend(watches_max=watches_max), _more_watches
    except OSError as error:
        from .backend.sweeping import SweepingBackend

        log.error("inotify: %s; sweeping instead", error)
        return SweepingBackend(cause(error, WATCH).what), _more_instances


class ShardProcess:
    """Owns the sockets, the lock and the loop. `stand_in`: it sweeps for a while in the place of a watcher that crashes."""

    def __init__(
        self, shard: str, layout: Layout, settings: Settings, plan: Plan, plan_file: PlanFile, stand_in: StandIn | None = None
    ) -> None:
        self.shard = shard
        self._plan_file = plan_file
        anchors = plan.of(shard)
        # What can't be watched on the filesystem that a directory lies on is found out by looking: it may be another by now.
        asked = stand_in is not None or settings.backend == "polling"
        local = "polling" if asked else "native" if settings.backend == "native" or sys.platform != "linux" else "inotify"
        anchors = [msgspec.structs.replace(anchor, backend=local) for anchor in anchors]
        if not anchors:
            raise UsageError(f"the plan gives nothing to shard {shard!r}", hint="the coordinator removes such shards by itself")
        self._lock = Lock(layout.lock(f"shard-{shard}"), wait_s=_LOCK_WAIT_S)
        self._service = service_id()
        self._bad_replies = Sparse(log)
        self._context = zmq.Context()
        self._push = self._context.socket(zmq.PUSH)
        self._push.setsockopt(zmq.LINGER, 0)
        self._push.setsockopt(zmq.IMMEDIATE, 1)
        self._push.setsockopt(zmq.RECONNECT_IVL, 10)
        self._push.setsockopt(zmq.RECONNECT_IVL_MAX, 200)
        self._push.connect(layout.endpoint(layout.facts_socket))
        self._acks = self._context.socket(zmq.SUB)
        self._acks.setsockopt(zmq.LINGER, 0)
        self._acks.setsockopt(zmq.MAXMSGSIZE, FRAME_BYTES_MAX)
        self._acks.setsockopt(zmq.RECONNECT_IVL, 10)
        self._acks.setsockopt(zmq.RECONNECT_IVL_MAX, 200)
        self._acks.setsockopt(zmq.SUBSCRIBE, shard.encode() + b"\0")
        self._acks.connect(layout.endpoint(layout.acks_socket))
        self._generation = plan.generation
        self._backend, remedy = open_backend({local}, plan.watches.get(shard, 0))
        self._stream = Stream(shard, new_epoch(), plan.generation, self._send, service=self._service)
        self._mounts = Mounts(plan.homes, later=plan.later)
        self._territory = Territory(
            anchors,
            frozenset(a.path for a in plan.anchors),
            reader=Reader(
                scope_of(settings),
                state_dir=os.fsencode(os.path.realpath(layout.state_dir)),
                recursive=settings.recursive,
                follow=settings.follow_symlinks,
            ),
            backend=self._backend,
            doubts=Doubts(
                remedy, asked=settings.backend == "polling", standing_in=_why(stand_in, shard) if stand_in is not None else None
            ),
            emit=self._stream.add,
            mounts=self._mounts,
        )
        quiet_ns = settings.settle_ms * 1_000_000 - (_HAND_OVER_NS if settings.settle_ms >= _SETTLE_MS_SHORT else 0)
        settle: Settle[Node] = Settle(quiet_ns, settings.settle_ms_max * 1_000_000)
        verifier: Verifier | None = None
        if settings.verify_period_s and stand_in is None:
            share = VERIFY_SHARE / len(plan.shards())
            verifier = Verifier(self._territory, period_ns=int(settings.verify_period_s * 1e9), share=share)
        self._watcher = Watcher(
            self._territory, self._backend, self._stream, settle, poll_ns=settings.poll_ms * 1_000_000, mounts=self._mounts,
            verifier=verifier,
        )  # fmt: skip
        self._locks = Locks(_roots(anchors, settings.roots) if settings.hold_for_vcs else (), self._territory.slow.guard)
        #: Lock files came or went, and no beat has said so yet: no frame goes before it.
        self._untold = False
        self._incarnation = ""
        self._pulse = Pulse(layout.pulse_socket)
        self._slack = Slack()
        self._stopping = False
        self._beat_at = 0
        self._told = 0
        self._stand_in = stand_in
        self._born_at = time.monotonic_ns()
        #: When a stand-in ends: known once it has looked at everything.
        self._leave_at: int | None = None
        #: Its time is over, and what it took on is done: it looks no more, and only waits until all is committed.
        self._leaving = False

    def _send(self, body: bytes) -> bool:
        try:
            self._push.send(body, zmq.DONTWAIT)
        except zmq.Again:
            return False
        return True

    def stop(self) -> None:
        self._stopping = True

    def run(self, wakeup_fd: int) -> None:
        """Runs until `stop`, or until standard input ends (supervisord is dead)."""
        poller = zmq.Poller()
        poller.register(self._acks, zmq.POLLIN)
        poller.register(self._backend.fileno(), zmq.POLLIN)
        poller.register(wakeup_fd, zmq.POLLIN)
        if self._locks.fileno() >= 0:
            poller.register(self._locks.fileno(), zmq.POLLIN)
        if not _stdin_is_guard():
            log.info("standard input is no pipe: its end is not watched")
        else:
            poller.register(0, zmq.POLLIN)
        self._watcher.begin()
        while not self._stopping:
            self._pulse.beat(scanning=not self._watcher.baseline_done)
            ready = self._wait(poller)
            if wakeup_fd in ready:
                with contextlib.suppress(BlockingIOError):
                    os.read(wakeup_fd, 4096)
            if 0 in ready and not os.read(0, 4096):
                log.warning("standard input ended: supervisord is gone, leaving")
                return
            if self._acks in ready:
                self._take_replies()
            if self._backend.fileno() in ready:
                self._watcher.absorb(self._backend.take())
            done = self._watcher.baseline_done
            self._leaving = self._is_over(time.monotonic_ns()) and done and not self._watcher.syncing
            if not self._leaving:
                self._watcher.work()
            now = time.monotonic_ns()
            if self._watcher.baseline_done and not done:
                self._untold = True  # whoever waits for readiness sees the counts that belong to it
                self._slack.worked(now)
                if self._stand_in is not None and self._leave_at is None:
                    self._leave_at = max(now + int(self._stand_in.for_s * 1e9), self._born_at + _SHIFT_NS_MIN)
            self._untold = self._locks.look(now) or self._untold
            self._watcher.occupied = bool(self._locks.there)
            if now >= self._beat_at or self._untold:
                self._beat(now)  # before the frames: readiness, which they bring, is told with this beat's backend and doubts
            if not self._untold:
                self._stream.flush(now)
            if self._stream.unacked >= _MUCH_FRAMES:
                self._slack.worked(now)
            elif self._slack.due(now):
                self._slack.given_back()
                give_back()
            if self._leaving and not self._stream.unacked:
                log.info("the watcher is tried again")
                return
            if self._stream.unsent or self._untold:
                poller.register(self._push, zmq.POLLOUT)
            elif self._push in poller:
                poller.unregister(self._push)

    def _is_over(self, now: int) -> bool:
        return self._leave_at is not None and now >= self._leave_at

    def _wait(self, poller: zmq.Poller) -> dict[object, int]:
        """Waits for sockets, or until something is due; returns what is ready. Where names settle, the last part of a
        millisecond is waited for hints alone: to wait one more for each save would be felt, and to wake twice at other times."""
        wait = self._until_due()
        if not self._watcher.pending:
            return dict(poller.poll(-(-wait // 1_000_000)))
        if 0 < wait < 1_000_000:
            select.select([self._backend.fileno()], [], [], wait / 1e9)
        return dict(poller.poll(wait // 1_000_000))

    def _until_due(self) -> int:
        """Nanoseconds until there is something to do, 0 where there is."""
        looks = not self._leaving and not self._stream.full
        if looks and not self._watcher.idle:
            return 0
        now = time.monotonic_ns()
        due = [self._beat_at]
        if looks:
            due.append(self._watcher.next_due())
        if self._leave_at is not None and not self._is_over(now):
            due.append(self._leave_at)
        due += [at for at in (self._stream.next_resend(), self._slack.next_due()) if at is not None]
        return max(0, min(due) - now)

    def _take_replies(self) -> None:
        while True:
            try:
                parts = self._acks.recv_multipart(zmq.DONTWAIT)
            except zmq.Again:
                return
            try:
                reply = decode_down(parts[-1])
            except WireError as error:
                self._bad_replies.warning(f"refused: {error}")
                continue
            if reply.service != self._service:
                self._bad_replies.warning("refused: a reply of another service")
                continue
            if reply.incarnation != self._incarnation:
                self._incarnation = reply.incarnation
                self._untold = self._untold or bool(self._locks.there)  # another aggregator, which knows of none
            if not self._stream.reply(reply, time.monotonic_ns()):
                self._new_epoch(reply.epoch)
                continue
            self._watcher.wanted(reply.syncs)
            if not self._is_over(time.monotonic_ns()):  # else the successor is asked again
                for token in reply.syncs:
                    self._watcher.sync(token)
            for directory, names in reply.looks:
                self._watcher.look_again(directory, names)
            for path, after, upto in reply.checks:
                self._watcher.check_again(path, after, upto)

    def _new_epoch(self, known: int) -> None:
        """The aggregator lost this epoch, or knows a later one: begin another, with a baseline."""
        epoch = new_epoch(max(known, self._stream.epoch))
        log.warning("epoch %d can't go on, beginning %d", self._stream.epoch, epoch)
        self._stream.begin(epoch)
        self._watcher.begin()

    def _beat(self, now: int) -> None:
        self._beat_at = next_beat(now, int(BEAT_S * 1e9))
        if self._plan_file.is_past(self._generation):
            log.warning("there is another plan than the one that this shard serves: leaving, to be started with it")
            self._stopping = True
        territory, watcher = self._territory, self._watcher
        beat = Beat(
            version=WIRE_VERSION,
            shard=self.shard,
            epoch=self._stream.epoch,
            generation=self._generation,
            pid=os.getpid(),
            state="scanning" if not watcher.baseline_done else "stand-in" if self._stand_in is not None else "watching",
            backend="polling" if territory.directories.swept and not self._backend.watches() else self._backend.name,
            directories=len(territory.directories),
            files=territory.files if watcher.baseline_done else territory.reader.looks,
            watches=self._backend.watches(),
            polled=len(territory.directories.swept),
            pending=watcher.pending,
            unacked=self._stream.unacked,
            overflows=watcher.overflows,
            rescans=watcher.rescans,
            hints=watcher.hints,
            looks=territory.reader.looks,
            filtered=territory.reader.filtered,
            others=territory.reader.others,
            doubts=territory.report(),
            resent=self._stream.resent,
            service=self._service,
            rescan_pause_ms=watcher.pace.pause_ns // 1_000_000,
            rescan_owed=watcher.pace.owed,
            locks=self._locks.there,
            verifying=watcher.verifying,
        )
        self._tell_overflows()
        if self._send(encode(beat)):
            self._untold = False
        else:
            self._beat_at = now + _BEAT_RETRY_NS  # nobody listens yet

    def _tell_overflows(self) -> None:
        """A line a beat at most, however many there were."""
        watcher = self._watcher
        if watcher.overflows != self._told:
            self._told = watcher.overflows
            text = "%d overflows of the kernel's queue, %d rescans since the start; a rescan waits %.1f s after the last one"
            log.warning(text, watcher.overflows, watcher.rescans, watcher.pace.pause_ns / 1e9)

    def close(self) -> None:
        self._backend.close()
        self._locks.close()
        self._territory.close()
        self._mounts.close()
        self._context.destroy(linger=0)
        self._pulse.close()
        self._lock.close()


def _roots(anchors: list[Anchor], roots: Sequence[bytes]) -> list[bytes]:
    """The roots that hold something of these anchors. Every shard of a root looks at its lock files: so its own frames, with what
    changed under a lock, never overtake the word of it."""
    return [root for root in roots if any((a.path + b"/").startswith(root.rstrip(b"/") + b"/") for a in anchors)]


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


def _more_watches(directories: int) -> str:
    """Room for these directories, for others' growth and for the reserve that the plan leaves."""
    return _raise(WATCHES, lambda allowed: int((allowed + directories) / (1 - LIMIT_RESERVE)), 65_536)


def _more_instances(directories: int) -> str:
    return _raise(INSTANCES, lambda allowed: allowed * 2, 128)


def _raise(what: str, wanted: Callable[[int], int], step: int) -> str:
    allowed = allowance(what)
    if not allowed.value:
        return ""
    value = -(-max(wanted(allowed.value), allowed.value + 1) // step) * step
    keep = "and in /etc/sysctl.d to keep it" if allowed.sysctl.startswith("fs.") else "in this container's user namespace"
    return f"sudo sysctl -w {allowed.sysctl}={value} ({keep}), then restart the service"


def _mount_proc(directories: int) -> str:
    return cause(OSError(errno.ENOENT, ""), WATCH).remedy


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="shardwatch-shard", description="One shard of a service; supervisord starts it.")
    parser.add_argument("--state-dir", required=True, type=Path)
    parser.add_argument("--shard", default=os.environ.get("SHARD_ID", ""), help="id in the plan (default: $SHARD_ID)")
    options = parser.parse_args(argv)
    if not re.fullmatch(SHARD_ID_PATTERN, options.shard):
        parser.error("no valid shard id: give --shard or SHARD_ID")
    die_with_parent()
    layout = Layout(options.state_dir.absolute())
    open_log()
    reader, writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        inherited.settle_service()  # many descriptors: a scan holds one for each level
        inherited.ignore_signals(signal.SIGHUP)
        settings = read_settings(layout.settings)
        plan_file = PlanFile(layout.plan)
        plan = plan_file.read()
        if plan is None:
            raise UsageError("there is no plan yet", hint="the coordinator writes it; it will be tried again", retryable=True)
        stand_in = asked_to_stand_in()
        process = ShardProcess(options.shard, layout, settings, plan, plan_file, stand_in)
    except (ShardwatchError, OSError) as error:
        log.error("%s", error)
        print(f"shardwatch-shard: error: {error}", file=sys.stderr)
        return 75
    signal.signal(signal.SIGTERM, lambda *_: process.stop())
    signal.signal(signal.SIGINT, lambda *_: process.stop())
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    log.info("shard %s, epoch %d, %d anchors", options.shard, process._stream.epoch, len(process._territory.places))
    if stand_in is not None:
        log.warning("the watcher died %d times in a row: sweeping for %.1f s in its place", stand_in.deaths, stand_in.for_s)
    try:
        process.run(reader)
    finally:
        process.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
