"""Requests that no honest worker sends: each gets one short reply with its code, and the service goes on as before."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from harness_serve import Bench

from shardwatch.aggregator.protocol.bounds import ID_BYTES_MAX
from shardwatch.aggregator.protocol.messages import REQUESTS
from shardwatch.shard.contract.input.shown import TEXT_CHARS_MAX, cut, shown

#: A reply about a wrong request quotes little of it.
REPLY_BYTES_MAX = 2000


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path / "groups.db")
    bench.index.put(b"/r/a")
    yield bench
    bench.store.abandon()


def _nested(depth: int, *, json: bool) -> bytes:
    return b"[" * depth + b"]" * depth if json else b"\x91" * depth + b"\x90"


def _answer(bench: Bench, body: bytes) -> dict[str, Any]:
    ((_, reply, _),) = bench.server.handle([b"peer", b"1"], body)
    assert len(reply) < REPLY_BYTES_MAX
    decoded: dict[str, Any] = (msgspec.json if reply[:1] == b"{" else msgspec.msgpack).decode(reply)
    return decoded


FIELDS = ["v", "op", "id", "group", "batch", "max", "wait_ms", "from", "peek", "worker", "lease_ms", "tick", "reason",
          "retry_ms", "paths_b64", "name", "timeout_ms", "unknown"]  # fmt: skip


@pytest.mark.parametrize("depth", [1, 20, 500, 900, *range(930, 1010, 3), 2_000, 100_000])
def test_a_field_that_is_nested_deep(bench: Bench, depth: int) -> None:
    """At every depth, also where the interpreter's stack has room to decode a value and none to show it."""
    for field in FIELDS:
        others = b'"op":"pull",' if field != "op" else b""
        reply = _answer(bench, b'{%s"%s":%s}' % (others, field.encode(), _nested(depth, json=True)))
        assert reply["ok"] is False, field
        body = b"\x82" if others else b"\x81"
        body += msgspec.msgpack.encode("op") + msgspec.msgpack.encode("pull") if others else b""
        reply = _answer(bench, body + msgspec.msgpack.encode(field) + _nested(depth, json=False))
        assert reply["ok"] is False, field
    assert bench.ask("hello")["ok"]


HOSTILE: list[tuple[bytes, str]] = [
    (b'{"v":1e308,"op":"hello"}', "version"),
    (b'{"v":1.0,"op":"hello"}', "version"),
    (b'{"v":%d,"op":"hello"}' % 10**30, "version"),
    (b'{"v":true,"op":"hello"}', "version"),
    (b'{"v":"%s","op":"hello"}' % (b"x" * 1_000_000), "version"),
    (b'{"op":"%s"}' % (b"x" * 1_000_000), "unknown_op"),
    (b'{"op":%s}' % (b"9" * 5_000), "bad_request"),
    (b'{"op":["hello"]}', "unknown_op"),
    (b'{"op":{"op":"hello"}}', "unknown_op"),
    (b'{"op":"hello","op":"destroy"}', "unknown_op"),
    (b'{"op":NaN}', "bad_request"),
    (b'{"op":"hello","id":1e999}', "bad_request"),
    (b'{"op":"pull","group":"a\\u0000b"}', "bad_group"),
    (b'{"op":"pull","group":"a\\ud800b"}', "bad_request"),
    (b'{"op":"pull","group":"a\xffb"}', "bad_request"),
    (b'{"op":"pull","group":"g","from":"%s"}' % (b"x" * 1_000_000), "bad_field"),
    (b'{"op":"pull","group":"g","max":%d}' % -(10**30), "bad_field"),
    (b'{"op":"ack","group":"%s","batch":"x-1"}' % (b"x" * 200), "unknown_group"),
    (b'{"op":"seek","group":"there","tick":%d}' % 10**30, "bad_field"),
    (b'{"op":"ack","group":"there","batch":"%s"}' % (b"9" * 200), "bad_field"),
    (b'{"op":"ack","group":"there","batch":"\xd9\xa3-\xd9\xa3"}', "bad_field"),
    (b'{"op":"hold","name":"\\u202e","lease_ms":1}', "bad_field"),
    (b'{"op":"hello","id":"%s"}' % (b"x" * ID_BYTES_MAX), "bad_field"),
    (b'{"op":"hello","id":[%s0]}' % (b"0," * ID_BYTES_MAX), "bad_field"),
    (b'{' + b",".join(b'"%d":0' % n for n in range(90_000)) + b"}", "unknown_op"),
    (b"\x82\xa2op\xa5hello\xa1v\xc7\x01\x05x", "version"),
    (b"\x81\xa2op\xc4\x05hello", "unknown_op"),
    (b"\x81\xc0\xc0", "unknown_op"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "code"), HOSTILE, ids=range(len(HOSTILE)))
def test_values_of_every_odd_kind(bench: Bench, body: bytes, code: str) -> None:
    """Numbers without an end, texts of a megabyte, names nobody can type, keys given twice, types that JSON does not have."""
    bench.pull("there")
    assert _answer(bench, body)["error"] == code
    assert bench.ask("hello")["ok"]


@pytest.mark.parametrize("op", sorted(REQUESTS))
def test_huge_numbers_are_cut_or_refused(bench: Bench, op: str) -> None:
    """Whatever an op takes as a number may be as large as 64 bits, or larger."""
    batch = bench.pull("g")
    assert batch is not None
    for huge in (2**63 - 1, 2**64 - 1, 10**30):
        fields = {"op": op, "group": "g", "batch": batch["id"], "name": "n", "paths_b64": []}
        numbers = dict.fromkeys(("max", "wait_ms", "lease_ms", "retry_ms", "timeout_ms", "tick"), huge)
        body = msgspec.json.encode(fields | {"id": 1}).decode()[:-1] + "".join(f',"{k}":{v}' for k, v in numbers.items()) + "}"
        for _, reply, _ in bench.server.handle([b"peer", b"1"], body.encode()):
            assert msgspec.json.decode(reply)["ok"] in (True, False)
    bench.crash()
    assert bench.ask("hello")["ok"]


def test_an_id_at_its_bound_comes_back(bench: Bench) -> None:
    """Anything up to ID_BYTES_MAX bytes, of whatever type."""
    for id_ in ("x" * (ID_BYTES_MAX - 3), [[1], {"a": None}], 1.5, None, False, -5):
        body = msgspec.msgpack.encode({"op": "hello", "id": id_})
        ((_, reply, _),) = bench.server.handle([b"peer", b"1"], body)
        assert msgspec.msgpack.decode(reply)["id"] == id_


def test_what_is_shown_is_short() -> None:
    """Of any value, and never an exception."""
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    for value in (deep, {"a": deep}, "x" * 10**6, b"x" * 10**6, 10**10_000, -(10**10_000), float("nan"), object(), None):
        assert len(shown(value)) < 100
    assert shown("op") == "'op'" and shown(7) == "7" and shown(True) == "True" and shown([1]) == "a list"
    assert len(cut("x" * 10**6)) == TEXT_CHARS_MAX + 1
