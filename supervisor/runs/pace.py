"""How much is pulled at once. Pure."""

from __future__ import annotations

from typing import Final

from .command import PATHS_MAX

#: Work that is pulled at once is meant to last for so long, seconds: other workers of the group are to have their share, and
#: what is on lease here when this process is killed comes again.
AHEAD_S: Final = 0.5
#: How much of the mean a run makes up.
_SHARE: Final = 0.1


class Pace:
    """Learns how long runs last.

    Args:
        jobs: runs side by side.
        paths_max: paths of one run, at most.
    """

    def __init__(self, jobs: int, paths_max: int) -> None:
        self._jobs = jobs
        self._paths_max = paths_max
        self._mean_s: float | None = None

    def note(self, seconds: float) -> None:
        """A run lasted for so long."""
        self._mean_s = seconds if self._mean_s is None else self._mean_s + (seconds - self._mean_s) * _SHARE

    @property
    def is_quick(self) -> bool:
        """Whether runs are so short that the next are worth being fetched while others run."""
        return self._mean_s is not None and self._mean_s < AHEAD_S

    def paths(self) -> int:
        """How many to pull: enough for all jobs, and more if runs are short. From 1 to `command.PATHS_MAX`."""
        rounds = max(1.0, AHEAD_S / max(self._mean_s, 1e-6)) if self._mean_s is not None else 1.0
        return max(1, min(PATHS_MAX, round(self._jobs * self._paths_max * min(rounds, PATHS_MAX))))
