"""Events of files that are there, packed as they travel, many at a time and without an object for each of them. Pure.

`pack_events` has a native twin (`shard.compiled`).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import repeat
from typing import Final

import msgspec

from .messages import Event

_encode = msgspec.msgpack.Encoder().encode
_events = msgspec.msgpack.Decoder(list[Event])
#: In how many bytes MessagePack says how many elements an array has, by its first byte. Of few elements it has just that one.
_LENGTH_BYTES: Final = {0xDC: 2, 0xDD: 4}


def pack_events(
    kind: str, paths: Sequence[bytes], sizes: Sequence[int], mtimes_ns: Sequence[int], ticks: Sequence[int],
    observed_at: Sequence[float], /,
) -> bytes:  # fmt: skip
    """An array of the events of some files, all of one kind, as an encoder of MessagePack packs a list of `Event`.

    Raises UnicodeDecodeError if a path is not UTF-8.
    """
    texts = b"\0".join(paths).decode().split("\0")
    return pack(list(map(Event, repeat(kind), texts, repeat(False), sizes, mtimes_ns, ticks, observed_at)))


def pack(events: Sequence[object]) -> bytes:
    """An array of some events."""
    return _encode(events)


def unpack(packed: bytes) -> list[Event]:
    """The events of such an array."""
    return _events.decode(packed)


def joined(count: int, arrays: Sequence[bytes]) -> bytes:
    """One array of the elements of these, of which there are so many."""
    if len(arrays) == 1:
        return arrays[0]
    return b"".join([_head(count), *[memoryview(array)[1 + _LENGTH_BYTES.get(array[0], 0) :] for array in arrays]])


def _head(count: int) -> bytes:
    if count < 1 << 4:
        return bytes([0x90 | count])
    return b"\xdc" + count.to_bytes(2, "big") if count < 1 << 16 else b"\xdd" + count.to_bytes(4, "big")
