"""What a service runs with, as commands read it from its state directory: a damaged file is told, and is no defect of theirs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

import msgspec

from shardwatch.shard.contract.errors import UsageError
from shardwatch.shard.contract.state.layout import Layout
from shardwatch.shard.contract.state.planfile import Plan, read_plan
from shardwatch.shard.contract.state.settings import Settings, read_settings

T = TypeVar("T")

_ANEW: Final = "`shardwatch down`, remove what is damaged, then `shardwatch up`"


def served_settings(layout: Layout) -> Settings:
    """The settings with which the service runs, or ran last. Raises OSError, and UsageError for a file that can't be used."""
    return unless_damaged(f"{layout.settings} is damaged", lambda: read_settings(layout.settings))


def served_plan(layout: Layout) -> Plan | None:
    """The plan; None where there is none yet, or a damaged one: the coordinator makes another. Raises OSError, and UsageError for
    a file that is not ours."""
    try:
        return read_plan(layout.plan)
    except msgspec.MsgspecError:
        return None


def unless_damaged(what: str, read: Callable[[], T]) -> T:
    """What `read` returns. Raises what it raises, and UsageError, which begins with `what`, for content that is none."""
    try:
        return read()
    except msgspec.MsgspecError as error:
        raise UsageError(f"{what}: {error}", hint=_ANEW) from None
