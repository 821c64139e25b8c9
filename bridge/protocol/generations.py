"""When everything must be published again, and under which number.

A *generation* is one complete telling of a source. It is over when the service or the stream can no longer prove that the other
one knows what it says.
"""

from __future__ import annotations

from typing import NamedTuple

from msgspec import Struct

from .bodies import Head
from .layouts import StreamWish


class Target(Struct, frozen=True):
    """Where a source is shipped to, from which group."""

    stream: str
    prefix: str
    source: str
    group: str


class ShipOptions(NamedTuple):
    """What is asked for on the command line."""

    target: Target
    partitions: int
    wish: StreamWish = StreamWish()
    #: Make the stream if there is none.
    create: bool = False
    #: Ship the source although another service's name is on it.
    take_over: bool = False


class Progress(Struct, frozen=True):
    """What the service keeps of it, durably."""

    #: A random name of the service.
    service: str
    target: Target
    #: When the stream was made, as the server says it.
    created: str = ""
    generation: int = 0
    counter: int = 0
    tick: int = 0
    partitions: int = 0
    #: Partitions in which older generations may have something.
    partitions_before: int = 0
    #: Sequence of the head with which the generation began: what the source has below it is of older ones. 0: it has not begun.
    base: int = 0
    #: The generation is complete once the group has acknowledged everything up to this tick.
    until: int = 0
    complete: bool = False
    #: Layout `batches`: for each partition the sequence of the last entry of this generation; 0: there is none.
    lasts: tuple[int, ...] = ()
    #: Layout `paths`: up to this sequence the stream was searched for deletions that are old.
    swept: int = 0


def why_new(progress: Progress, target: Target, partitions: int, created: str, head: Head | None) -> str:
    """Why a new generation must begin; "" if the last one goes on.

    Args:
        progress: what the service keeps.
        target, partitions: what is asked for now.
        created: when the stream was made.
        head: the last one of the source in the stream.
    """
    if progress.base == 0:
        return "nothing was shipped yet, or the last time was cut short"
    if progress.target != target:
        return "the stream, prefix, source or group is another one"
    if progress.partitions != partitions:
        return "the number of partitions is another one"
    if progress.created != created:
        return "the stream was made anew"
    if head is None or head.generation < progress.generation or head.counter < progress.counter:
        return "the stream has lost its last messages, or was restored"
    # A head may have come to the stream, and the process been killed before it was kept; never two.
    if head.generation > progress.generation or head.counter > progress.counter + 1:
        return "the state directory was restored, or copied"
    return ""


def next_generation(progress: Progress, head: Head | None, now_ms: int) -> int:
    """A number above all that were used, also where the service and the stream have both forgotten them.

    Args:
        now_ms: of the wall clock, since 1970. It only has to be right where both have.
    """
    return max(progress.generation + 1, head.generation + 1 if head is not None else 1, now_ms)
