"""What a running service is asked to take over, and what became of it: two files in the state directory.

The request stays until it was carried out. It contains what the service ran with before, so that whoever carries it out
can begin again at any point.
"""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import msgspec

from shardwatch.shard.contract.state.directory import read_private, write_private
from shardwatch.shard.contract.state.sources import Sources

from ..planning.heat import NO_RATES, ChangeRates
from .steps import Configuration

T = TypeVar("T")


class ReloadRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be taken over."""

    #: By which the outcome is known as that of this request.
    id: str
    before: Configuration
    after: Configuration
    #: What the configuration was read from, to be stored with it.
    sources: Sources | None = None
    #: Whether the shards are to have equal shares again, where nothing has changed that needs a plan of its own.
    rebalance: bool = False
    #: Of the plan that was in force when this was asked.
    generation: int = 0
    #: How often files have changed lately, by which they are to have them.
    rates: ChangeRates = NO_RATES
    #: Whether the aggregator was stopped to carry this out, and is to be started again.
    halted: bool = False


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a request."""

    #: Of the request.
    id: str
    #: Why it could not be carried out, and the service runs as before; "": it was.
    error: str = ""
    remedy: str = ""


def read_request(path: Path) -> ReloadRequest | None:
    """The request that is to be carried out, None where there is none.

    Raises OSError, msgspec.MsgspecError for a damaged file, UsageError for one that others can write.
    """
    return _read(path, ReloadRequest)


def read_outcome(path: Path) -> Outcome | None:
    """What became of the last request, None where there was none. Raises as `read_request` does."""
    return _read(path, Outcome)


def write(path: Path, content: ReloadRequest | Outcome) -> None:
    """Replaces the file in one step, mode 0600. Raises OSError."""
    write_private(path, msgspec.json.format(msgspec.json.encode(content), indent=1))


def _read(path: Path, kind: type[T]) -> T | None:
    try:
        return msgspec.json.decode(read_private(path), type=kind)
    except FileNotFoundError:
        return None
