"""Which request a reply answers, and whether it is an error."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from shardwatch.aggregator.client import replies
from shardwatch.aggregator.client.replies import RequestError
from shardwatch.aggregator.protocol.messages import encode_reply

NUMBERS = [0, 1, 127, 128, 255, 256, 65_535, 65_536, 0x0A0D0A0D, 2**32 - 1, 2**32, 2**63 - 1]


def reply(number: int | None, *, ok: bool = True, **fields: Any) -> bytes:
    """As the service writes it."""
    return encode_reply({"v": 1, "id": number, "ok": ok, **fields}, json=False)


@pytest.mark.parametrize("number", NUMBERS)
def test_a_reply_says_which_request_it_answers(number: int) -> None:
    """Whatever the size of the number, and of the reply: good ones are no errors, and all others are."""
    good = reply(number, batch={"id": "b", "events": list(range(100))})
    assert replies.number_of(good) == number
    assert replies.checked(good) is good

    bad = reply(number, ok=False, error="unknown_batch", message="it is gone", remedy="pull again")
    assert replies.number_of(bad) == number
    with pytest.raises(RequestError, match="it is gone") as refused:
        replies.checked(bad)
    assert refused.value.code == "unknown_batch"


@pytest.mark.parametrize("number", NUMBERS)
def test_a_service_may_write_the_fields_in_any_order(number: int) -> None:
    """The order of fields is no part of the protocol, nor is their number: a later service may have more of them."""
    more = {f"later_{field}": field for field in range(20)}
    for fields in ({"ok": True, "id": number}, {"v": 1, "later": 1, "id": number, "ok": True}, {"id": number, "ok": True} | more):
        body = msgspec.msgpack.encode(fields)
        assert replies.number_of(body) == number
        assert replies.checked(body) is body
    refused = msgspec.msgpack.encode({"v": 1, "ok": False, "error": "busy", "id": number, "nested": {"ok": True}})
    with pytest.raises(RequestError):
        replies.checked(refused)


def test_the_events_of_a_reply_are_not_passed_over_to_find_its_number() -> None:
    """The number stands in front of the events, so it is found even where these are cut off."""
    whole = reply(2**31, batch={"events": list(range(1000))})
    beginning = whole[: len(whole) // 2]
    assert replies.number_of(beginning) == 2**31
    assert replies.checked(beginning) is beginning


@pytest.mark.parametrize("body", [b"", b"\xc1", b"\x83\xa1v\x01\xa2id", msgspec.msgpack.encode({"id": "one"}), reply(None)])
def test_what_is_no_reply_of_ours_has_no_number(body: bytes) -> None:
    """It is passed over, not an error."""
    assert replies.number_of(body) is None
