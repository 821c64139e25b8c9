"""The rules by which a source is shipped, against a stream in memory, whatever is delayed, lost, killed or repeated.

What is published and when a generation begins is decided by the real code, and both consumers apply the rule of docs/fleet.md.
"""

from __future__ import annotations

import contextlib
import copy
import json
import os
from typing import NamedTuple

from fleet_example import fleet_example
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from msgspec.structs import replace
from stream_model import Stream

from shardwatch.aggregator.protocol.messages import Event
from shardwatch.bridge.protocol.bodies import Head, Message, Stamp, decode_head, encode, end_message, messages
from shardwatch.bridge.protocol.generations import Progress, Target, next_generation, why_new
from shardwatch.bridge.protocol.names import Subjects
from shardwatch.bridge.protocol.publishing import Flow, GetLast, Last, Put, Remembered, publishing

TARGET = Target("s", "p", "one", "ship")
PATHS = [b"/r/a", b"/r/\xff"]
path = st.sampled_from(PATHS)


class Consumer:
    """Applies what a stream has, from where it was."""

    def __init__(self) -> None:
        self._example = fleet_example()
        self.position = 0

    def read(self, stream: Stream) -> None:
        for sequence, body in stream.after(self.position):
            self._example.apply(json.loads(body))
            self.position = sequence

    def files(self) -> dict[bytes, int]:
        return {
            name: event["size"] for (_, name), (_, event) in self._example.mirror.items() if event["event_type"] != "deleted"
        }


class Publication(NamedTuple):
    """A message that a ship has begun to publish."""

    flow: Flow
    step: Put | GetLast
    message: Message
    path: bytes
    tick: int


class ShipMachine(RuleBasedStateMachine):
    @initialize()
    def begin(self) -> None:
        self.names = Subjects("p", "one", 3)
        self.tick = self.clock = 0
        #: Path -> (tick, size; None: deleted), as the index has it.
        self.rows: dict[bytes, tuple[int, int | None]] = {}
        #: What the group has not acknowledged.
        self.pending: set[bytes] = set()
        self.publications: list[Publication] = []
        #: What ships that were stopped, and have a successor by now, have begun: they may go on at any time.
        self.stopped: list[Publication] = []
        #: Messages of ships that are dead, which a server holds still.
        self.held_up: list[tuple[Message, int]] = []
        self.stream = Stream("1")
        self.earlier = copy.deepcopy(self.stream)
        self.progress = Progress("service", TARGET)
        self.running = Consumer()
        self.remembered = Remembered(2)
        self.attach()

    # -- the tree, the index, the stream

    @rule(name=path, size=st.none() | st.integers(1, 9))
    def change(self, name: bytes, size: int | None) -> None:
        self.tick += 1
        self.rows[name] = self.tick, size
        self.pending.add(name)

    @rule()
    def lose_index(self) -> None:
        """Ticks begin again, and what was deleted is not known any more."""
        there = [(name, size) for name, (_, size) in self.rows.items() if size is not None]
        self.rows = {name: (n, size) for n, (name, size) in enumerate(there, 1)}
        self.tick = len(there)
        self.stop()
        self.fresh()

    @rule()
    def lose_stream(self) -> None:
        self.earlier = Stream(self.stream.created + "1")
        self.lose_tail()

    @rule()
    def lose_tail(self) -> None:
        """What came after some moment is gone: power, or a backup. Sequences are then given again, so what expects one of before
        must be gone, too (docs/fleet.md).
        """
        self.stream = copy.deepcopy(self.earlier)
        self.running.position = 0
        self.die()
        self.held_up = [(message, expected) for message, expected in self.held_up if expected == 0]
        self.stopped = [stopped for stopped in self.stopped if stopped.step in (GetLast(), Put(0))]

    @rule()
    def change_partitions(self) -> None:
        self.names = Subjects("p", "one", 4 - self.names.partitions)
        self.die()

    # -- ships

    @rule()
    def die(self) -> None:
        """The ship is stopped, or its connection lost; another one takes its place."""
        self.stop()
        self.attach()

    def stop(self) -> None:
        self.stopped += self.publications
        self.publications = []
        self.remembered = Remembered(2)

    @precondition(lambda self: self.stopped)
    @rule(data=st.data())
    def continue_ship(self, data: st.DataObject) -> None:
        """What it publishes counts for nobody: its head is refused, and its ack comes too late."""
        self.step_of_stopped(data.draw(st.integers(0, len(self.stopped) - 1)))

    def step_of_stopped(self, n: int) -> None:
        publication = self.stopped.pop(n)
        with contextlib.suppress(StopIteration):
            self.stopped.append(publication._replace(step=publication.flow.send(self.answer(publication))))

    def answer(self, publication: Publication) -> int | Last | None:
        message, step = publication.message, publication.step
        if isinstance(step, Put):
            return self.stream.put(message, step.expected)
        last = self.stream.last(message.subject)
        self.remembered.looked(last)
        return last

    def attach(self) -> None:
        if why_new(self.progress, TARGET, self.names.partitions, self.stream.created, self.head()):
            self.fresh()

    def head(self) -> Head | None:
        found = self.stream.messages.get(self.names.head)
        return None if found is None else decode_head(found[1])

    def fresh(self) -> None:
        """As `ShippedSource.begin` does."""
        last, head = self.progress, self.head()
        before = max(last.partitions_before, self.names.partitions, *((head.partitions, head.partitions_before) if head else ()))
        self.progress = replace(
            last,
            created=self.stream.created,
            generation=next_generation(last, head, self.clock),
            partitions=self.names.partitions,
            partitions_before=before,
            counter=max(last.counter, head.counter if head else 0),
            complete=False,
        )
        base = self.advance()  # which changes the progress
        self.progress = replace(self.progress, base=base)
        self.pending = {name for name, (_, size) in self.rows.items() if size is not None}

    def advance(self) -> int:
        """Publishes the head; its sequence."""
        p = self.progress = replace(self.progress, counter=self.progress.counter + 1)
        head = Head("one", p.service, "life", p.generation, p.counter, self.tick, p.partitions, p.partitions_before, p.complete)
        message = Message(self.names.head, Stamp(0, 0), encode(head))
        sequence = self.stream.put(message, self.stream.last(self.names.head).sequence)
        assert sequence is not None
        return sequence

    @precondition(lambda self: self.pending)
    @rule(data=st.data())
    def publish(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.pending)))
        if all(name != publication.path for publication in self.publications):  # one batch at a time, each path once
            self.take(name)

    def take(self, name: bytes) -> None:
        tick, size = self.rows[name]
        kind = "deleted" if size is None else "created"
        event = Event(kind, os.fsdecode(name), False, size, size, tick, 0.0)
        (message,) = messages([event], self.names, self.progress.generation)
        flow = publishing(message.stamp, self.remembered.guess(message.subject))
        self.publications.append(Publication(flow, next(flow), message, name, tick))

    @precondition(lambda self: self.publications)
    @rule(data=st.data(), answered=st.booleans())
    def go_on(self, data: st.DataObject, answered: bool) -> None:
        """One step. Where the answer is lost the batch comes again."""
        self.carry_out(self.publications.pop(data.draw(st.integers(0, len(self.publications) - 1))), answered=answered)

    def carry_out(self, publication: Publication, *, answered: bool = True) -> None:
        answer = self.answer(publication)
        if not answered:
            return
        try:
            self.publications.append(publication._replace(step=publication.flow.send(answer)))
        except StopIteration as end:
            self.remembered.note(publication.message.subject, end.value)
            assert self.stream.last(publication.message.subject).stamp >= publication.message.stamp
            self.advance()
            if self.rows[publication.path][0] == publication.tick:
                self.pending.discard(publication.path)

    @rule()
    def ship_all(self) -> None:
        self.earlier = copy.deepcopy(self.stream)
        while self.pending or self.publications:
            while self.publications:
                self.carry_out(self.publications.pop())
            if self.pending:
                self.take(min(self.pending))
        if not self.progress.complete:
            self.complete()
        late = Consumer()
        late.read(self.stream)
        assert late.files() == self.there()

    def there(self) -> dict[bytes, int]:
        """What every consumer must have in the end."""
        return {name: size for name, (_, size) in self.rows.items() if size is not None}

    @precondition(lambda self: self.publications)
    @rule(data=st.data())
    def stop_server(self, data: st.DataObject) -> None:
        """It holds a message whose ship dies; it may go on with it at any time."""
        publication = self.publications.pop(data.draw(st.integers(0, len(self.publications) - 1)))
        if isinstance(publication.step, Put):
            self.held_up.append((publication.message, publication.step.expected))
        self.die()

    @precondition(lambda self: self.held_up)
    @rule(data=st.data())
    def continue_server(self, data: st.DataObject) -> None:
        self.stream.put(*self.held_up.pop(data.draw(st.integers(0, len(self.held_up) - 1))))

    @precondition(lambda self: not (self.progress.complete or self.pending or self.publications))
    @rule()
    def complete(self) -> None:
        """As `ShippedSource.complete` does."""
        for n in range(max(self.progress.partitions_before, self.progress.partitions)):
            message = end_message(self.names, self.progress.generation, n)
            self.finish(publishing(message.stamp, 0), message)
        self.stream.purge(self.progress.base)
        self.progress = replace(self.progress, complete=True, partitions_before=self.progress.partitions)
        self.advance()

    def finish(self, flow: Flow, message: Message) -> None:
        step = next(flow)
        while True:
            answer = self.stream.put(message, step.expected) if isinstance(step, Put) else self.stream.last(message.subject)
            try:
                step = flow.send(answer)
            except StopIteration:
                return

    # -- consumers

    @rule()
    def consume(self) -> None:
        self.running.read(self.stream)

    def teardown(self) -> None:
        """Once nothing changes any more, both consumers have what is there, and go on having it."""
        if not hasattr(self, "stream"):
            return
        self.die()
        self.ship_all()
        for late in (Consumer(), Consumer()):
            for consumer in (late, self.running):
                consumer.read(self.stream)
                assert consumer.files() == self.there()
            while self.held_up:
                self.stream.put(*self.held_up.pop())
            while self.stopped:
                self.step_of_stopped(-1)


TestShip = ShipMachine.TestCase
TestShip.settings = settings(max_examples=70)


def test_what_a_stream_has_lost_is_shipped_again() -> None:
    """The same machine, by hand: the stream goes back to before the last file, and nothing else happens. Only the counter of its
    head says so.
    """
    machine = ShipMachine()
    machine.begin()
    machine.change(name=PATHS[0], size=1)
    machine.ship_all()
    machine.lose_tail()
    machine.teardown()
