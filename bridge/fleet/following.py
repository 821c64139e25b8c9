"""The loop of `batches`: takes over partitions, hands out batch after batch, and ends them. Without sockets."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from shardwatch.shard.contract.errors import ServiceError, UsageError

from ..protocol.bodies import End, PathState
from .course import Course, FleetFresh, Overtaken, Told
from .readings import Began, Chunk, ReadingOpened
from .steps import FleetFlow, OfMember, OfStore
from .store import FleetPosition, SourceStanding

if TYPE_CHECKING:
    from .member import Member

logger = logging.getLogger("shardwatch.bridge.fleet")

#: First and longest pause after a batch that failed, seconds.
RETRY_S: Final = 1.0
RETRY_S_MAX: Final = 60.0
#: Seconds between two questions whether everything is done.
_LOOK_S: Final = 0.05


class FollowingOptions(NamedTuple):
    """What was asked for."""

    group: str
    most: int
    lease_s: float
    #: None: without end.
    wait_s: float | None


class _OpenCourse(NamedTuple):
    """A partition that is read."""

    course: Course
    reading: int


class _Starting(NamedTuple):
    """A partition that is about to be read."""

    reading: int
    before: FleetPosition | None
    origin: FleetPosition
    #: The last sequence that the stream had given when it was opened.
    last: int


class FleetHanded:
    """A batch from when it was handed out until it is ended."""

    def __init__(self, following: FleetFollowing, partition: int, course: Course, told: Told, attempt: int) -> None:
        self._following = following
        self.partition = partition
        self.course = course
        self.told = told
        self.attempt = attempt
        self.is_ended = False
        #: It was acknowledged in time.
        self.is_kept = False
        #: The store was asked to keep it. If that raised an error, what the worker had written may be rolled back.
        self.was_tried = False

    def ack(self) -> FleetFlow[bool]:
        return (yield from self._following.ack(self))

    def give_back(self, pause_s: float | None, reason: str) -> FleetFlow[None]:
        yield from self._following.give_back(self, pause_s, reason)

    def extend(self, lease_s: float) -> FleetFlow[None]:
        yield from self._following.extend(self, lease_s)


class FleetFollowing:
    """One loop.

    Args:
        store: a FleetStore, or an AsyncFleetStore.
    """

    def __init__(
        self, member: Member, store: Any, options: FollowingOptions, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._member = member
        self._store = store
        self._options = options
        self._clock = clock
        self._open: dict[int, _OpenCourse] = {}
        #: What was opened while something of it was in hand.
        self._later: dict[int, ReadingOpened] = {}
        self._starting: dict[int, _Starting] = {}
        self._in_hand: set[int] = set()
        self._paused: dict[int, float] = {}
        self._failed: dict[int, int] = {}
        #: Partitions whose next messages were asked for.
        self._asked: set[int] = set()
        #: Partition -> sources of which something was missed there -> the generation of that; a later one is not complete yet.
        self._missed: dict[int, dict[str, int]] = {}

    def next(self) -> FleetFlow[FleetHanded | None]:
        """The next batch; None where the loop is over. Raises what Member raises, and UsageError for another group's store."""
        until = math.inf if self._options.wait_s is None else self._clock() + self._options.wait_s
        while True:
            handed = yield from self._handed()
            if handed is not None:
                return handed
            if self._clock() >= until and (yield OfMember(self._member.is_idle, (set(self._paused), set(self._missed)))):
                return None
            happened = yield OfMember(self._member.next, (self._wait_s(),))
            if happened is not None:
                yield from self._happened(happened)

    def _wait_s(self) -> float | None:
        if self._options.wait_s is not None:
            return _LOOK_S
        return max(0.0, min(self._paused.values()) - self._clock()) if self._paused else None

    # -- what happens

    def _happened(self, event: ReadingOpened | Began | Chunk) -> FleetFlow[None]:
        match event:
            case ReadingOpened(partition) if partition in self._in_hand:
                self._later[partition] = event
            case ReadingOpened():
                yield from self._start(event)
            case Began(partition, reading, after) if partition in self._starting and self._starting[partition].reading == reading:
                starting = self._starting.pop(partition)
                course = Course(self._store, partition, starting.before, starting.origin, after, starting.last)
                self._open[partition] = _OpenCourse(course, reading)
                self._asked.add(partition)
            case Chunk(partition, reading, messages):
                found = self._open.get(partition)
                if found is not None and found.reading == reading:
                    found.course.feed(messages)
                    self._asked.discard(partition)

    def _start(self, opened: ReadingOpened) -> FleetFlow[None]:
        self._open.pop(opened.partition, None)
        before: FleetPosition | None = yield OfStore(self._store.position, (opened.partition,))
        group = self._options.group
        if before is not None and before.group != group:
            hint = "give each group a store of its own: it belongs to the results of that group"
            raise UsageError(f"the store is that of the group {before.group}, and not of {group}", hint=hint)
        goes_on = before is not None and before.stream == opened.stream
        after, seen = (before.sequence, before.seen) if before is not None and goes_on else (0, opened.last)
        if after > opened.last:  # the stream has lost its last messages, and may give their sequences again before this is read
            after, seen = 0, min(seen, opened.last)
        missed: dict[str, int] = {}
        for source, generation, base, last in opened.generations:
            standing: SourceStanding = yield OfStore(self._store.standing, (source, opened.partition))
            read = standing.read if standing.begun == generation else 0
            if standing.begun < generation:  # the stream may have lost its last messages, and has given their sequences again
                after = min(after, base)
            if standing.missed == generation or read < last < opened.first:
                missed[source] = generation
        self._missed.pop(opened.partition, None)
        yield from self._note_missed(opened.partition, missed)
        origin = FleetPosition(opened.stream, group, 0, seen)
        self._starting[opened.partition] = _Starting(opened.reading, before, origin, opened.last)
        yield OfMember(self._member.start, (opened.partition, opened.reading, after))

    # -- batches

    def _handed(self) -> FleetFlow[FleetHanded | None]:
        """Of the partition whose turn it is."""
        for partition, (course, reading) in list(self._open.items()):
            if partition in self._in_hand or partition in self._asked or not self._is_over(partition):
                continue
            told = yield from self._told(partition, course, reading)
            if told is None:
                continue
            if not (yield OfMember(self._member.begin, (partition, reading, self._options.lease_s))):
                del self._open[partition]
                continue
            self._in_hand.add(partition)
            self._open[partition] = self._open.pop(partition)  # others first
            return FleetHanded(self, partition, course, told, self._failed.get(partition, 0) + 1)
        return None

    def _is_over(self, partition: int) -> bool:
        """Whether its pause is."""
        if self._paused.get(partition, 0.0) > self._clock():
            return False
        self._paused.pop(partition, None)
        return True

    def _told(self, partition: int, course: Course, reading: int) -> FleetFlow[Told | None]:
        try:
            told = yield from course.next(self._options.most)
        except Overtaken:
            yield from self._drop(partition, reading)
            return None
        yield from self._note_missed(partition, course.missed)
        course.missed.clear()
        if told is not None and told.end is not None:
            self._is_told(partition, told.end)
        if told is None:
            self._asked.add(partition)
            yield OfMember(self._member.more, (partition, reading))
        return told

    def _note_missed(self, partition: int, missed: Mapping[str, int]) -> FleetFlow[None]:
        """Has the sources told again of which something was missed."""
        if missed:
            names = ", ".join(sorted(missed))
            logger.warning("Partition %d: something was removed before it was read: %s is asked for again", partition, names)
            self._missed.setdefault(partition, {}).update(missed)
            yield OfMember(self._member.missed, (dict(missed),))

    def _is_told(self, partition: int, end: End) -> None:
        """All of a generation has come."""
        missed = self._missed.get(partition, {})
        if missed.get(end.source, end.generation) < end.generation:
            del missed[end.source]
        if not missed:
            self._missed.pop(partition, None)

    def _drop(self, partition: int, reading: int) -> FleetFlow[None]:
        self._open.pop(partition, None)
        yield OfMember(self._member.again, (partition, reading))

    # -- ends of batches

    def ack(self, handed: FleetHanded) -> FleetFlow[bool]:
        """Whether it came in time."""
        if handed.is_ended:
            return handed.is_kept
        in_time = not handed.was_tried and (yield OfMember(self._member.holds, (handed.partition,)))
        if in_time:
            handed.was_tried = True
            in_time = yield from handed.course.keep(handed.told)
        else:
            yield OfStore(self._store.undo)
        handed.is_kept = bool(in_time)
        if in_time:
            self._failed.pop(handed.partition, None)
        else:
            why = "could not be kept before" if handed.was_tried else "came too late"
            logger.warning("A batch of partition %d %s: it is handed out again", handed.partition, why)
            found = self._open.get(handed.partition)
            if found is not None:
                yield from self._drop(handed.partition, found.reading)
        yield from self._ended(handed)
        return handed.is_kept

    def give_back(self, handed: FleetHanded, pause_s: float | None, reason: str) -> FleetFlow[None]:
        """It failed, and is handed out again after a pause (None: one that grows); 0: it was only given back."""
        if handed.is_ended:
            return
        yield OfStore(self._store.undo)
        if pause_s != 0.0:
            failed = self._failed[handed.partition] = self._failed.get(handed.partition, 0) + 1
            pause_s = min(RETRY_S_MAX, RETRY_S * 2 ** min(failed - 1, 10)) if pause_s is None else pause_s
            self._paused[handed.partition] = self._clock() + pause_s
            logger.warning("A batch of partition %d failed, and comes again in %g s: %s", handed.partition, pause_s, reason)
        yield from self._ended(handed)

    def extend(self, handed: FleetHanded, lease_s: float) -> FleetFlow[None]:
        """Raises ServiceError where it is too late."""
        if handed.is_ended or not (yield OfMember(self._member.extend, (handed.partition, lease_s))):
            raise ServiceError("the lease is over: another worker may have the partition", hint="drop the batch, it comes again")

    def _ended(self, handed: FleetHanded) -> FleetFlow[None]:
        handed.is_ended = True
        self._in_hand.discard(handed.partition)
        yield OfMember(self._member.finish, (handed.partition,))
        opened = self._later.pop(handed.partition, None)
        if opened is not None:
            yield from self._start(opened)


class FleetBatchData:
    """What both kinds of batch hold."""

    __slots__ = ("_handed", "attempt", "end", "events", "fresh", "group", "lease_s", "partition")

    def __init__(self, handed: FleetHanded, group: str, lease_s: float) -> None:
        self._handed = handed
        self.group = group
        self.partition = handed.partition
        #: 1 at the first time, as far as this worker knows.
        self.attempt = handed.attempt
        #: Seconds, counted from when it was handed out, within which it must be acknowledged or extended.
        self.lease_s = lease_s
        #: Each of another path. They have `source` and `generation` beside what Event has.
        self.events: list[PathState] = handed.told.events
        #: Not None: a new generation of a source begins. Then there are no events.
        self.fresh: FleetFresh | None = handed.told.fresh
        #: Not None: with these events, all of a generation of a source came in this partition, and what was gone is `deleted`.
        self.end: End | None = handed.told.end

    def __len__(self) -> int:
        return len(self.events)

    def __repr__(self) -> str:
        what = "fresh" if self.fresh else len(self.events)
        return f"<{type(self).__name__} of {self.group!r}, partition {self.partition}: {what}>"
