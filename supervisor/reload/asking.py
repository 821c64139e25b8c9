"""Asks a running service to take something over, and waits until it has."""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import time
import xmlrpc.client
from collections.abc import Iterator
from typing import Final

import msgspec

from shardwatch.shard.contract.errors import InUseError, NotRunningError, ServiceError, ServiceTimeoutError
from shardwatch.shard.contract.process.life import is_absent
from shardwatch.shard.contract.state.directory import StateDirectory
from shardwatch.shard.contract.state.layout import Layout
from shardwatch.shard.contract.state.section_file import read_section
from shardwatch.shard.contract.state.settings import read_settings
from shardwatch.shard.contract.state.ship_section import ShipSection
from shardwatch.shard.contract.state.sources import Sources
from shardwatch.shard.contract.state.triggers import read_triggers
from shardwatch.shard.contract.state.web_section import WebSection

from ..planning.heat import NO_RATES, ChangeRates
from ..service.control import NO_ANSWER, supervisord
from ..service.service import programs, running
from .request import ReloadRequest, read_outcome, read_request, write
from .steps import Configuration

#: Seconds between two looks whether it is done.
_LOOK_S: Final = 0.02
#: Seconds in which the coordinator has to carry out a request. It reads the tree for a new plan.
DONE_S: Final = 600.0
#: Seconds for which another command that has something taken over is waited for, and what a command that is gone has left.
OTHER_S: Final = 60.0
#: supervisord's fault where a program does not run (supervisor.xmlrpc.Faults.NOT_RUNNING).
_NOT_RUNNING: Final = 70


@contextlib.contextmanager
def alone(layout: Layout) -> Iterator[None]:
    """Lets one command after another change what a service runs with, once nothing is left of an earlier one. Raises InUseError
    after OTHER_S."""
    with StateDirectory(layout.state_dir) as state:
        fd = state.open(os.fspath(layout.reload_lock.relative_to(layout.state_dir)), os.O_RDWR | os.O_CREAT)
    try:
        deadline = time.monotonic() + OTHER_S
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    hint = "wait for it; logs/coordinator.log in the state directory says how far it is"
                    raise InUseError("another command has something taken over", hint=hint, retryable=True) from None
                time.sleep(_LOOK_S)
        _await_left(layout)
        yield
    finally:
        os.close(fd)


def _await_left(layout: Layout) -> None:
    """Waits until a request is carried out that is there although no command waits for it: one was ended (Ctrl-C) before that,
    or the coordinator has asked itself. Until then it is not known what will be in force. A request that is still there after
    OTHER_S is replaced by the next one."""
    deadline = time.monotonic() + OTHER_S
    while layout.reload.exists() and running(layout) and time.monotonic() < deadline:
        time.sleep(_LOOK_S)


def in_force(layout: Layout) -> Configuration:
    """What the service runs with. Raises OSError, msgspec.MsgspecError, UsageError for files that can't be read."""
    return Configuration(
        settings=read_settings(layout.settings),
        triggers=read_triggers(layout.triggers),
        ship=read_section(layout.ship_section, ShipSection),
        web=read_section(layout.web_section, WebSection),
    )


def ask(
    layout: Layout,
    before: Configuration,
    after: Configuration,
    sources: Sources | None,
    *,
    rebalanced: int | None = None,
    rates: ChangeRates = NO_RATES,
) -> None:
    """Has a configuration taken over. Returns when the service runs with it; its shards may not have looked at everything yet.

    Args:
        rebalanced: the generation of a plan in which the shards are to have equal shares again.
        rates: how often files change, for that.

    Raises:
        NotRunningError: the service, or its coordinator, does not run.
        ServiceError: it could not be taken over.
        ServiceTimeoutError: nobody said within DONE_S what became of it.
    """
    _check_coordinator(layout)
    request = ReloadRequest(
        id=secrets.token_hex(8), before=before, after=after, sources=sources, halted=_is_halted(layout),
        rebalance=rebalanced is not None, generation=rebalanced or 0, rates=rates,
    )  # fmt: skip
    write(layout.reload, request)
    _ring(layout)
    deadline = time.monotonic() + DONE_S
    while time.monotonic() < deadline:
        dropped = is_absent(layout.reload)  # looked at before the outcome, which is written before the request is removed
        with contextlib.suppress(msgspec.MsgspecError):
            outcome = read_outcome(layout.reload_outcome)
            if outcome is not None and outcome.id == request.id:
                if outcome.error:
                    raise ServiceError(f"the service runs on as before: {outcome.error}", hint=outcome.remedy)
                return
        if not running(layout):
            raise NotRunningError("the service ended meanwhile", hint="its next start reads the configuration anew")
        if dropped:  # it was overwritten by one of the coordinator's own, which has been carried out in its place
            write(layout.reload, request)
            _ring(layout)
        time.sleep(_LOOK_S)
    hint = "it goes on; logs/coordinator.log in the state directory says how far it is"
    raise ServiceTimeoutError(f"not taken over within {DONE_S:g} s", hint=hint)


def _is_halted(layout: Layout) -> bool:
    """Whether a request that was not carried out to its end has stopped the aggregator."""
    try:
        left = read_request(layout.reload)
    except msgspec.MsgspecError:
        return True  # it is damaged: to start what runs already does no harm
    return left is not None and left.halted


def _check_coordinator(layout: Layout) -> None:
    """Raises NotRunningError where an operator has stopped the one who would carry it out."""
    row = next((row for row in programs(layout) if row["name"] == "coordinator"), None)
    if row is not None and row["state"] in ("STOPPED", "STOPPING"):
        hint = f"supervisorctl -c {layout.supervisord_conf} start coordinator"
        raise NotRunningError("the coordinator is stopped, which would carry it out", hint=hint)


def _ring(layout: Layout) -> None:
    """Wakes the coordinator. Where that does not work, it notices the request by itself at its next beat or start."""
    with contextlib.suppress(*NO_ANSWER):
        try:
            with supervisord(layout.supervisor_socket, 2.0) as proxy:
                proxy.supervisor.signalProcess("coordinator", "HUP")
        except xmlrpc.client.Fault as fault:
            if fault.faultCode != _NOT_RUNNING:
                raise ServiceError(f"supervisord refuses: {fault.faultString}") from fault
