"""What travels over JetStream: subjects, bodies, and what a stream and a server must be like."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shardwatch.aggregator.protocol.messages import Event
from shardwatch.bridge.protocol.bodies import BODY_BYTES_MAX, NOTHING, Head, Stamp, decode_head, messages, stamp_of
from shardwatch.bridge.protocol.generations import Progress, Target, next_generation, why_new
from shardwatch.bridge.protocol.layouts import KEEP_S, StreamLayout, StreamWish, checked_wish
from shardwatch.bridge.protocol.names import Subjects, as_source
from shardwatch.bridge.protocol.publishing import NONE, GetLast, Last, Put, Remembered, publishing
from shardwatch.bridge.protocol.stream import StreamFacts, server_fault, settings, stream_fault
from shardwatch.shard.contract.errors import UsageError
from shardwatch.shard.contract.limits import PATH_BYTES_MAX

NAMES = Subjects("acme.sw", "build-7", 16)


def _event(path: str, tick: int, kind: str = "modified", moved_from: str | None = None) -> Event:
    event = Event(kind, path, False, 1, 2, tick, 3.0)
    if moved_from is not None:
        event.moved_from = moved_from
    return event


@given(path=st.binary(min_size=1, max_size=300))
def test_the_subject_of_a_path_is_four_tokens_of_letters_and_digits(path: bytes) -> None:
    """Whatever the path is, and it is always the same one."""
    prefix, source, partition, key = NAMES.path(path).rsplit(".", 3)
    assert (prefix, source) == ("acme.sw", "build-7")
    assert 0 <= int(partition) < 16
    assert len(key) == 26 and key.isalnum() and key.islower()
    assert NAMES.path(path) == Subjects("acme.sw", "build-7", 16).path(path)


def test_subjects_that_are_of_no_path_are_none_of_a_path() -> None:
    assert NAMES.head == "acme.sw.build-7.head"
    assert NAMES.end(3) == "acme.sw.build-7.3.end"


@pytest.mark.parametrize(
    ("prefix", "source", "partitions"),
    [
        ("", "a", 1), ("a..b", "a", 1), ("a.*", "a", 1), ("a", "", 1), ("a", "b.c", 1), ("a", ">", 1), ("a", "b", 0),
        ("a", "b", 1025),
    ],
)  # fmt: skip
def test_names_that_mean_something_to_a_server_are_refused(prefix: str, source: str, partitions: int) -> None:
    with pytest.raises(UsageError, match="give"):
        Subjects(prefix, source, partitions)


def test_a_host_name_becomes_a_source() -> None:
    assert as_source("build-7.example.org") == "build-7-example-org"
    assert as_source("") == "source"


def test_a_rename_is_two_messages_and_the_newest_state_of_a_path_is_one() -> None:
    """The old path is made again after the rename, in the same batch."""
    found = messages([_event("/r/b", 7, "moved", "/r/a"), _event("/r/a", 8, "created")], NAMES, 5)
    states = {body["path"]: body for body in (json.loads(message.body) for message in found)}
    assert {path: (state["event_type"], state["tick"]) for path, state in states.items()} == {
        "/r/a": ("created", 8),
        "/r/b": ("created", 7),
    }
    assert "moved_from" not in states["/r/b"]
    (gone, _) = messages([_event("/r/b", 7, "moved", "/r/a")], NAMES, 5)
    assert json.loads(gone.body) == {
        "type": "event", "event_type": "deleted", "path": "/r/a", "is_directory": False, "size": None, "mtime_ns": None,
        "tick": 7, "observed_at": 3.0, "source": "build-7", "generation": 5,
    }  # fmt: skip
    assert gone.stamp == stamp_of(gone.body) == Stamp(5, 7)
    assert gone.subject == NAMES.path(b"/r/a")


@pytest.mark.parametrize("byte", [b"\x01", b"\xff", b'"', b"a"])
def test_the_longest_path_fits_a_body(byte: bytes) -> None:
    """Also where each byte becomes the longest text, and one more is not UTF-8, so that the exact path stands beside it."""
    path = (b"/" + byte * PATH_BYTES_MAX)[: PATH_BYTES_MAX - 1] + b"\xff"
    (message,) = messages([_event(path.decode(errors="surrogateescape"), 2**63 - 1)], NAMES, 2**62)
    assert len(message.body) <= BODY_BYTES_MAX


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b"\xff", b'{"generation": "x"}'])
def test_what_is_none_of_our_messages_is_older_than_all(body: bytes) -> None:
    assert stamp_of(body) == NOTHING
    assert decode_head(body) is None


MIRROR = StreamWish(replicas=1)
LOG = StreamWish(StreamLayout.BATCHES, 1)


def _config(wish: StreamWish = MIRROR, **other: Any) -> dict[str, Any]:
    return settings(wish) | {"subjects": ["acme.sw.>"]} | other


def test_a_stream_that_loses_nothing_is_used() -> None:
    assert stream_fault(_config(), "acme.sw.>", StreamWish()) == ""
    assert stream_fault(_config(max_bytes=1 << 30, max_msg_size=1 << 20), "acme.sw.>", MIRROR) == ""


@pytest.mark.parametrize(
    "other",
    [
        {"discard": "old"}, {"max_age": 60.0}, {"max_msgs": 1000}, {"max_msgs_per_subject": -1}, {"storage": "memory"},
        {"retention": "workqueue"}, {"deny_purge": True}, {"sealed": True}, {"no_ack": True}, {"discard_new_per_subject": True},
        {"max_msg_size": 1000}, {"subjects": ["other.>"]}, {"mirror": {"name": "x"}}, {"num_replicas": 3},
    ],
)  # fmt: skip
def test_a_stream_that_would_lose_something_is_not(other: dict[str, Any]) -> None:
    """The message names the setting, or what is wrong."""
    fault = stream_fault(_config(**other), "acme.sw.>", MIRROR)
    assert next(iter(other)) in fault or "other streams" in fault


def test_a_log_is_kept_for_a_while() -> None:
    """By age, by size, or without end; one that is made has an age. What was made for the other layout is named as such."""
    wish = StreamWish(StreamLayout.BATCHES, 1, keep_s=3600, keep_bytes=1 << 30)
    assert (settings(LOG)["max_age"], settings(LOG)["max_bytes"]) == (KEEP_S, -1)
    assert (settings(wish)["max_age"], settings(wish)["max_bytes"]) == (3600, 1 << 30)
    for config in (_config(LOG), _config(wish), _config(LOG, max_age=0, max_msg_size=1 << 20)):
        assert stream_fault(config, "acme.sw.>", LOG) == ""
        assert StreamFacts("now", config).layout == StreamLayout.BATCHES
        assert "as --layout batches wants it" in stream_fault(config, "acme.sw.>", MIRROR)
    assert "as --layout paths wants it" in stream_fault(_config(), "acme.sw.>", LOG)
    assert StreamFacts("now", _config()).layout == StreamLayout.PATHS


@pytest.mark.parametrize(
    "other",
    [
        {"discard": "new"}, {"max_age": 60.0}, {"max_msgs": 1000}, {"max_msgs_per_subject": 1}, {"max_bytes": 1 << 20},
        {"max_age": 7200.0}, {"max_bytes": 1 << 40}, {"storage": "memory"}, {"max_msg_size": 1000},
    ],
)  # fmt: skip
def test_a_log_that_is_another_one_than_was_asked_for_is_not_used(other: dict[str, Any]) -> None:
    """The message names the setting."""
    wish = StreamWish(StreamLayout.BATCHES, keep_s=3600, keep_bytes=1 << 30)
    assert next(iter(other)) in stream_fault(_config(wish, **other), "acme.sw.>", wish)


@pytest.mark.parametrize(
    ("wish", "complaint"),
    [
        (StreamWish(replicas=6), "--replicas 6"),
        (StreamWish(keep_bytes=1 << 30), "for --layout batches"),
        (StreamWish(StreamLayout.BATCHES, keep_s=599), "--keep-s 599"),
        (StreamWish(StreamLayout.BATCHES, keep_bytes=1), "--keep-bytes 1"),
    ],
)
def test_what_no_stream_can_be_is_refused(wish: StreamWish, complaint: str) -> None:
    with pytest.raises(UsageError) as refused:
        checked_wish(wish)
    assert complaint in refused.value.message and refused.value.hint


def test_which_servers_are_new_enough() -> None:
    assert server_fault("2.9.10", 1) == "" and server_fault("2.10.20", 3) == "" and server_fault("3.0.0", 5) == ""
    assert "2.9.10 is needed" in server_fault("2.9.9", 1)
    assert "2.10.20 is needed for a stream of 3 replicas" in server_fault("2.10.19", 3)
    assert "unknown" in server_fault("", 1)


def test_a_generation_is_above_all_that_were() -> None:
    progress = Progress("s", Target("a", "b", "c", "d"), generation=7)
    assert next_generation(progress, None, 3) == 8
    assert next_generation(progress, None, 1000) == 1000


def test_nothing_was_shipped_yet() -> None:
    """Then the reason says so, whatever the stream has."""
    target = Target("a", "b", "c", "d")
    assert "yet" in why_new(Progress("s", target), target, 16, "now", None)


@pytest.mark.parametrize(
    ("partitions", "created", "known", "why"),
    [
        (16, "then", Stamp(7, 5), ""),
        (16, "then", Stamp(7, 6), ""),
        (8, "then", Stamp(7, 5), "number of partitions"),
        (16, "later", Stamp(7, 5), "made anew"),
        (16, "then", Stamp(7, 4), "lost its last messages"),
        (16, "then", Stamp(6, 9), "lost its last messages"),
        (16, "then", None, "lost its last messages"),
        (16, "then", Stamp(8, 6), "state directory was restored"),
        (16, "then", Stamp(7, 7), "state directory was restored"),
    ],
)
def test_when_a_generation_goes_on(partitions: int, created: str, known: Stamp | None, why: str) -> None:
    """Only if the head in the stream (generation, counter) is as new as what the service keeps, and nothing else has changed."""
    target = Target("a", "b", "c", "d")
    progress = Progress("s", target, created="then", generation=7, counter=5, partitions=16, base=1)
    head = None if known is None else Head("c", "s", "life", known.generation, known.tick, 0, 16, 16, complete=True)
    found = why_new(progress, target, partitions, created, head)
    assert found == why if why == "" else why in found


def test_a_subject_that_is_not_remembered_is_taken_to_be_as_the_last_that_was_looked_at() -> None:
    """A tree that is shipped again has all of its subjects in the stream, so that looking first saves a refusal for each."""
    remembered = Remembered(most=1)
    assert remembered.guess("a") == 0
    remembered.looked(Last(7, Stamp(1, 1)))
    assert remembered.guess("a") is None
    remembered.note("a", 8)
    assert remembered.guess("a") == 8
    remembered.note("b", 9)
    assert remembered.guess("a") is None, "one is remembered"
    remembered.looked(NONE)
    assert remembered.guess("a") == 0


def test_a_message_is_published_only_over_an_older_one() -> None:
    """Whether its subject was looked at first or not."""
    stamp = Stamp(2, 5)
    for guess, first in ((None, GetLast()), (3, Put(3))):
        flow = publishing(stamp, guess)
        assert next(flow) == first
        if guess is not None:
            assert flow.send(None) == GetLast()
        assert flow.send(Last(4, Stamp(2, 4))) == Put(4)
        assert flow.send(None) == GetLast(), "another one was quicker"
        with pytest.raises(StopIteration) as done:
            flow.send(Last(6, stamp))
        assert done.value.value == 6
