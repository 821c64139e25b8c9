"""The coordinator: decides which shards there are, and makes supervisord run these and no others.

It is an ordinary program of supervisord. It makes a plan once at its start (a stored plan that still fits is kept, with
its generation), writes it, and adds the shards by id. After that it only wakes up every NOTE_S, to note in the plan what
was mounted at a root in the meantime, and looks at supervisord's list now and then. If a filesystem that can hang is
mounted where it shares a shard with something else, it makes another plan. If some shards have far more than their share
for a while, it has subtrees moved to others. If a changed configuration is to be taken
over, it does that (`reload`). It owns no tree, no index and no socket. If it is killed at any point, its successor does
the same again.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import time
import xmlrpc.client
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any, Final, NamedTuple, Protocol

import msgspec

from shardwatch.shard.contract.errors import ShardwatchError
from shardwatch.shard.contract.input.command_line import value_of
from shardwatch.shard.contract.limits import BEAT_S, PULSE_S, next_beat
from shardwatch.shard.contract.process import inherited, log_choice
from shardwatch.shard.contract.process.life import Lock, Pulse, die_with_parent, is_absent
from shardwatch.shard.contract.process.loading import Loading
from shardwatch.shard.contract.process.priority import take_priority
from shardwatch.shard.contract.state.layout import Layout
from shardwatch.shard.contract.state.planfile import Plan, part_change, read_plan, write_plan
from shardwatch.shard.contract.state.settings import Settings, read_settings
from shardwatch.shard.disk.mounts import Mounts

from .host.hang_up_bell import HangUpBell
from .host.log_line import log_line, use_log
from .host.process import ended_fd
from .planning.homes import note_mounts
from .planning.rebalances import Rebalances
from .planning.replans import Replans
from .plugin.names import GROUP
from .reload.scales import Scales, ask_to_rebalance
from .service.control import NO_ANSWER, supervisord
from .terminal.streams import say

#: Seconds between two looks at the mounts, and at the file of the plan.
NOTE_S: Final = 10.0
#: Seconds between two looks at supervisord's list. Only an operator's `remove` or `update` can change it, and a look costs both
#: sides more than everything else that they do in an idle minute.
RECONCILE_S: Final = 60.0
#: How long another may hold the lock, seconds. A predecessor is told to leave within 1 s; a first planning reads up to 2,048
#: directories, of a slow disk perhaps. Who is silent for longer is killed (`plugin.silence.START_S`).
LOCK_WAIT_S: Final = 100.0
#: It gives way to the shards and the aggregator (`supervisord.conf` starts it with this niceness).
NICENESS_MIN: Final = 10
#: supervisord's fault when it is on its way out (supervisor.xmlrpc.Faults.SHUTDOWN_STATE).
SHUTDOWN_STATE: Final = 6


class Shards(Protocol):
    """What the coordinator asks of supervisord (the name space of supervisor.plugin.rpc)."""

    def status(self) -> list[dict[str, Any]]: ...
    def add(self, shard: str) -> bool: ...
    def remove(self, shard: str) -> bool: ...


def reconcile(plan: Plan, shards: Shards, beat: Callable[[], None]) -> tuple[list[str], list[str]]:
    """Makes supervisord's list of shards the plan's. Returns what it added and what it removed; idempotent. A shard that is
    stopped is started again if it was to be removed; one that an operator has stopped stays so. `beat` shows that we live: each
    removal may take some seconds."""
    states = {str(row["name"]): str(row["state"]) for row in shards.status() if row["group"] == GROUP}
    wanted = set(plan.shards())
    removed = sorted(shard for shard in states.keys() - wanted if states[shard] != "STOPPING")  # that leaves already
    for shard in removed:
        beat()
        shards.remove(shard)
    missing = sorted(shard for shard in wanted if states.get(shard, "STOPPED") in ("STOPPED", "STOPPING"))
    return [shard for shard in missing if shards.add(shard)], removed


def run(layout: Layout) -> int:
    """Carries out what is to be taken over, plans, reconciles, and stays until standard input ends or supervisord leaves."""
    proxy = supervisord(layout.supervisor_socket)
    pulse = Pulse(layout.pulse_socket)
    rebalances = Rebalances(time.monotonic())
    with HangUpBell() as bell:
        while True:
            try:
                if layout.reload.exists():
                    before = _generation(layout)
                    done = _take_over(layout, proxy, pulse)
                    rebalances.made(moved=_generation(layout) != before if done else None, now=time.monotonic())
                if not _keep(layout, proxy, pulse, bell, rebalances):
                    return 0
            except xmlrpc.client.Fault as fault:
                if fault.faultCode == SHUTDOWN_STATE:
                    return 0
                raise ShardwatchError(f"supervisord refuses: {fault.faultString}") from fault


def _keep(
    layout: Layout, proxy: xmlrpc.client.ServerProxy, pulse: Pulse, bell: HangUpBell, rebalances: Rebalances
) -> bool:
    """Keeps the service running with the settings on disk. Returns True when there is something to take over, and False when it
    is told to leave."""
    settings = read_settings(layout.settings)
    take_priority(settings, niceness_min=NICENESS_MIN)  # what is refused is the aggregator's to tell
    before = _plan(layout)
    plan = without_next(layout, planned(layout, settings, lambda: _pids(proxy.shards), pulse))
    mounts, replans = Mounts(), Replans(settings.roots)
    if before is not None and before.generation != plan.generation:
        _take_down(proxy.shards, before, plan, pulse.beat)
    _say_plan(plan)
    scales = Scales(layout, settings, lambda job: in_child(job, pulse))

    def is_needed() -> bool:
        now = time.monotonic()
        if layout.reload.exists() or rebalances.due(settings.rebalance_s, now):
            return True
        return bool(mounts.take_changes()) and replans.due(plan, mounts.all(), now)

    said = ""
    reconcile_at = time.monotonic()
    while not layout.reload.exists():
        try:
            if (now := time.monotonic()) >= reconcile_at:
                added, removed = reconcile(plan, proxy.shards, pulse.beat)  # type: ignore[arg-type]
                if added or removed:
                    log_line(f"added {added}, removed {removed}")
                said = ""
                reconcile_at = now + RECONCILE_S
        except NO_ANSWER as error:
            proxy("close")()
            if said != str(error):
                said = str(error)
                log_line(f"supervisord does not answer: {said}")
        if is_absent(layout.plan):
            log_line(f"{layout.plan} was removed while the service runs, by a cleaner perhaps: it is written again")
            with contextlib.suppress(OSError):  # the next time comes
                write_plan(layout.plan, plan)
        plan = note_mounts(layout, without_next(layout, plan), settings.roots)
        mounts.take_changes()
        if replans.due(plan, mounts.all(), time.monotonic()):
            old, found = plan, replanned(layout, settings, lambda: _pids(proxy.shards), pulse)
            plan = old if found is None else found
            replans.made(old, found, mounts.all(), time.monotonic())
            if plan.generation != old.generation:
                _say_plan(plan)
                reconcile_at = time.monotonic()
                continue
        if rebalances.due(settings.rebalance_s, time.monotonic()):
            uneven = scales.weigh(plan)
            if rebalances.found(uneven, settings.rebalance_s, time.monotonic()):
                ask_to_rebalance(layout, plan, uneven.why, scales.rates)
                continue
        if _told_to_leave(pulse, bell, NOTE_S if not said else BEAT_S, is_needed):
            return False
    return True


class _Hand(NamedTuple):
    """What carrying out a request needs (`reload.taking_over.Hand`)."""

    proxy: xmlrpc.client.ServerProxy
    prepare_plan: Callable[[Any], None]
    await_heirs: Callable[[Sequence[str], int, float], None]
    beat: Callable[[], None]


def _take_over(layout: Layout, proxy: xmlrpc.client.ServerProxy, pulse: Pulse) -> bool:
    """Carries out a request, and tries again where supervisord does not answer. Returns whether it could be taken over."""
    with Loading():
        from .reload.taking_over import take_over

    def prepare(request: Any) -> None:
        def job() -> None:
            from .planning.planning import prepare_plan, rebalance
            from .reload.steps import steps_between
            from .service.state_dir import stamp_plan

            settings = request.after.settings
            if steps_between(request.before, request.after).plan:
                running = request.before.settings
                stamp_plan(layout, settings, prepare_plan(layout, settings, lambda: _pids(proxy.shards), running=running))
            elif (found := rebalance(layout, settings, request.rates, lambda: _pids(proxy.shards))) is not None:
                write_plan(layout.next_plan, found.plan)

        in_child(job, pulse)

    def await_heirs(shards: Sequence[str], generation: int, settle_s: float) -> None:
        def job() -> None:
            with Loading():
                from .reload.heirs import await_heirs

            await_heirs(layout, shards, generation, settle_s)

        in_child(job, pulse)

    while True:
        try:
            return take_over(layout, _Hand(proxy, prepare, await_heirs, pulse.beat))
        except NO_ANSWER as error:
            proxy("close")()
            of_a_file = isinstance(error, OSError) and error.filename is not None
            log_line(f"{'' if of_a_file else 'supervisord does not answer: '}{error}; it is tried again")
            pulse.beat()
            time.sleep(BEAT_S)


def without_next(layout: Layout, plan: Plan) -> Plan:
    """The plan, on disk too, without one that is to follow: nothing has come of that. Where the disk refuses, the plan as it is;
    call it again then. Until then, heirs go on watching."""
    if plan.next is None:
        return plan
    alone = msgspec.structs.replace(plan, next=None)
    try:
        write_plan(layout.plan, alone)
    except OSError:
        return plan
    return alone


def _say_plan(plan: Plan) -> None:
    log_line(f"plan {plan.generation}: {len(plan.anchors)} anchors in {len(plan.shards())} shards")


def replanned(layout: Layout, settings: Settings, own_pids: Callable[[], Sequence[int]], pulse: Pulse) -> Plan | None:
    """The plan that keeps apart what is mounted now; None where none could be made. Shards go on with it, and let go what is
    another's; one that keeps nothing leaves by itself."""
    log_line("something that may hang was mounted beside something else: planning again")
    try:
        return planned(layout, settings, own_pids, pulse, running=True)
    except ShardwatchError as error:
        log_line(f"{error}; the old plan stays for now")
        return None


def planned(
    layout: Layout, settings: Settings, own_pids: Callable[[], Sequence[int]], pulse: Pulse, *, running: bool = False
) -> Plan:
    """The plan, made by a short-lived child: what planning needs, in code and in memory, is gone with it.

    `running`: the service runs with the plan on disk, which is kept if it keeps apart what is mounted now (`ensure_apart`).

    Raises ShardwatchError where the child failed; its reason is in the log.
    """

    def job() -> None:
        with Loading():
            from .planning.planning import ensure_apart, ensure_plan

        (ensure_apart if running else ensure_plan)(layout, settings, own_pids)

    in_child(job, pulse)
    plan = read_plan(layout.plan)
    if plan is None:
        raise _no_plan()
    return plan


def _no_plan() -> ShardwatchError:
    hint = "logs/coordinator.log in the state directory says why; it is tried again"
    return ShardwatchError("the plan could not be made", hint=hint, retryable=True)


def in_child(job: Callable[[], None], pulse: Pulse) -> None:
    """Does something about a plan in a child, with a pulse now and then. Raises ShardwatchError where that failed."""
    parent = os.getpid()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            die_with_parent(signal.SIGKILL, parent)
            job()
            code = 0
        except (ShardwatchError, OSError) as error:
            say(f"shardwatch-coordinator: {error}")
        finally:
            fault = sys.exception()
            if isinstance(fault, Exception):  # the log has its traceback, as that of any other process
                sys.excepthook(type(fault), fault, fault.__traceback__)
            os._exit(code)
    try:
        _wait_for(child, pulse)
    finally:
        # Where we are told to leave meanwhile. The child has our lock, too, and must not keep it for longer than we do.
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
    if status != 0:
        raise _no_plan()


def _wait_for(child: int, pulse: Pulse) -> None:
    """Waits until a child has ended, with a pulse now and then."""
    ended = ended_fd(child)
    try:
        while not select.select([ended], [], [], PULSE_S)[0]:
            pulse.beat()
    finally:
        os.close(ended)


def _told_to_leave(pulse: Pulse, bell: HangUpBell, wait_s: float, is_needed: Callable[[], bool]) -> bool:
    """Waits until it is needed, with a pulse each beat; True at the end of standard input."""
    end = time.monotonic() + wait_s
    while (now := time.monotonic()) < end:
        pulse.beat()
        if is_needed():
            return False
        readable, _, _ = select.select([0, bell.fd], [], [], next_beat(now, BEAT_S) - now)
        bell.still()
        if 0 in readable and not os.read(0, 4096):
            return True
    return False


def _plan(layout: Layout) -> Plan | None:
    """The one that shards may run with already; None where there is none."""
    try:
        return read_plan(layout.plan)
    except msgspec.MsgspecError:
        return None


def _generation(layout: Layout) -> int:
    """Of that plan; 0 where there is none."""
    plan = _plan(layout)
    return 0 if plan is None else plan.generation


def _take_down(shards: Any, before: Plan, plan: Plan, beat: Callable[[], None]) -> None:
    """Ends the shards that run with the plan of before and can't go on with this one, so that they are added again."""
    try:
        rows = [row for row in shards.status() if row["group"] == GROUP]
    except (*NO_ANSWER, xmlrpc.client.Fault):
        return
    for row in (row for row in rows if part_change(row["name"], before, plan) is None):
        try:
            beat()
            shards.remove(row["name"])
        except (*NO_ANSWER, xmlrpc.client.Fault) as error:
            log_line(f"{row['name']} runs with an older plan: {error}")


def _pids(shards: Any) -> list[int]:
    """Processes of the shards that run already: at a restart of the coordinator, or with a kept plan."""
    try:
        return [int(row["pid"]) for row in shards.status() if row["group"] == GROUP and row["pid"]]
    except (*NO_ANSWER, xmlrpc.client.Fault):
        return []


def _leave(number: int, frame: FrameType | None) -> None:
    raise SystemExit(0)


def main(argv: list[str] | None = None) -> int:
    """`shardwatch-coordinator --state-dir DIR`, run by supervisord. Exit code 0 when it was told to leave."""
    arguments = sys.argv[1:] if argv is None else argv
    inherited.correct()
    inherited.ignore_signals(signal.SIGHUP)  # until there is a bell
    signal.signal(signal.SIGTERM, _leave)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        layout = Layout(value_of(arguments, "state-dir"))
        die_with_parent()
        log_choice.follow(layout, "coordinator", lambda choice: use_log("coordinator", choice))
        lock = Lock(layout.lock("coordinator"), wait_s=LOCK_WAIT_S)
        try:
            return run(layout)
        finally:
            lock.close()
    except ShardwatchError as error:
        say(f"shardwatch-coordinator: {error}")
        return error.exit_code
    except (OSError, msgspec.MsgspecError) as error:
        say(f"shardwatch-coordinator: {error}")
        return 1


if __name__ == "__main__":
    sys.exit(main())
