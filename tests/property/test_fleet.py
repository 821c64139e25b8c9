"""A group of workers shares the sources in a stream, whoever dies, stalls and comes back, and whatever is lost or told twice.

Who has which partition, what the messages mean, and what is kept is decided by the real code; the servers and the clock are
models.
"""

from __future__ import annotations

import contextlib
import copy
import os
import sqlite3
from collections import deque
from typing import Any, NamedTuple

from fleet_steps import carry_out
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from stream_model import Stream

from shardwatch.aggregator.protocol.messages import Event
from shardwatch.bridge.fleet.course import Arrived
from shardwatch.bridge.fleet.following import FleetFollowing, FleetHanded, FollowingOptions
from shardwatch.bridge.fleet.readings import Began, Chunk, LastGeneration, ReadingOpened
from shardwatch.bridge.fleet.sharing import Share, Write
from shardwatch.bridge.fleet.sqlite import SqliteFleetStore
from shardwatch.bridge.fleet.steps import FleetFlow, OfMember, OfStore
from shardwatch.bridge.protocol.bodies import (
    NOTHING,
    Head,
    Message,
    PathState,
    decode_told,
    encode,
    end_message,
    messages,
    purged_message,
)  # fmt: skip
from shardwatch.bridge.protocol.names import Subjects

SOURCES = ("one", "two")
PATHS = [b"/r/a", b"/r/b", b"/r/\xff"]
LEASE_S = 10.0
PARTITIONS = 2
which = st.integers(0, 2)


class Source:
    """A tree, and the one ship of it, which loses nothing that the stream does not lose."""

    def __init__(self, name: str) -> None:
        self.names = Subjects("p", name, PARTITIONS)
        self.tick = 0
        #: Path -> (tick, size; None: deleted).
        self.rows: dict[bytes, tuple[int, int | None]] = {}
        self.pending: set[bytes] = set()
        self.generation = self.base = 0
        self.partitions_before = PARTITIONS
        self.is_complete = False

    def there(self) -> dict[bytes, int]:
        return {path: size for path, (_, size) in self.rows.items() if size is not None}

    def change(self, path: bytes, size: int | None) -> None:
        self.tick += 1
        self.rows[path] = self.tick, size
        self.pending.add(path)

    def forget(self) -> None:
        """The index is lost: ticks begin again, and what was deleted is not known any more."""
        self.rows = {path: (n, size) for n, (path, size) in enumerate(self.there().items(), 1)}
        self.tick = len(self.rows)

    def fresh(self, stream: Stream) -> None:
        self.generation += 1
        self.is_complete = False
        self.pending = set(self.there())
        self.put_head(stream)
        self.base = stream.sequence

    def put_head(self, stream: Stream) -> None:
        head = Head(
            self.names.source, "s", "l", self.generation, 0, 0, self.names.partitions, self.partitions_before, self.is_complete
        )
        stream.put(Message(self.names.head, NOTHING, encode(head)), stream.last(self.names.head).sequence)

    def ship(self, stream: Stream) -> None:
        for path in sorted(self.pending):
            tick, size = self.rows[path]
            event = Event("deleted" if size is None else "created", os.fsdecode(path), False, size, size, tick, 0.0)
            self.publish(stream, *messages([event], self.names, self.generation))
        self.pending.clear()

    def complete(self, stream: Stream) -> None:
        self.ship(stream)
        if not self.is_complete:
            for n in range(max(self.partitions_before, self.names.partitions)):
                self.publish(stream, end_message(self.names, self.generation, n))
            stream.messages = {
                subject: found
                for subject, found in stream.messages.items()
                if found[0] >= self.base or not subject.startswith(self.names.everything[:-1])
            }
            self.is_complete, self.partitions_before = True, self.names.partitions
            self.put_head(stream)

    def purge(self, stream: Stream) -> None:
        """All deletions are old by now, and are removed, as `OldDeletions` does."""
        old: dict[str, int] = {}
        for subject, (sequence, body) in stream.messages.items():
            told = decode_told(body)
            if isinstance(told, PathState) and (told.source, told.generation, told.event_type) == (
                self.names.source, self.generation, "deleted",
            ):  # fmt: skip
                old[subject] = sequence
        for partition in {subject.split(".")[2] for subject in old}:
            last = max(sequence for subject, sequence in old.items() if subject.split(".")[2] == partition)
            self.publish(stream, purged_message(self.names, self.generation, int(partition), last))
        for subject in old:
            del stream.messages[subject]

    def publish(self, stream: Stream, message: Message) -> None:
        last = stream.last(message.subject)
        if last.stamp < message.stamp:
            stream.put(message, last.sequence)


class ModelReading:
    def __init__(self, number: int) -> None:
        self.number = number
        self.after: int | None = None
        self.wanted = True


class ModelMember:
    """What Member does, with a model of the servers."""

    def __init__(self, machine: FleetMachine, name: str) -> None:
        self._machine = machine
        self.share = Share(name, LEASE_S)
        self._readings: dict[int, ModelReading] = {}
        self._number = 0
        self._connection = -1
        self.events: deque[ReadingOpened | Began | Chunk] = deque()
        self._in_hand: dict[int, float] = {}

    def turn(self, *, answered: bool = True) -> None:
        """Looks at the leases, writes them, and takes what comes."""
        machine = self._machine
        if self._connection != machine.connection:
            self._readings.clear()
            self.events.clear()
            self._connection = machine.connection
        self._look()
        silent = {partition for partition, until in self._in_hand.items() if machine.now >= until}
        most = max(max(source.names.partitions, source.partitions_before) for source in machine.sources)
        for write in self.share.plan(most, machine.now, self._in_hand, silent):
            self._write(write, answered=answered)
        held = self.share.held(machine.now)
        self._readings = {partition: reading for partition, reading in self._readings.items() if partition in held}
        for partition in held:
            if partition not in self._readings:
                self._number += 1
                self._readings[partition] = ModelReading(self._number)
                generations = tuple(
                    LastGeneration(source.names.source, source.generation, source.base)
                    for source in machine.sources
                    if partition < max(source.names.partitions, source.partitions_before)
                )
                self.events.append(ReadingOpened(
                        partition, self._number, machine.stream.created, generations,
                        min((n for n, _ in machine.stream.messages.values()), default=0), machine.stream.sequence,
                    ))
        for partition, reading in self._readings.items():
            if reading.after is not None and reading.wanted:
                self.take(partition, reading, reading.after)

    def take(self, partition: int, reading: ModelReading, after: int) -> None:
        there = self._machine.partition(partition, after)
        found = there[: self._machine.chunk]
        if found and len(found) == len(there):
            found[-1] = found[-1]._replace(is_newest=True)
        if found:
            reading.after, reading.wanted = found[-1].sequence, False
            self.events.append(Chunk(partition, reading.number, found))

    def redeliver(self) -> None:
        for partition, reading in self._readings.items():
            if reading.after is not None and self._connection == self._machine.connection:
                found = [one for one in self._machine.partition(partition, 0) if one.sequence <= reading.after]
                self.events.append(Chunk(partition, reading.number, found))

    def _look(self) -> None:
        machine = self._machine
        machine.workers[self.share.worker] = machine.now
        for number, (name, at) in enumerate(machine.workers.items(), 1):
            if machine.now == at or machine.now - at < LEASE_S:
                self.share.saw_worker(name, number, LEASE_S, at)
        for subject, (revision, body) in machine.leases.messages.items():
            self.share.saw(int(subject), revision, body.decode(), LEASE_S, machine.now)

    def _write(self, write: Write, *, answered: bool) -> None:
        machine = self._machine
        message = Message(str(write.partition), NOTHING, write.worker.encode())
        revision = machine.leases.put(message, write.revision)
        if not answered:
            return
        if revision is not None:
            self.share.wrote(write, revision, machine.now)
        else:
            self.share.refused(write.partition)
            self._look()

    # -- as Member has it

    def next(self, wait_s: float | None) -> ReadingOpened | Began | Chunk | None:
        return self.events.popleft() if self.events else None

    def start(self, partition: int, number: int, after: int) -> None:
        reading = self._current(partition, number)
        if reading is not None:
            reading.after = 0 if after > self._machine.stream.sequence else after
            self.events.append(Began(partition, number, reading.after))
            self.take(partition, reading, reading.after)

    def more(self, partition: int, number: int) -> None:
        reading = self._current(partition, number)
        if reading is not None:
            reading.wanted = True

    def begin(self, partition: int, number: int, lease_s: float) -> bool:
        if self._current(partition, number) is None or not self.share.may_hand_out(partition, self._machine.now):
            self.again(partition, number)
            return False
        self._in_hand[partition] = self._machine.now + lease_s
        return True

    def holds(self, partition: int) -> bool:
        return self.share.holds(partition, self._machine.now)

    def finish(self, partition: int) -> None:
        self._in_hand.pop(partition, None)

    def again(self, partition: int, number: int) -> None:
        if self._current(partition, number) is not None:
            del self._readings[partition]

    def missed(self, missed: dict[str, int]) -> None:
        self._machine.missed |= missed

    def is_idle(self, paused: set[int], missing: set[int]) -> bool:
        return not self.events

    def _current(self, partition: int, number: int) -> ModelReading | None:
        reading = self._readings.get(partition)
        return reading if reading is not None and reading.number == number else None


class Worker(NamedTuple):
    member: ModelMember
    following: FleetFollowing
    in_hand: list[FleetHanded]


class FleetMachine(RuleBasedStateMachine):
    @initialize()
    def begin(self) -> None:
        self.now = 100.0
        self.stream = Stream("1")
        self.earlier = copy.deepcopy(self.stream)
        #: Source -> generation of which a worker has missed something.
        self.missed: dict[str, int] = {}
        #: Messages that a server sends at a time.
        self.chunk = 100
        self.leases = Stream("leases")
        self.connection = 0
        self.workers: dict[str, float] = {}
        self.number = 0
        self.sources = [Source(name) for name in SOURCES]
        for source in self.sources:
            source.fresh(self.stream)
        self.database = sqlite3.connect(":memory:")
        self.store = SqliteFleetStore(self.database)
        #: What the workers have made of it.
        self.results: dict[tuple[str, bytes], int | None] = {}
        #: Acknowledgements that stand still.
        self.stalled: list[tuple[FleetHanded, FleetFlow[bool], OfStore | OfMember]] = []
        #: A source may have a path in two partitions: then it may be at two workers (docs/fleet.md).
        self.is_mixed = False
        self.crew = [self.worker(), self.worker()]
        for source in self.sources:
            for size, path in enumerate(PATHS, 1):
                source.change(path, size)
            source.complete(self.stream)
        for _ in range(2):
            for worker in self.crew:
                worker.member.turn()

    def worker(self) -> Worker:
        self.number += 1
        member = ModelMember(self, f"w{self.number}")
        options = FollowingOptions("g", 2, LEASE_S * 2, 0.0)
        following = FleetFollowing(member, self.store, options, clock=lambda: self.now)  # type: ignore[arg-type]
        return Worker(member, following, [])

    def partition(self, partition: int, after: int) -> list[Arrived]:
        return [
            Arrived(sequence, body)
            for subject, (sequence, body) in sorted(self.stream.messages.items(), key=lambda item: item[1][0])
            if sequence > after and subject.split(".")[2] == str(partition)
        ]

    # -- sources

    @rule(n=st.integers(0, 1), path=st.sampled_from(PATHS), size=st.none() | st.integers(1, 9), is_shipped=st.booleans())
    def change(self, n: int, path: bytes, size: int | None, is_shipped: bool) -> None:
        self.sources[n].change(path, size)
        if is_shipped:
            self.sources[n].ship(self.stream)

    @rule(n=st.integers(0, 1))
    def complete(self, n: int) -> None:
        self.earlier = copy.deepcopy(self.stream)
        self.sources[n].complete(self.stream)

    @precondition(lambda self: any(source.is_complete for source in self.sources))
    @rule(n=st.integers(0, 1), path=st.sampled_from(PATHS))
    def delete_and_purge(self, n: int, path: bytes) -> None:
        """A file goes, others change, and after a while the deletion is old."""
        source = self.sources[n]
        if source.is_complete:
            source.change(path, None)
            source.ship(self.stream)
            for other in PATHS:
                if other != path and other in source.there():
                    source.change(other, source.there()[other])
            source.ship(self.stream)
            source.purge(self.stream)

    @rule(messages=st.sampled_from([1, 2, 100]))
    def hesitate(self, messages: int) -> None:
        """The server sends so many at a time, and the rest when these are done with."""
        self.chunk = messages

    @precondition(lambda self: self.missed)
    @rule()
    def tell_again(self) -> None:
        """As `ShipListings` does: once for all who ask, and not before the last generation is complete."""
        for source in self.sources:
            if self.missed.get(source.names.source, 0) == source.generation and source.is_complete:
                source.fresh(self.stream)
        self.missed.clear()

    @rule(n=st.integers(0, 1), size=st.none() | st.integers(1, 9))
    def new_generation(self, n: int, size: int | None) -> None:
        """While nobody looked a file went or changed."""
        self.sources[n].change(PATHS[1], size)
        self.sources[n].forget()
        self.sources[n].fresh(self.stream)

    @precondition(lambda self: not self.is_mixed)
    @rule(n=st.integers(0, 1), partitions=st.integers(1, 3))
    def other_partitions(self, n: int, partitions: int) -> None:
        source = self.sources[n]
        source.partitions_before = max(source.partitions_before, source.names.partitions, partitions)
        self.is_mixed |= source.names.partitions != partitions
        source.names = Subjects("p", source.names.source, partitions)
        source.fresh(self.stream)

    @rule(n=st.integers(0, 1), path=st.sampled_from(PATHS), partitions=st.integers(1, 3))
    def late(self, n: int, path: bytes, partitions: int) -> None:
        """A ship that was stopped puts an older state where there is none."""
        source = self.sources[n]
        event = Event("created", os.fsdecode(path), False, 9, 9, 1, 0.0)
        names = Subjects("p", source.names.source, partitions)
        if source.generation > 1 and source.partitions_before >= partitions:
            (message,) = messages([event], names, source.generation - 1)
            self.stream.put(message, 0)
            self.is_mixed |= partitions != source.names.partitions

    # -- servers

    @rule()
    def lose_connections(self) -> None:
        self.connection += 1

    @rule()
    def lose_stream(self) -> None:
        self.lose(Stream(self.stream.created + "1"))

    @rule()
    def lose_tail(self) -> None:
        self.lose(copy.deepcopy(self.earlier))

    def lose(self, stream: Stream) -> None:
        self.stream = stream
        self.earlier = copy.deepcopy(stream)
        self.connection += 1
        for source in self.sources:
            source.fresh(self.stream)

    @rule(n=which)
    def redeliver(self, n: int) -> None:
        self.one(n).member.redeliver()

    @rule(seconds=st.sampled_from([LEASE_S / 2, LEASE_S * 1.2]))
    def pass_time(self, seconds: float) -> None:
        """Whoever does nothing meanwhile is stalled."""
        self.now += seconds

    # -- workers

    def one(self, n: int) -> Worker:
        return self.crew[n % len(self.crew)]

    @rule(n=which, answered=st.booleans())
    def turn(self, n: int, answered: bool) -> None:
        self.one(n).member.turn(answered=answered)

    @rule(n=which)
    def work(self, n: int) -> None:
        """Until there are events."""
        self.turn(n, answered=True)
        self.hand_out(n)

    @rule(n=which)
    def hand_out(self, n: int) -> None:
        worker = self.one(n)
        handed = carry_out(worker.following.next())
        while handed is not None and not handed.told.events:
            self.ack(handed)
            handed = carry_out(worker.following.next())
        if handed is None:
            return
        worker.in_hand.append(handed)
        if not self.is_mixed:
            for other in self.crew:
                for held in other.in_hand:
                    if held is not handed and other.member.holds(held.partition):
                        assert not self.paths(held) & self.paths(handed), "a path is at two workers"

    def paths(self, handed: FleetHanded) -> set[tuple[str, str]]:
        return {(event.source, event.path) for event in handed.told.events}

    @precondition(lambda self: any(worker.in_hand for worker in self.crew))
    @rule(n=which, is_acked=st.booleans())
    def end_batch(self, n: int, is_acked: bool) -> None:
        worker = self.one(n)
        if worker.in_hand:
            handed = worker.in_hand.pop(0)
            if is_acked:
                self.ack(handed)
            else:
                carry_out(handed.give_back(None, "") if n else handed.give_back(0.0, ""))

    @precondition(lambda self: any(worker.in_hand for worker in self.crew))
    @rule(n=which)
    def stall_in_ack(self, n: int) -> None:
        """The lease was looked at, and nothing is kept yet. Meanwhile the next worker takes over."""
        worker = self.one(n)
        if worker.in_hand:
            handed = worker.in_hand.pop(0)
            flow = handed.ack()
            step = flow.send(worker.member.holds(handed.partition)) if next(flow) else None
            assert step is not None
            self.stalled.append((handed, flow, step))
            self.pass_time(LEASE_S * 1.2)
            self.finish(n + 1)

    @precondition(lambda self: self.stalled)
    @rule()
    def continue_ack(self) -> None:
        handed, flow, step = self.stalled.pop(0)
        try:
            while True:
                step = flow.send(step.call(*step.arguments))
        except StopIteration as end:
            self.acked(handed, in_time=end.value)

    def ack(self, handed: FleetHanded) -> None:
        self.acked(handed, in_time=carry_out(handed.ack()))

    def acked(self, handed: FleetHanded, *, in_time: bool) -> None:
        if in_time:
            for event in handed.told.events:
                key = event.source, os.fsencode(event.path)
                assert (event.event_type == "modified") <= (key in self.results), "only what is there is modified"
                if event.event_type == "deleted":
                    self.results.pop(key, None)
                else:
                    self.results[key] = event.size

    @rule(n=which)
    def work_off(self, n: int) -> None:
        """Everything, if nothing comes in between."""
        self.finish(n)
        self.is_mixed &= not (all(source.is_complete for source in self.sources) and not self.has_in_hand())

    def has_in_hand(self) -> bool:
        return bool(self.stalled) or any(worker.in_hand for worker in self.crew)

    @precondition(lambda self: self.number < 6)
    @rule(n=which)
    def die(self, n: int) -> None:
        self.crew[n % len(self.crew)] = self.worker()

    @precondition(lambda self: len(self.crew) < 3)
    @rule()
    def join(self) -> None:
        self.crew.append(self.worker())

    def teardown(self) -> None:
        """Once nothing changes any more the results are what is there."""
        if not hasattr(self, "stream"):
            return
        while self.stalled:
            self.continue_ack()
        for worker in self.crew:
            for handed in worker.in_hand:
                self.ack(handed)
            worker.in_hand.clear()
        for source in self.sources:
            source.complete(self.stream)
        self.is_mixed = False
        self.chunk = 100
        for turn in range(16):
            self.now += LEASE_S / 4
            for n in range(len(self.crew)):
                self.finish(n)
            if turn < 8:
                self.tell_again()
                for source in self.sources:
                    source.complete(self.stream)
        assert not self.missed, "nothing was missed since"
        there = {(source.names.source, path): size for source in self.sources for path, size in source.there().items()}
        assert self.results == there
        with contextlib.closing(self.database):
            kept = self.database.execute("SELECT source, path FROM fleet_path WHERE is_there").fetchall()
        assert set(kept) == set(there)

    def finish(self, n: int) -> None:
        """One worker does what there is for it."""
        worker = self.one(n)
        worker.member.turn()
        self.hand_out(n)
        while worker.in_hand:
            self.ack(worker.in_hand.pop())
            worker.member.turn()
            self.hand_out(n)


TestFleet = FleetMachine.TestCase
TestFleet.settings = settings(max_examples=100, stateful_step_count=40)


_paths = st.sampled_from(PATHS)
_steps = st.one_of(
    st.tuples(st.just("delete_and_purge"), st.integers(0, 1), _paths),
    st.tuples(st.just("change"), st.integers(0, 1), _paths, st.none() | st.integers(1, 9), st.just(True)),
    st.tuples(st.just("work_off"), which),
    st.tuples(st.just("work"), which),
    st.tuples(st.just("end_batch"), which, st.booleans()),
    st.tuples(st.just("hesitate"), st.sampled_from([1, 2])),
    st.tuples(st.just("die"), which),
    st.tuples(st.just("tell_again")),
)


@settings(max_examples=100)
@given(steps=st.lists(_steps, max_size=12))
def test_who_has_not_read_a_deletion_that_is_removed_is_told(steps: list[tuple[Any, ...]]) -> None:
    """The same machine, with nothing that begins a generation but who asks for one."""
    machine = FleetMachine()
    machine.begin()
    for n in range(4):
        machine.work_off(n)
    for name, *arguments in steps:
        getattr(machine, name)(*arguments)
    machine.teardown()
