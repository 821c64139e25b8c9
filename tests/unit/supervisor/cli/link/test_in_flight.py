"""Requests of a command that has several of them under way: which reply answers which, and what is sent again."""

from __future__ import annotations

import math

import msgspec
import pytest

from shardwatch.aggregator.client.requests import Request
from shardwatch.shard.contract.errors import UsageError
from shardwatch.supervisor.cli.link.in_flight import ANSWER_S, REFUSED_S, InFlight

PULL = Request("pull", {"group": "g"}, 5.0)
ACK = Request("ack", {"group": "g", "batch": "t-1"})


def test_an_answer_is_passed_on_once() -> None:
    """By its number; what nobody asked for is dropped."""
    flight = InFlight(frozenset())
    first, second = flight.add(PULL, 0.0), flight.add(ACK, 0.0)
    assert flight.answered({"id": second, "ok": True}, 1.0)
    assert not flight.answered({"id": second, "ok": True}, 1.0)
    assert not flight.answered({"id": 77, "ok": True}, 1.0)
    assert not flight.answered({"id": None, "ok": False, "error": "bad_request"}, 1.0)
    assert len(flight) == 1
    assert flight.answered({"id": first, "ok": False, "error": "busy"}, 1.0)
    assert len(flight) == 0


def test_a_batch_is_never_dropped() -> None:
    """Its request was sent twice, and is answered twice: the second batch is on lease too."""
    flight = InFlight(frozenset())
    number = flight.add(PULL, 0.0)
    reply = {"id": number, "ok": True, "batch": {"id": "t-1"}}
    assert flight.answered(reply, 1.0)
    assert flight.answered(reply, 1.0)
    assert not flight.answered({"id": number, "ok": True, "batch": "t-1"}, 1.0)  # an ack's names the batch only


def test_what_is_not_answered_in_time_is_due_again() -> None:
    """Its own wait is added; from when it was really sent, if the connection was made later."""
    flight = InFlight(frozenset())
    assert flight.next_due() == math.inf
    flight.add(PULL, 100.0)
    flight.add(ACK, 101.0)
    assert flight.next_due() == 100.0 + 1.0 + ANSWER_S
    flight.begin_anew(200.0)
    assert flight.next_due() == 200.0 + ANSWER_S
    assert [msgspec.msgpack.decode(frame)["op"] for frame in flight.frames()] == ["pull", "ack"]


def test_a_refusal_that_passes_is_no_answer() -> None:
    """The same request is due again soon, for whoever goes on for ever; others are told."""
    flight = InFlight(frozenset({"stopping"}))
    number = flight.add(PULL, 100.0)
    assert not flight.answered({"id": number, "ok": False, "error": "stopping"}, 101.0)
    assert flight.next_due() == 101.0 + REFUSED_S
    assert flight.answered({"id": number, "ok": False, "error": "bad_group"}, 102.0)


def test_what_was_refused_for_now_is_not_put_off_by_the_connection() -> None:
    """The refusal may be read before the event that the connection is there: else it would wait as if it were not answered."""
    flight = InFlight(frozenset({"storage"}))
    number = flight.add(PULL, 100.0)
    flight.begin_anew(101.0)
    assert not flight.answered({"id": number, "ok": False, "error": "storage"}, 102.0)
    other = flight.add(ACK, 103.0)
    flight.connected(150.0)
    assert flight.next_due() == 102.0 + REFUSED_S
    flight.forget(number)
    assert flight.next_due() == 150.0 + ANSWER_S
    flight.forget(other)
    number = flight.add(PULL, 200.0)
    assert not flight.answered({"id": number, "ok": False, "error": "storage"}, 201.0)
    flight.begin_anew(202.0)  # it is asked again
    flight.connected(203.0)
    assert flight.next_due() == 203.0 + 5.0 + ANSWER_S


def test_at_the_end_only_acks_and_releases_are_waited_for() -> None:
    """A pull that was given up is not."""
    flight = InFlight(frozenset())
    number = flight.add(PULL, 0.0)
    assert not flight.ends_leases
    ack = flight.add(ACK, 0.0)
    assert flight.ends_leases
    flight.keep_lease_ends()
    assert not flight.answered({"id": number, "ok": True, "batch": None}, 1.0)
    assert flight.answered({"id": ack, "ok": True}, 1.0)
    assert not flight.ends_leases


def test_what_can_not_be_sent_is_not_noted() -> None:
    """The next request is numbered as if it had never been asked."""
    flight = InFlight(frozenset())
    with pytest.raises(UsageError, match=r"^'\\udcff' is no text in UTF-8 and can't be sent \(`pull`\)"):
        flight.add(Request("pull", {"group": "\udcff"}), 0.0)
    with pytest.raises(UsageError, match="the request `pull` can't be sent"):
        flight.add(Request("pull", {"max": 1 << 64}), 0.0)
    assert len(flight) == 0
    assert flight.add(PULL, 0.0) == 1
