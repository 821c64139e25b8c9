"""What a schedule asks for: acknowledgements, failures, signals and the end of runs. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from .change import Change
from .command import Run


@dataclass(frozen=True, slots=True)
class Acknowledge:
    """These ticks of the batch are done; None: the whole batch is."""

    batch: str
    ticks: tuple[int, ...] | None


@dataclass(frozen=True, slots=True)
class Fail:
    """What is left of the batch failed."""

    batch: str
    reason: str
    #: The end of what the run that failed had written.
    output: str


@dataclass(frozen=True, slots=True)
class Stop:
    """The run is to be ended: by the stop signal, and by force if it does not obey."""

    run: Run


@dataclass(frozen=True, slots=True)
class Signal:
    """The run is sent a signal that tells it of these changes, and may do with it what it likes."""

    run: Run
    changes: tuple[Change, ...]


Instruction = Acknowledge | Fail | Stop | Signal
