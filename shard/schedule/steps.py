"""Work that is done in small steps: one step of the first of some pieces."""

from __future__ import annotations

from collections import deque
from typing import Final

from ..territory.territory import Steps

#: What `next` gives at the end of a generator of steps; a step itself is None.
_ENDED: Final = object()


def step(jobs: deque[Steps]) -> bool:
    """Does one step of the first of some jobs. Returns whether that was its last one; the job is removed then."""
    ended = next(jobs[0], _ENDED) is _ENDED
    if ended:
        jobs.popleft()
    return ended


def next_step(jobs: deque[Steps]) -> bool:
    """Does one step of the first of some jobs, if there are any. Returns whether there were."""
    if not jobs:
        return False
    step(jobs)
    return True
