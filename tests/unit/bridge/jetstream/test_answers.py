"""What JetStream answers to a message, and to a question for one."""

from __future__ import annotations

from shardwatch.bridge.jetstream.answers import NotDone, message_of, sequence_of


def test_a_message_that_was_published_has_a_sequence_or_a_reason() -> None:
    assert sequence_of(b'{"stream": "s", "seq": 4}') == 4
    refused = b'{"error": {"code": 400, "err_code": 10071, "description": "wrong last sequence: 4"}, "stream": "s", "seq": 0}'
    assert sequence_of(refused) == NotDone(10071, "wrong last sequence: 4")
    assert sequence_of(b"") == NotDone(), "nobody listens"


def test_a_message_that_was_asked_for_is_there_or_not() -> None:
    assert message_of(b'{"type": "x", "message": {"subject": "a", "seq": 4, "data": "eyJ9"}}') == (4, b'{"}')
    assert message_of(b'{"message": {"subject": "a", "seq": 5, "hdrs": "TkFUUw=="}}') == (5, b""), "an empty one"
    missing = b'{"type": "x", "error": {"code": 404, "err_code": 10037, "description": "no message found"}}'
    assert message_of(missing) == NotDone(10037, "no message found")
    assert message_of(b"") == NotDone(), "nobody listens"
