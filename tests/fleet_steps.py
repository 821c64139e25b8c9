"""Carries out the steps of a fleet's decisions at once, with a store that does not wait."""

from __future__ import annotations

from typing import TypeVar

from shardwatch.bridge.fleet.steps import FleetFlow

T = TypeVar("T")


def carry_out(flow: FleetFlow[T]) -> T:
    """What the flow returns."""
    try:
        step = next(flow)
        while True:
            step = flow.send(step.call(*step.arguments))
    except StopIteration as end:
        found: T = end.value
        return found
