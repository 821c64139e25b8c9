"""A durable worker's decisions: what runs when, what is acknowledged, what has failed."""

from __future__ import annotations

from shardwatch.supervisor.runs.change import Change, Taken
from shardwatch.supervisor.runs.command import Command, Input, Run
from shardwatch.supervisor.runs.instructions import Acknowledge, Fail, Stop
from shardwatch.supervisor.runs.schedule import Schedule

KINDS = ("created", "modified", "deleted", "moved")


def schedule(*, jobs: int = 1, paths: int = 1, kinds: tuple[str, ...] = KINDS, retries: bool = True) -> Schedule:
    return Schedule(Command([b"x", b"{}"], Input.ARGS, paths, 10_000, "g"), jobs, kinds, retries=retries)


def batch(name: str, *paths: bytes, kind: str = "created", first: int = 1) -> Taken:
    return Taken(name, 1, 30.0, tuple(Change(path, kind, tick) for tick, path in enumerate(paths, first)))


def next_of(made: Schedule) -> Run:
    run = made.next()
    assert run is not None
    return run


def test_a_run_that_succeeds_is_acknowledged_at_once() -> None:
    """Its ticks, while other runs of the batch go on; with the last one the batch."""
    made = schedule(jobs=2)
    assert made.take(batch("b", b"/a", b"/c")) == []
    first, second = next_of(made), next_of(made)
    assert made.next() is None
    assert made.ended(first, "") == [Acknowledge("b", (1,))]
    assert made.ended(second, "") == [Acknowledge("b", None)]
    assert made.batches() == []


def test_of_a_batch_the_rest_fails() -> None:
    """What succeeded is acknowledged before the batch is said to have failed."""
    made = schedule()
    made.take(batch("b", b"/a", b"/bad", b"/c"))
    assert made.ended(next_of(made), "") == [Acknowledge("b", (1,))]
    assert made.ended(next_of(made), "exit code 1", "the end") == []
    assert made.ended(next_of(made), "") == [Acknowledge("b", (1, 3)), Fail("b", "exit code 1", "the end")]


def test_without_retries_what_failed_is_done() -> None:
    """It is acknowledged like anything else."""
    made = schedule(retries=False)
    made.take(batch("b", b"/a", b"/bad"))
    assert made.ended(next_of(made), "exit code 1") == [Acknowledge("b", (1,))]
    assert made.ended(next_of(made), "exit code 1") == [Acknowledge("b", None)]


def test_kinds_that_nobody_asked_for_are_done() -> None:
    """A batch of nothing else is acknowledged without a run; what fails beside them does not bring them back."""
    made = schedule(kinds=("modified",))
    assert made.take(batch("b", b"/a")) == [Acknowledge("b", None)]
    assert made.next() is None
    mixed = Taken("m", 1, 30.0, (Change(b"/a", "created", 1), Change(b"/b", "modified", 2)))
    assert made.take(mixed) == []
    assert made.ended(next_of(made), "no") == [Acknowledge("m", (1,)), Fail("m", "no", "")]


def test_a_fresh_batch_is_run_alone() -> None:
    """The leases of all others are over: their runs are stopped, and it begins when they have ended."""
    fresh = Taken("f", 1, 30.0, (Change(b"", "fresh", 1),))
    made = schedule(jobs=3, kinds=(*KINDS, "fresh"))
    made.take(batch("b", b"/a", b"/c", b"/d", b"/e"))
    first, second, third = next_of(made), next_of(made), next_of(made)
    assert made.take(fresh) == [Stop(first), Stop(second), Stop(third)]
    assert [one.batch for one in made.batches()] == ["f"]
    for going in (first, second, third):
        assert made.next() is None
        made.ended(going, "stopped")
    assert made.ended(next_of(made), "") == [Acknowledge("f", None)]
    assert schedule().take(fresh) == [Acknowledge("f", None)], "nobody asked for it"


def test_two_runs_never_share_a_path() -> None:
    """A run waits for the path of another, be it the old path of a rename; later ones for other paths need not wait, and later
    ones for the same path do not overtake it."""
    made = schedule(jobs=4)
    made.take(batch("b", b"/a"))
    first = next_of(made)
    changes = (Change(b"/new", "moved", 5, b"/a"), Change(b"/new", "deleted", 6), Change(b"/c", "created", 7))
    made.take(Taken("m", 1, 30.0, changes))
    assert next_of(made).paths() == {b"/c"}
    assert made.next() is None
    made.ended(first, "")
    assert next_of(made).paths() == {b"/new", b"/a"}
    assert made.next() is None


def test_a_lost_lease_ends_its_runs() -> None:
    """What waits is forgotten, what runs is ended, and neither is acknowledged."""
    made = schedule()
    made.take(batch("b", b"/a", b"/c"))
    run = next_of(made)
    assert made.lost("b") == [Stop(run)]
    assert made.ended(run, "ended by SIGTERM") == []
    assert made.next() is None
    assert made.batches() == []


def test_a_batch_that_is_handed_out_twice_is_run_once() -> None:
    """Its answer may come twice when the connection breaks."""
    made = schedule()
    made.take(batch("b", b"/a"))
    assert made.take(batch("b", b"/a")) == []
    made.ended(next_of(made), "")
    assert made.next() is None


def test_what_is_fetched_ahead() -> None:
    """Without, only what can run at once; with it, as many runs as there are jobs wait."""
    made = schedule(jobs=2)
    assert made.is_hungry(ahead=False)
    made.take(batch("b", b"/a", b"/c"))
    assert not made.is_hungry(ahead=False)
    assert not made.is_hungry(ahead=True)
    next_of(made)
    assert not made.is_hungry(ahead=False)
    assert made.is_hungry(ahead=True)
    next_of(made)
    assert not made.is_hungry(ahead=False)


def test_what_is_put_off_waits_until_it_is_resumed() -> None:
    """The rest of its batch does not wait for it, nor does another batch; the batch is done with the last of them."""
    made = schedule()
    made.take(batch("b", b"/loop", b"/a"), late=[1])
    first = next_of(made)
    assert first.paths() == {b"/a"}
    assert made.ended(first, "") == [Acknowledge("b", (2,))]
    assert made.next() is None
    assert made.is_hungry(ahead=False)
    made.take(batch("c", b"/c", first=3))
    assert made.ended(next_of(made), "") == [Acknowledge("c", None)]
    assert [taken.batch for taken in made.batches()] == ["b"]
    assert made.resume("b") == []
    late = next_of(made)
    assert late.paths() == {b"/loop"}
    assert made.ended(late, "") == [Acknowledge("b", None)]


def test_nothing_overtakes_what_is_put_off_for_its_path() -> None:
    """Other changes of the batch that concern the path are put off, too."""
    made = schedule()
    changes = (Change(b"/new", "moved", 5, b"/a"), Change(b"/new", "deleted", 6), Change(b"/c", "created", 7))
    made.take(Taken("m", 1, 30.0, changes), late=[5])
    run = next_of(made)
    assert run.paths() == {b"/c"}
    made.ended(run, "")
    assert made.next() is None
    made.resume("m")
    assert [change.tick for change in next_of(made).changes] == [5]


def test_what_is_put_off_is_lost_with_its_lease() -> None:
    """It is handed out again, perhaps to another worker."""
    made = schedule()
    made.take(batch("b", b"/loop"), late=[1])
    assert made.lost("b") == []
    made.resume("b")
    assert made.next() is None


def test_a_run_for_nothing() -> None:
    """The first run may come before any change; it belongs to no batch."""
    made = schedule()
    made.begin()
    run = next_of(made)
    assert run.changes == ()
    assert made.ended(run, "exit code 1") == []
