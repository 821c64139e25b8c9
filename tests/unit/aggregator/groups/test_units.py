"""The units of a group, without a group around them: their numbers, when they are due, and how they end."""

from __future__ import annotations

from shardwatch.aggregator.groups.ended import ENDED_MAX, EndedBatches
from shardwatch.aggregator.groups.group import GroupState
from shardwatch.aggregator.groups.journal import GroupChanged, Journal, UnitGone, UnitsGone
from shardwatch.aggregator.groups.lease_terms import LeaseTerms
from shardwatch.aggregator.groups.record import GroupRecord, GroupRow
from shardwatch.aggregator.groups.redeliveries import Redeliveries
from shardwatch.aggregator.groups.unit import Part, Unit
from shardwatch.aggregator.groups.unit_numbers import NUMBERS_RESERVED, UnitNumbers
from shardwatch.aggregator.groups.units import Fate, Units

ROW = GroupRow(1, "g", "t", 0.0, 0.0, GroupState.ACTIVE.value, "", "i", 0, 0, 7, 3, 0, 0)


def unit(*ticks: int, lane: int = 0) -> Unit:
    return Unit(0, [Part(lane, 0, list(ticks), [b"/r/%d" % tick for tick in ticks])])


def test_a_number_is_stored_before_it_is_given() -> None:
    """A hundred at a time, so that the row is seldom written; the next life goes on behind all of them."""
    journal = Journal()
    numbers = UnitNumbers(journal, 7)
    assert [numbers.take() for _ in range(NUMBERS_RESERVED)] == list(range(7, 7 + NUMBERS_RESERVED))
    assert journal.take() == [GroupChanged()] and numbers.reserved > numbers.next
    assert UnitNumbers(Journal(), numbers.reserved).take() == numbers.reserved


def test_only_a_number_that_was_given_and_is_remembered_tells_of_an_ack() -> None:
    """One of the oldest could be of a batch that failed, and none of the next was handed out."""
    ended = EndedBatches(Journal(), 3, {5: "it was nacked"})
    assert [number for number in range(9) if ended.was_acked(number, 7)] == [3, 4, 6]
    for number in range(7, 7 + ENDED_MAX):
        ended.remember(number, "no")
    assert (ended.floor, ended.why(5), ended.why(7)) == (6, "the group does not know it", "no")


def test_units_come_again_in_the_order_of_their_dates() -> None:
    """Those of one date in the order of their numbers."""
    journal = Journal()
    redeliveries = Redeliveries(journal, UnitNumbers(journal, 1), [])
    for due in (2.0, 1.0, 1.0):
        redeliveries.add([Part(0, 0, [1])], due)
    assert redeliveries.first_due(0.9) is None and redeliveries.next_due() == 1.0
    assert [redeliveries.take_first().number for _ in range(3)] == [2, 3, 1]
    assert redeliveries.next_due() == float("inf") and not redeliveries


def test_what_is_given_up_is_not_handed_out_again() -> None:
    """A unit of which nothing is left is gone; one of another lane stays as it is."""
    journal = Journal()
    redeliveries = Redeliveries(journal, UnitNumbers(journal, 1), [])
    for lane, ticks in ((0, [1, 5]), (0, [6]), (1, [9])):
        redeliveries.add([Part(lane, 0, ticks)], 0.0)
    journal.take()
    redeliveries.give_up(0, 4)
    assert sorted(tick for one in redeliveries for part in one.parts for tick in part.ticks) == [1, 9]
    assert [entry for entry in journal.take() if type(entry) is UnitGone] == [UnitGone(2)]


def test_what_becomes_of_a_batch() -> None:
    """It is on lease, then done or over; and with a revocation everything is over."""
    journal = Journal()
    units = Units(journal, GroupRecord(ROW))
    first, second = unit(1), unit(2)
    for one in (first, second):
        units.leases.lease(one, LeaseTerms(10.0, "w"))
    assert [units.fate(number) for number in (7, 8, 9)] == [Fate.LEASED, Fate.LEASED, Fate.ENDED]
    units.leases.acked(first)
    assert units.fate(7) is Fate.ACKED and units.low(0, 99) == 2
    journal.take()
    units.revoke("somebody asked for it")
    assert (units.fate(8), units.ended.why(8), list(units)) == (Fate.ENDED, "somebody asked for it", [])
    assert journal.take()[-1] == UnitsGone()


def test_what_is_due_already_is_no_date() -> None:
    """It only lacks a pull: the service would wake for it again and again."""
    units = Units(Journal(), GroupRecord(ROW))
    assert units.next_due(0.0) == float("inf")
    units.leases.lease(unit(1), LeaseTerms(10.0, "w"))
    units.redeliveries.add([Part(0, 0, [2])], 5.0)
    assert [units.next_due(now) for now in (0.0, 5.0)] == [5.0, 10.0]


def test_acks_alone_may_be_put_off() -> None:
    """If they are lost, the batches come again; of anything else that is not so."""
    journal = Journal()
    journal.note_all([UnitGone(1), UnitGone(2)])
    assert journal.has_only_acks() and len(journal) == 2
    journal.note(GroupChanged())
    assert not journal.has_only_acks()
    assert len(journal.take()) == 3 and not journal
