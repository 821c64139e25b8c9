"""Decoding what inotify(7) said: names by watch, and events that are about more than a name. The property tests of native code
take this function for its definition.
"""

from __future__ import annotations

import struct

import pytest

from shardwatch.shard.backend import calls
from shardwatch.shard.backend.decoding import Names, decode


def event(watch: int, mask: int, name: bytes = b"") -> bytes:
    """As the kernel writes it: the name is padded with NULs to a multiple of 16 bytes, one of them at least."""
    padded = name + bytes(16 - len(name) % 16) if name else b""
    return struct.pack("iIII", watch, mask, 0, len(padded)) + padded


def test_names_are_gathered_by_watch() -> None:
    """Each once, without the padding, in one or several chunks."""
    names, came, left = Names(), Names(), Names()
    first = event(1, calls.IN_MODIFY, b"a") + event(1, calls.IN_CLOSE_WRITE, b"a") + event(2, calls.IN_MODIFY, b"a")
    assert decode(first, names, came, left) == (3, [])
    assert decode(event(1, calls.IN_ATTRIB, b"b" * 255), names, came, left) == (1, [])
    assert (names, came, left) == ({1: {b"a", b"b" * 255}, 2: {b"a"}}, {}, {})


def test_names_that_come_or_go_are_said_to() -> None:
    """They are names to look at too."""
    names, came, left = Names(), Names(), Names()
    chunk = event(1, calls.IN_MOVED_FROM, b"old") + event(1, calls.IN_MOVED_TO, b"new") + event(2, calls.IN_DELETE, b"gone")
    assert decode(chunk, names, came, left) == (3, [])
    assert (names, came, left) == ({1: {b"old", b"new"}, 2: {b"gone"}}, {1: {b"new"}}, {1: {b"old"}, 2: {b"gone"}})


def test_what_is_about_more_than_a_name_keeps_its_order() -> None:
    """Directories, the end of a watch, and an overflow."""
    names = Names()
    made, gone = calls.IN_CREATE | calls.IN_ISDIR, calls.IN_DELETE | calls.IN_ISDIR
    chunk = event(1, made, b"d") + event(1, calls.IN_MODIFY, b"f") + event(1, gone, b"d") + event(3, calls.IN_IGNORED)
    chunk += event(-1, calls.IN_Q_OVERFLOW)
    specials = [(1, made, b"d"), (1, gone, b"d"), (3, calls.IN_IGNORED, b""), (-1, calls.IN_Q_OVERFLOW, b"")]
    assert decode(chunk, names, Names(), Names()) == (5, specials)
    assert names == {1: {b"f"}}


@pytest.mark.parametrize("missing", [1, 15, 16, 17, 31])
def test_a_chunk_that_ends_within_an_event_is_refused(missing: int) -> None:
    """The kernel gives none; what cannot be understood must not be taken for a name."""
    chunk = event(1, calls.IN_MODIFY, b"a") + event(1, calls.IN_MODIFY, b"b")
    with pytest.raises(ValueError, match="not a whole number of events"):
        decode(chunk[:-missing], Names(), Names(), Names())
