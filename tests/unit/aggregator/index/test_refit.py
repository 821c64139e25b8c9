"""What leaves the scope: told as deleted to those who hold it, or forgotten on demand; a part at a time, across kills."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from entries import Entry, seen

from shardwatch.aggregator.groups.batch import GroupBatch
from shardwatch.aggregator.groups.group import Group
from shardwatch.aggregator.groups.lease_terms import LeaseTerms
from shardwatch.aggregator.index.opening import open_index, refit, refitted
from shardwatch.aggregator.index.refit import Refit
from shardwatch.aggregator.intake.receive import Receiver
from shardwatch.aggregator.protocol.messages import Event
from shardwatch.shard.contract.files.packed import DIRECTORY, FILE
from shardwatch.shard.contract.limits import WIRE_VERSION
from shardwatch.shard.contract.state.planfile import Anchor, Plan
from shardwatch.shard.contract.state.settings import Settings
from shardwatch.shard.contract.wire.frames import Frame, Listing, Synced

Told = list[tuple[str, str]]


def file(name: bytes, version: int = 1, nlink: int = 1) -> Entry:
    return (name, FILE, 1, sum(name), nlink, version, version, version, False)


def folder(name: bytes) -> Entry:
    return (name, DIRECTORY, 0, 0, 0, 0, 0, 0, False)


def wanted(**fields: Any) -> Settings:
    return Settings(**({"roots": (b"/r", b"/s"), "include": ("*.json",), "exclude": ()} | fields))


class Service:
    """An index through starts with other settings, and groups over it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.groups: list[Group] = []
        self.work: Refit | None = None
        self.settings = wanted()
        self.start()
        self.finish()

    def start(self, **fields: Any) -> None:
        if fields:
            self.settings = wanted(**fields)
        self.index, _ = open_index(self.path, self.settings)
        for group in self.groups:
            group.attach(self.index.backlog)
        self.work = refit(self.index, self.settings)

    def finish(self, rows: int = 1000) -> str:
        work, self.work = self.work, None
        while work is not None and work.step(rows):
            pass
        return refitted(work, self.settings) if work else ""

    def again(self, **fields: Any) -> str:
        self.index.close()
        self.start(**fields)
        return self.finish(2)

    def list(self, path: bytes, *entries: Entry) -> None:
        self.index.begin()
        self.index.records.listing(Listing(path, 1, *seen(entries)), [])
        self.index.commit()

    def group(self) -> Group:
        group = Group.new(len(self.groups), "g", "t", 0.0, bit=len(self.groups))
        group.begin(self.index.backlog, 0, 0)
        self.groups.append(group)
        return group

    def pull(self, group: Group) -> Told:
        batch = group.pull(self.index.backlog, 0.0, 1000, LeaseTerms(10.0, "w"), 64)
        if not isinstance(batch, GroupBatch):
            return []
        group.ack(self.index.backlog, batch.number, 0.0)
        return sorted((e.event_type, e.path) for e in batch.events if isinstance(e, Event))


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    service = Service(tmp_path / "index.db")
    service.list(b"/r", file(b"a.json"), file(b"b.json"), folder(b"d"))
    service.list(b"/r/d", file(b"c.json"))
    service.list(b"/s", file(b"e.json"), file(b"f.json"))
    yield service
    service.index.abandon()


NARROWER: dict[str, tuple[dict[str, Any], Told]] = {
    "exclude": ({"exclude": ("b.json",)}, [("deleted", "/r/b.json")]),
    "include": ({"include": ("b.json", "e.json")}, [("deleted", f"/{p}.json") for p in ("r/a", "r/d/c", "s/f")]),
    "a directory": ({"exclude": ("d/",)}, [("deleted", "/r/d/c.json")]),
    "not recursive": ({"recursive": False}, [("deleted", "/r/d/c.json")]),
    "a root": ({"roots": (b"/r",)}, [("deleted", "/s/e.json"), ("deleted", "/s/f.json")]),
    "every root": ({"roots": (b"/x",)}, [("deleted", f"/{p}.json") for p in ("r/a", "r/b", "r/d/c", "s/e", "s/f")]),
}


@pytest.mark.parametrize("case", NARROWER)
def test_what_is_left_out_is_told_as_deleted(service: Service, case: str) -> None:
    """To a group that holds it, and to none that does not; nothing else is told."""
    fields, told = NARROWER[case]
    group, new = service.group(), service.group()
    service.pull(group)
    tick = service.index.tick
    note = service.again(**fields)
    assert f"left out now: {len(told) + (case in ('a directory', 'not recursive', 'every root'))}, reported as deleted" in note
    assert service.pull(group) == told
    assert {kind for kind, _ in service.pull(new)} <= {"created"}
    assert service.index.files == 5 - len(told)
    assert service.index.tick >= tick
    assert service.again() == ""


@pytest.mark.parametrize("case", NARROWER)
def test_what_is_left_out_is_forgotten_on_demand(service: Service, case: str) -> None:
    """`forget_left_out`: nobody is told; the note says what consumers have to do. One that begins afresh gets what is there."""
    fields, gone = NARROWER[case]
    group = service.group()
    service.pull(group)
    note = service.again(**fields, forget_left_out=True)
    assert "forgotten" in note and "groups reset" in note
    assert service.pull(group) == []
    assert service.index.files == 5 - len(gone)
    group.refresh("reset")
    service.pull(group)
    left = {f"/{p}.json" for p in ("r/a", "r/b", "r/d/c", "s/e", "s/f")} - {path for _, path in gone}
    assert service.pull(group) == sorted(("created", path) for path in left)


def test_a_root_that_is_taken_out_and_comes_back(service: Service) -> None:
    """What is there then is told as created, what was deleted meanwhile has been told."""
    group = service.group()
    service.pull(group)
    service.again(roots=(b"/r",))
    assert service.pull(group) == [("deleted", "/s/e.json"), ("deleted", "/s/f.json")]
    service.again()
    service.list(b"/s", file(b"f.json"))
    assert service.pull(group) == [("created", "/s/f.json")]


def test_a_root_that_comes_back_before_anybody_was_told(service: Service) -> None:
    """Of what stayed as it was a group that holds it hears that it was looked at again; of what went, that it is deleted."""
    group = service.group()
    service.pull(group)
    service.again(roots=(b"/r",))
    service.again()
    service.list(b"/s", file(b"f.json"))
    assert service.pull(group) == [("deleted", "/s/e.json"), ("modified", "/s/f.json")]


def test_a_forgotten_root_that_comes_back(service: Service) -> None:
    """What is there is told as created; what was deleted meanwhile is not told, as it was forgotten."""
    group = service.group()
    service.pull(group)
    service.again(roots=(b"/r",), forget_left_out=True)
    service.again(forget_left_out=True)
    service.list(b"/s", file(b"f.json", 2))
    assert service.pull(group) == [("created", "/s/f.json")]


@pytest.mark.parametrize("steps", range(7))
def test_a_walk_that_is_cut_short_is_begun_anew(service: Service, steps: int) -> None:
    """Killed after any step; each path is told once, and the counts are right."""
    group = service.group()
    service.pull(group)
    service.index.close()
    service.start(roots=(b"/r",), exclude=("a.json",))
    assert service.work is not None
    for _ in range(steps):
        service.work.step(1)
    service.index.abandon()
    service.start()
    service.finish(2)
    assert service.pull(group) == [("deleted", "/r/a.json"), ("deleted", "/s/e.json"), ("deleted", "/s/f.json")]
    assert (service.index.files, service.index.directories) == (2, 1)
    service.index.close()
    service.start()
    assert service.work is None


def test_a_sync_waits_until_all_rows_fit(service: Service) -> None:
    """Else a pull after it would not say yet what was left out. At the end of its time it says why."""
    service.index.close()
    service.start(exclude=("b.json",))
    plan = Plan(1, (Anchor(b"/r", "s0", b"/r"),))
    receiver = Receiver(service.index, lambda: plan)
    first, second = receiver.begin_sync(10.0), receiver.begin_sync(20.0)
    ((_, reply),) = receiver.replies(touched_only=False, now=0.0)
    receiver.frame(Frame(WIRE_VERSION, "s0", 1, 1, 1, [Synced(number, []) for number in reply.syncs]), 1.0)
    service.index.commit()
    receiver.finish_syncs(5.0)
    assert receiver.sync_result(first) is None
    receiver.finish_syncs(11.0)
    failed = receiver.sync_result(first)
    assert failed is not None and not failed["ok"] and "new roots and filters" in str(failed["error"])
    service.finish()
    receiver.finish_syncs(12.0)
    assert receiver.sync_result(second) == {"ok": True}


@pytest.fixture
def told_of_directories(service: Service) -> Group:
    """A group that was told of a directory, under settings by which directories are events."""
    service.again(directories=True)
    group = service.group()
    paths = ("r/a.json", "r/b.json", "r/d", "r/d/c.json", "s/e.json", "s/f.json")
    assert service.pull(group) == [("created", f"/{path}") for path in paths]
    return group


def test_directories_that_are_no_events_any_more_are_told_as_deleted(service: Service, told_of_directories: Group) -> None:
    """Once, to those who were told of them; what is below them stays, and nothing more is said of them."""
    new = service.group()
    assert "left out now: 1, reported as deleted" in service.again(directories=False)
    assert service.pull(told_of_directories) == [("deleted", "/r/d")]
    assert ("deleted", "/r/d") not in service.pull(new) and service.index.directories == 1
    service.list(b"/r", file(b"a.json"), file(b"b.json"), folder(b"d"), folder(b"n"))
    assert service.pull(told_of_directories) == []
    service.list(b"/r", file(b"a.json"), file(b"b.json"), folder(b"n"))
    assert service.pull(told_of_directories) == [("deleted", "/r/d/c.json")]
    assert service.again(directories=False) == ""


def test_directories_that_are_no_events_any_more_are_forgotten_on_demand(service: Service, told_of_directories: Group) -> None:
    """`forget_left_out`, as of files."""
    assert "left out now: 1, forgotten" in service.again(directories=False, forget_left_out=True)
    service.list(b"/r", file(b"a.json"), file(b"b.json"))
    assert service.pull(told_of_directories) == [("deleted", "/r/d/c.json")]


@pytest.mark.parametrize("acknowledged", [True, False])
def test_directories_that_are_events_again(service: Service, told_of_directories: Group, acknowledged: bool) -> None:
    """They are told as created if the group knew that they were gone, else as looked at again."""
    service.again(directories=False)
    if acknowledged:
        assert service.pull(told_of_directories) == [("deleted", "/r/d")]
    service.again(directories=True)
    assert service.pull(told_of_directories) == [("created" if acknowledged else "modified", "/r/d")]


@pytest.mark.parametrize("made_again", [True, False])
@pytest.mark.parametrize("before", [True, False])
def test_a_directory_that_goes_while_it_is_no_event_any_more(
    service: Service, told_of_directories: Group, before: bool, made_again: bool
) -> None:
    """Its deletion is told once, whether it went before the settings changed or after; what comes there is no event."""
    if not before:
        service.again(directories=False)
    service.list(b"/r", file(b"a.json"), file(b"b.json"))
    if before:
        service.again(directories=False)
    if made_again:
        service.list(b"/r", file(b"a.json"), file(b"b.json"), folder(b"d"))
    assert service.pull(told_of_directories) == [("deleted", "/r/d"), ("deleted", "/r/d/c.json")]
    assert service.pull(told_of_directories) == [] and service.index.directories == made_again


def test_a_file_in_place_of_a_directory_that_is_no_event_any_more(service: Service, told_of_directories: Group) -> None:
    """A mirror that goes by paths alone is told first that the directory is gone."""
    service.again(directories=False)
    service.list(b"/r", file(b"a.json"), file(b"b.json"), file(b"d"))
    batch = told_of_directories.pull(service.index.backlog, 0.0, 1000, LeaseTerms(10.0, "w"), 64)
    assert isinstance(batch, GroupBatch)
    events = [(e.event_type, e.path, e.is_directory) for e in batch.events if isinstance(e, Event)]
    assert events[0] == ("deleted", "/r/d", True)
    assert sorted(events[1:]) == [("created", "/r/d", False), ("deleted", "/r/d/c.json", False)]


def test_the_row_of_a_directory_that_is_no_event_any_more_leaves_the_queue(service: Service, told_of_directories: Group) -> None:
    """Once all groups have passed it, and it is old enough: no later group walks over it."""
    service.again(directories=False)
    passed = {lane: told_of_directories.unacknowledged.cursor(lane) for lane in service.index.backlog.lanes()}
    service.index.tombstones.collect(passed, 2**62)
    assert len(service.index.backlog.lanes()) == 2
    assert service.pull(told_of_directories) == [("deleted", "/r/d")]
    passed = {lane: told_of_directories.unacknowledged.cursor(lane) for lane in service.index.backlog.lanes()}
    service.index.tombstones.collect(passed, 0)
    assert len(service.index.backlog.lanes()) == 2
    service.index.tombstones.collect(passed, 2**62)
    assert service.index.backlog.lanes() == [0] and service.index.directories == 1


def test_what_is_left_out_owes_nothing(service: Service) -> None:
    """Nobody would look at it again, and a sync would wait for that for ever."""
    service.index.begin()
    service.index.debts.owe(b"/s", b"e.json")
    service.index.debts.owe(b"/r", b"a.json")
    service.index.commit()
    service.again(roots=(b"/r",))
    assert {path: set(names) for path, names in service.index.owed.items()} == {b"/r": {b"a.json"}}
