"""Whatever bytes arrive, decoding refuses them in one way, and never in another."""

from __future__ import annotations

import contextlib

import msgspec
import pytest
from entries import seen
from hypothesis import given
from hypothesis import strategies as st

from shardwatch.aggregator.protocol import messages as protocol
from shardwatch.aggregator.protocol.bounds import PROTOCOL_VERSION
from shardwatch.aggregator.protocol.messages import RefusedError
from shardwatch.aggregator.server.call import Call
from shardwatch.shard.contract.errors import WireError
from shardwatch.shard.contract.files.packed import DIRECTORY, FILE, LINK, WIDTH, pack, pieces, unpack
from shardwatch.shard.contract.limits import WIRE_VERSION
from shardwatch.shard.contract.wire.frames import Baseline, Beat, Frame, Listing, Looks, Reply, decode_down, decode_up, encode

FRAME = Frame(
    WIRE_VERSION, "s0", 3, 1, 7,
    [Listing(b"/r", 5, *seen([(b"a", 1, 1, 2, 1, 10, 20, 30, False)])), Looks(b"/r/d", 6, [], b"", [b"b"]), Baseline(1, 1, 1)],
)  # fmt: skip
BEAT = Beat(WIRE_VERSION, "s0", 3, 1, 99, "watching", "inotify", 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, [])
REPLY = Reply(WIRE_VERSION, 9, 3, 7, False, [1, 2], [(b"/r", [b"a"])])
WHOLE = [encode(FRAME), encode(BEAT), encode(REPLY)]

_leaf = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(max_size=8) | st.binary(max_size=8)
_shallow = _leaf | st.lists(_leaf, max_size=6) | st.dictionaries(st.text(max_size=4), _leaf, max_size=4)
_value = _shallow | st.lists(_shallow, max_size=6) | st.dictionaries(st.text(max_size=4), _shallow, max_size=4)


@st.composite
def mangled(draw: st.DrawFn) -> bytes:
    """A good message, cut, changed, or with something put into it."""
    body = bytearray(draw(st.sampled_from(WHOLE)))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(0, len(body) - 1)))
        how = draw(st.integers(0, 2))
        if how == 0:
            del body[at:]
        elif how == 1 and body:
            body[at] = draw(st.integers(0, 255))
        else:
            body[at:at] = draw(st.binary(max_size=6))
    return bytes(body)


@given(st.binary(max_size=200) | mangled() | _value.map(msgspec.msgpack.encode))
def test_frames(body: bytes) -> None:
    """Upwards and downwards: a message that can be encoded again, or WireError."""
    for decode in (decode_up, decode_down):
        with contextlib.suppress(WireError):
            encode(decode(body))


@given(
    st.binary(max_size=200)
    | _value.map(msgspec.msgpack.encode)
    | st.fixed_dictionaries(
        {"op": st.sampled_from(sorted(protocol.REQUESTS))},
        optional=dict.fromkeys(
            ("v", "id", "group", "batch", "max", "wait_ms", "from", "paths_b64", "tick", "worker", "name", "lease_ms"), _value
        ),
    ).map(msgspec.msgpack.encode)
)
def test_requests(body: bytes) -> None:
    """A typed request with an id that can be sent back, or RefusedError."""
    call = Call([b"peer"], body)
    try:
        call.read(body)
        reply = call.reply({})
    except RefusedError as error:
        reply = call.error(error)
    decoded = msgspec.json.decode(reply) if call.json else msgspec.msgpack.decode(reply)
    assert decoded["v"] == PROTOCOL_VERSION


@given(st.lists(st.sampled_from([b"a", b"b", b"c"]), max_size=3), st.data())
def test_stats(names: list[bytes], data: st.DataObject) -> None:
    """Of a frame that is not refused every stat can be stored: it is one that a shard would send, of a name of its own."""
    good = b"".join(pack(1, 2, 3, 4, 5, 6, kind, 0) for kind in data.draw(st.lists(st.integers(0, 5), max_size=3)))
    stats = bytearray(good)
    for _ in range(data.draw(st.integers(0, 2)) if stats else 0):
        stats[data.draw(st.integers(0, len(stats) - 1))] = data.draw(st.integers(0, 255))
    del stats[len(stats) - data.draw(st.sampled_from((0, 0, 1, 47))) :]
    body = msgspec.msgpack.encode(["frame", WIRE_VERSION, "s0", 3, 1, 7, [[1, b"/r", 5, names, bytes(stats)]]])
    fields = list(unpack(bytes(stats))) if len(stats) % WIDTH == 0 else []
    fits = len(stats) == WIDTH * len(names) == WIDTH * len(set(names)) and all(
        fields[6] in (FILE, DIRECTORY, LINK) and fields[7] in (0, 1) and pack(*fields) == bytes(piece)
        for fields, piece in zip(fields, pieces(bytes(stats)), strict=True)
    )
    if fits:
        frame = decode_up(body)
        assert isinstance(frame, Frame)
        assert frame.records == [Listing(b"/r", 5, names, bytes(stats))]
    else:
        with pytest.raises(WireError):
            decode_up(body)


def test_numbers_that_no_database_holds_are_refused() -> None:
    """A frame that could be decoded and not stored would stop the service for good."""
    for huge in (2**63, 2**64 - 1, -(2**63) - 1):
        for record in ([1, b"/r", huge, [], b""], [1, b"/r", 5, [], b"", None, None, {b"a": huge}]):
            with contextlib.suppress(OverflowError):  # what msgpack can't even say
                body = msgspec.msgpack.encode(["frame", WIRE_VERSION, "s0", 3, 1, 7, [record]])
                with pytest.raises(WireError):
                    decode_up(body)
