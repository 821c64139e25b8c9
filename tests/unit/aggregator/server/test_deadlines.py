"""When what waits has waited for long enough."""

from __future__ import annotations

from shardwatch.aggregator.server.deadlines import Deadlines


def test_what_is_due_is_taken_the_earliest_first() -> None:
    """Once; the rest stays, and is told as the next date."""
    waits: Deadlines[str] = Deadlines()
    for name, when in (("c", 3.0), ("a", 1.0), ("b", 2.0)):
        waits.set(name, when)
    assert waits.first == 1.0
    assert list(waits.take(2.0)) == ["a", "b"]
    assert list(waits.take(2.0)) == []
    assert (len(waits), waits.first) == (1, 3.0)


def test_what_is_dropped_or_set_anew_is_not_due_as_before() -> None:
    """Only the last date of an item counts."""
    waits: Deadlines[str] = Deadlines()
    for name in ("a", "b"):
        waits.set(name, 1.0)
    waits.drop("a")
    waits.drop("a")
    waits.set("b", 5.0)
    assert list(waits.take(4.0)) == []
    assert list(waits) == ["b"]
    assert list(waits.take(5.0)) == ["b"]


def test_what_is_set_meanwhile_is_not_taken() -> None:
    """However early: whoever puts it off by nothing does not wait for ever. One may stop at any item."""
    waits: Deadlines[str] = Deadlines()
    waits.set("a", 1.0)
    waits.set("b", 1.0)
    taken = []
    for name in waits.take(1.0):
        taken.append(name)
        waits.set(name, 1.0)
    assert taken == ["a", "b"]
    assert next(waits.take(1.0)) == "a"
    assert list(waits) == ["b"]


def test_dates_that_are_out_of_date_do_not_pile_up() -> None:
    """An item that is put off again and again costs no memory; its last date is kept."""
    waits: Deadlines[int] = Deadlines()
    for n in range(10_000):
        waits.set(n % 10, float(n))
    assert waits.first > 8000.0
    assert list(waits.take(9995.0)) == list(range(6))
