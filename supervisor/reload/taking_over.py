"""Carries out a request to take something over, in the coordinator. Nothing of what it does is lost or done by halves if it
is killed: the request stays until the end, and whoever begins again finds what was done as it should be.

Where no more differs than the roots, and where subtrees are moved, the aggregator and the shards run on: they go by the
plan, which is exchanged in one step and tells both the roots and who has them. What is a shard's in both plans is watched all the
time. Where other files come into scope by filters, the aggregator and the shards are not there while the files are exchanged, so
that none of them runs with a part of the new ones. That takes moments: the plan was made before. What changes meanwhile is found
by the shards' baselines, and workers ask again.
"""

from __future__ import annotations

import os
import time
import xmlrpc.client
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec

from shardwatch.shard.contract.errors import ServiceError, ShardwatchError, UsageError
from shardwatch.shard.contract.limits import BEAT_S
from shardwatch.shard.contract.state.layout import Layout
from shardwatch.shard.contract.state.passing import heirs
from shardwatch.shard.contract.state.planfile import Plan, part_change, read_plan, write_plan
from shardwatch.shard.contract.state.section_file import write_section
from shardwatch.shard.contract.state.settings import Settings, write_settings
from shardwatch.shard.contract.state.sources import write_sources
from shardwatch.shard.contract.state.triggers import write_triggers

from ..host.log_line import log_line
from ..planning.rebalancing import moves, summary
from ..plugin.names import EXEC, GROUP
from .request import Outcome, ReloadRequest, read_request, write
from .steps import Steps, changes, steps_between

AGGREGATOR: Final = "aggregator"
#: Seconds between two questions whether a program has ended: at most 4 s pass until it is killed.
_LOOK_S: Final = 0.02
#: States of a program that has a process, or that supervisord is about to start.
_NOT_GONE: Final = frozenset({"STARTING", "RUNNING", "BACKOFF", "STOPPING", "EXITED"})
#: supervisord's faults (supervisor.xmlrpc.Faults): what is to be stopped does not run, what is to be started does.
_NOT_RUNNING: Final = 70
_ALREADY_STARTED: Final = 60


class Hand(Protocol):
    """What carrying out a request needs of the coordinator."""

    @property
    def proxy(self) -> Any:
        """supervisord's XML-RPC."""

    def prepare_plan(self, request: ReloadRequest, /) -> None:
        """Has the plan for its settings made, in the file of the next plan. Raises ShardwatchError."""

    def await_heirs(self, shards: Sequence[str], generation: int, settle_s: float, /) -> None:
        """Returns when these shards are ready for the plan of this generation, or after a limited time (`heirs.await_heirs`).
        Raises ShardwatchError."""

    def beat(self) -> None:
        """Shows that the coordinator lives."""


def take_over(layout: Layout, hand: Hand) -> bool:
    """Carries out the request that is in the state directory, if there is one, and leaves its outcome. Returns whether it was
    carried out, or there was none.

    A request that is damaged, or that others could have written, is dropped. Where a plan can't be made, or a file can't be
    written, the service runs on as before, or as far as it was taken over, and the outcome says why.

    Raises what calls of supervisord raise: then it is to be called again.
    """
    try:
        request = read_request(layout.reload)
    except (msgspec.MsgspecError, UsageError) as error:
        log_line(f"{layout.reload} can't be used, and is dropped: {error}")
        layout.reload.unlink(missing_ok=True)
        return True
    if request is None:
        return True
    for change in changes(request.before, request.after):
        log_line(f"taking over: {change}")
    outcome = Outcome(id=request.id)
    try:
        _carry_out(request, layout, hand)
    except ShardwatchError as error:
        log_line(f"it can't be taken over: {error}")
        outcome = Outcome(id=request.id, error=error.message, remedy=error.hint)
    _tell(outcome, layout, hand)
    _drop(layout, request)
    layout.next_plan.unlink(missing_ok=True)
    return not outcome.error


def _tell(outcome: Outcome, layout: Layout, hand: Hand) -> None:
    """Leaves the outcome. Where that can't be written, it is tried again, and it alone: what was done is not done once more."""
    said = False
    while True:
        try:
            write(layout.reload_outcome, outcome)
        except OSError as error:
            if not said:
                log_line(f"{layout.reload_outcome} can't be written: {error.strerror}; it is tried again")
            said = True
            hand.beat()
            time.sleep(BEAT_S)
        else:
            return


def _drop(layout: Layout, request: ReloadRequest) -> None:
    """Removes a request that was carried out. Another one that has come in its place stays, to be carried out next."""
    try:
        left = read_request(layout.reload)
    except (msgspec.MsgspecError, UsageError):
        return  # `take_over` drops it
    if left is not None and left.id == request.id:
        layout.reload.unlink(missing_ok=True)


def _carry_out(request: ReloadRequest, layout: Layout, hand: Hand) -> None:
    steps = steps_between(request.before, request.after)
    try:
        is_running = _prepare(request, steps, layout, hand)
    except ShardwatchError:
        _go_on(hand, aggregator=request.halted)  # a predecessor may have come further before it was killed
        raise
    try:
        if steps.shards:
            _remove_shards(hand)
        elif steps.plan:
            _remove_shards(hand, *_plans(layout))
        _exchange_files(request, layout, plans=steps.plan)
    finally:
        _go_on(hand, aggregator=is_running)
    _add_shards(layout, hand)


def _prepare(request: ReloadRequest, steps: Steps, layout: Layout, hand: Hand) -> bool:
    """Does what comes before the files are exchanged. Returns whether the aggregator is to be started after that."""
    if request.rebalance and not steps.plan:
        _rebalance(request, layout, hand)
    if steps.plan:
        hand.prepare_plan(request)
    if steps.plan and not (steps.shards or steps.aggregator or request.halted):
        _get_heirs_ready(layout, hand, request.before.settings)
    for group, name in [*((EXEC, name) for name in steps.commands), *((name, name) for name in steps.programs)]:
        _end(hand, group, name)
    return _halt(request, layout, hand) if steps.aggregator else request.halted


def _go_on(hand: Hand, *, aggregator: bool) -> None:
    """Starts what was ended, and what is new: the aggregator, if it is to run, and programs of the configuration."""
    if aggregator:
        _start(hand)
    hand.beat()
    hand.proxy.shards.reread()


def _rebalance(request: ReloadRequest, layout: Layout, hand: Hand) -> None:
    """Has subtrees moved from one shard to another, as far as that makes their shares equal. The aggregator runs on."""
    old = _plan(layout.plan)
    if old is None or old.generation != request.generation:
        return  # there is another plan by now, perhaps a predecessor's, or none that could be continued
    layout.next_plan.unlink(missing_ok=True)  # a predecessor's, perhaps of another request
    hand.prepare_plan(request)
    new = _plan(layout.next_plan)
    if new is None:
        log_line("no subtree is to be moved to another shard")
        return
    for line in summary(moves(old, new)):
        log_line(f"plan {new.generation}: {line}")
    _get_heirs_ready(layout, hand, request.after.settings)
    try:
        os.replace(layout.next_plan, layout.plan)
    except OSError as error:
        raise ServiceError(f"{layout.plan} can't be written: {error.strerror}", hint="mend that, then try again") from error
    _remove_shards(hand, old, new)
    _add_shards(layout, hand)


def _get_heirs_ready(layout: Layout, hand: Hand, settings: Settings) -> None:
    """Has subtrees that pass from one running shard to another watched by the next owner, before the plan is exchanged. The plan
    in force stays in force, and names the next one meanwhile; nobody else minds that."""
    plans = _plans(layout)
    if not plans:
        return
    old, new = plans
    shards = heirs(old, new, settings)
    if not shards:
        return
    try:
        write_plan(layout.plan, msgspec.structs.replace(old, next=new))
    except OSError as error:
        log_line(f"{layout.plan} can't be written: {error.strerror}")  # then it can't be exchanged either, which is told
        return
    try:
        hand.await_heirs(shards, new.generation, settings.settle_ms / 1000)
    except (OSError, ShardwatchError):
        log_line("it could not be asked who is ready: what passes to other shards is looked at by them afterwards")


def _add_shards(layout: Layout, hand: Hand) -> None:
    """Starts the shards of the plan on disk that do not run."""
    plan = _plan(layout.plan)
    for shard in plan.shards() if plan is not None else []:
        hand.beat()
        hand.proxy.shards.add(shard)


def _exchange_files(request: ReloadRequest, layout: Layout, *, plans: bool) -> None:
    """Raises ServiceError where a file can't be written; the coordinator makes a plan for what was written, if it has to."""
    after = request.after
    try:
        write_settings(layout.settings, after.settings)
        write_triggers(layout.triggers, after.triggers)
        write_section(layout.ship_section, after.ship)
        write_section(layout.web_section, after.web)
        if request.sources is not None:
            write_sources(layout.sources, request.sources)
        if plans:
            os.replace(layout.next_plan, layout.plan)
    except OSError as error:
        raise _unwritable(layout, error) from error


def _unwritable(layout: Layout, error: OSError) -> ServiceError:
    return ServiceError(f"{layout.state_dir} can't be written: {error.strerror}", hint="mend that, then reload again")


def _end(hand: Hand, group: str, name: str) -> None:
    """Ends a program of the configuration, and waits until it is gone."""
    while not hand.proxy.shards.end(group, name):
        hand.beat()
        time.sleep(_LOOK_S)


def _halt(request: ReloadRequest, layout: Layout, hand: Hand) -> bool:
    """Stops the aggregator, and returns once it is gone: whether it is to be started again. It is not if an operator had stopped
    it. Raises ServiceError where it can't be noted that it is stopped."""
    hand.beat()
    if not request.halted:
        if _state_of_aggregator(hand) in ("STOPPED", "STOPPING"):
            return False
        try:
            write(layout.reload, msgspec.structs.replace(request, halted=True))
        except OSError as error:
            raise _unwritable(layout, error) from error
    while (state := _state_of_aggregator(hand)) in _NOT_GONE:
        if state != "STOPPING":
            try:
                hand.proxy.supervisor.stopProcess(AGGREGATOR, False)
            except xmlrpc.client.Fault as fault:
                if fault.faultCode != _NOT_RUNNING:
                    raise
        hand.beat()
        time.sleep(_LOOK_S)
    return True


def _start(hand: Hand) -> None:
    while _state_of_aggregator(hand) == "STOPPING":  # told to start it now, supervisord does nothing, and says nothing
        hand.beat()
        time.sleep(_LOOK_S)
    try:
        hand.proxy.supervisor.startProcess(AGGREGATOR, False)
    except xmlrpc.client.Fault as fault:
        if fault.faultCode != _ALREADY_STARTED:
            raise


def _state_of_aggregator(hand: Hand) -> str:
    """As supervisord says it; "" where it has no such program."""
    return next((str(row["state"]) for row in hand.proxy.shards.status() if row["name"] == AGGREGATOR), "")


def _plans(layout: Layout) -> tuple[Plan, Plan] | tuple[()]:
    """The plan in force and the next one; nothing where one is missing."""
    old, new = _plan(layout.plan), _plan(layout.next_plan)
    return () if old is None or new is None else (old, new)


def _plan(path: Path) -> Plan | None:
    """A plan on disk. A damaged one counts as none, and is logged: the coordinator makes another when the request is done."""
    try:
        return read_plan(path)
    except msgspec.MsgspecError as error:
        log_line(f"{path} is damaged: {error}")
        return None


def _remove_shards(hand: Hand, *plans: Plan) -> None:
    """Ends all shards, or, with the plan in force and the next one, those that can't go on with the next one.

    A shard that finds out by itself that it can't (`shard.process.succession`) leaves, and is started again by supervisord.
    """
    for row in hand.proxy.shards.status():
        if row["group"] == GROUP and not (plans and part_change(row["name"], *plans) is not None):
            hand.beat()
            hand.proxy.shards.remove(row["name"])
