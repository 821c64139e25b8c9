"""Does native code do what the Python code does, which is its definition? Same arguments, same results, same errors.

`make sanitize` runs this file with native code that is built with the address and the undefined behaviour sanitizer, and with
more rounds of damaged bytes.
"""

from __future__ import annotations

import os
import random
import struct
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shardwatch.shard.backend import calls
from shardwatch.shard.backend.decoding import Names, decode

_loops = pytest.importorskip("shardwatch.shard.compiled._loops", reason="native code is not built here (Debian: gcc)")

#: Rounds of the test of damaged bytes.
ROUNDS = int(os.environ.get("SW_FUZZ_ROUNDS", "3000"))

# --- decoding -----------------------------------------------------------------------------------------------------------

_Decode = Callable[[bytes, Names, Names, Names], tuple[int, list[tuple[int, int, bytes]]]]
_MASKS = [
    calls.IN_MODIFY, calls.IN_ATTRIB, calls.IN_CLOSE_WRITE, calls.IN_MOVED_FROM, calls.IN_MOVED_TO, calls.IN_CREATE,
    calls.IN_DELETE, calls.IN_DELETE_SELF, calls.IN_MOVE_SELF, calls.IN_UNMOUNT, calls.IN_Q_OVERFLOW, calls.IN_IGNORED,
    calls.IN_CREATE | calls.IN_ISDIR, calls.IN_MOVED_TO | calls.IN_ISDIR, calls.IN_DELETE | calls.IN_ISDIR,
]  # fmt: skip


def _event(watch: int, mask: int, name: bytes, padding: int) -> bytes:
    padded = name + bytes(padding)
    return struct.pack("iIII", watch, mask, 7, len(padded)) + padded


def _decoded(function: _Decode, chunks: list[bytes]) -> object:
    """What a function returns for chunks that come one after the other, and what it adds to the names; or its error."""
    names, came, left = Names(), Names(), Names()
    try:
        returned = [function(chunk, names, came, left) for chunk in chunks]
    except ValueError as error:
        return str(error)
    return returned, names, came, left


_watches = st.sampled_from([-1, 0, 1, 2, 2**31 - 1, -(2**31)])
_masks = st.sampled_from(_MASKS) | st.integers(0, 2**32 - 1)
_names = st.sampled_from([b"", b"a", b"b", b"a\0b", b"x" * 255]) | st.binary(max_size=20)
_events = st.builds(_event, _watches, _masks, _names, st.integers(0, 16))


@given(st.lists(st.lists(_events, max_size=8).map(b"".join), max_size=4))
def test_events_are_decoded_alike(chunks: list[bytes]) -> None:
    """Any watches, masks and names, repeated or not, in several chunks."""
    expected = _decoded(decode, chunks)
    assert not isinstance(expected, str)
    assert _decoded(_loops.decode, chunks) == expected


@given(st.binary(max_size=80))
def test_any_bytes_are_decoded_or_refused_alike(chunk: bytes) -> None:
    """What is no whole number of events is refused, and nothing beyond the chunk is read."""
    assert _decoded(_loops.decode, [chunk]) == _decoded(decode, [chunk])


def test_damaged_events_are_decoded_or_refused_alike() -> None:
    """Good events with bytes that are changed, cut out or put in, also in the lengths."""
    chance = random.Random(11)
    refused = 0
    for _ in range(ROUNDS):
        events = [
            _event(chance.choice((1, 2, -1)), chance.choice(_MASKS), chance.randbytes(chance.randrange(20)), chance.randrange(17))
            for _ in range(chance.randrange(1, 6))
        ]
        damaged = bytearray(b"".join(events))
        for _ in range(chance.randrange(1, 4)):
            at = chance.randrange(len(damaged) + 1)
            damaged[at : at + chance.randrange(5)] = chance.randbytes(chance.randrange(5))
        chunk = bytes(damaged)
        expected = _decoded(decode, [chunk])
        refused += isinstance(expected, str)
        assert _decoded(_loops.decode, [chunk]) == expected, chunk.hex()
    assert 0 < refused < ROUNDS


def test_what_is_no_chunk_is_refused() -> None:
    """By the native function as by every other: with TypeError."""
    wrong: list[tuple[object, ...]] = [(), (b"", {}, {}), ("", {}, {}, {}), (b"", [], {}, {}), (b"", {}, {}, None)]
    for arguments in wrong:
        with pytest.raises(TypeError):
            _loops.decode(*arguments)
