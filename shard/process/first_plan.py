"""Waits for the plan of a first start. The first shard is loaded while that is made, since it has a part of every plan."""

from __future__ import annotations

import os
import select
import time
from typing import Final

from ..contract.process.life import Pulse
from ..contract.state.layout import Layout
from ..contract.state.planfile import Plan, PlanFile

#: Milliseconds between two looks while a plan is made in the usual time, and later on. A look is a stat. The kernel is not asked
#: to tell: the state directory may lie on a filesystem for which it can't.
_LOOK_MS: Final = 2
_LATER_MS: Final = 100
#: Seconds that a plan usually takes, at most.
_USUALLY_S: Final = 1.0


def await_plan(layout: Layout, plan_file: PlanFile, guard: int | None) -> Plan | None:
    """Blocks until there is a plan, with a pulse now and then; None if standard input ends before that.

    Args:
        guard: the descriptor whose end tells that supervisord is gone; None where there is none.

    Raises what `PlanFile.read` raises.
    """
    poller = select.poll()
    if guard is not None:
        poller.register(guard, select.POLLIN)
    pulse = Pulse(layout.pulse_socket)
    began = time.monotonic()
    try:
        while (plan := plan_file.read()) is None:
            pulse.beat(scanning=True)
            usual = time.monotonic() - began < _USUALLY_S
            if poller.poll(_LOOK_MS if usual else _LATER_MS) and guard is not None and not os.read(guard, 4096):
                return None
    finally:
        pulse.close()
    return plan
