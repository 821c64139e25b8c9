"""Decoding what fanotify(7) said: names by directory, of known directories only, and whatever is damaged is an error."""

from __future__ import annotations

import random
import struct

import pytest

from shardwatch.shard.backend.decoding import Names
from shardwatch.shard.backend.fan_decoding import Damaged, decode, is_on, number_of
from shardwatch.shard.contract.kernel import fanotify

ID = b"\x01\x02\x03\x04\x05\x06\x07\x00"
#: Handles of three lengths, as ext4, xfs and btrfs have them: length, type, handle.
A, B, C = (struct.pack("=Ii", n, 1) + bytes([n]) * n for n in (8, 12, 20))
KNOWN = {number_of(ID, handle): handle for handle in (A, B, C)}


def record(handle: bytes, name: bytes, kind: int = 2, filesystem: bytes = ID) -> bytes:
    """struct fanotify_event_info_fid, padded to four bytes."""
    body = filesystem + handle + name + b"\0"
    body += bytes(-len(body) % 4)
    return struct.pack("=BxH", kind, 4 + len(body)) + body


def event(mask: int, *records: bytes, version: int = 3) -> bytes:
    body = b"".join(records)
    return struct.pack("=IBxHQii", 24 + len(body), version, 24, mask, -1, 7) + body


def decoded(*events: bytes) -> tuple[int, list[tuple[int, int, bytes]], Names, Names, Names]:
    names, came, left = Names(), Names(), Names()
    count, specials = decode(b"".join(events), KNOWN, names, came, left, others={})
    return count, specials, names, came, left


def test_names_are_gathered_by_directory() -> None:
    """Each once, whatever the length of the handle. Those of directories that are not known are passed over."""
    count, specials, names, came, left = decoded(
        event(fanotify.FAN_MODIFY, record(A, b"a")),
        event(fanotify.FAN_CREATE | fanotify.FAN_CLOSE_WRITE, record(A, b"a")),
        event(fanotify.FAN_ATTRIB, record(B, b"b" * 255)),
        event(fanotify.FAN_MODIFY, record(C, b"\xff\n")),
        event(fanotify.FAN_MODIFY, record(A, b"other", filesystem=bytes(8))),
        event(fanotify.FAN_MODIFY, record(A[:-1] + b"\0", b"other")),
    )
    assert (count, specials) == (4, [])
    assert {KNOWN[number]: some for number, some in names.items()} == {A: {b"a"}, B: {b"b" * 255}, C: {b"\xff\n"}}
    assert (came, left) == ({}, {})


def test_names_that_come_or_go_are_said_to() -> None:
    """What the kernel has put together may have done both."""
    both = fanotify.FAN_MOVED_FROM | fanotify.FAN_MOVED_TO
    a = number_of(ID, A)
    *_, names, came, left = decoded(
        event(fanotify.FAN_MOVED_FROM, record(A, b"old")), event(fanotify.FAN_MOVED_TO, record(A, b"new")),
        event(fanotify.FAN_CREATE | fanotify.FAN_DELETE, record(A, b"gone")), event(both, record(A, b"both")),
    )  # fmt: skip
    assert names == {a: {b"old", b"new", b"gone", b"both"}}
    assert (came, left) == ({a: {b"new", b"both"}}, {a: {b"old", b"gone", b"both"}})


def test_what_is_about_more_than_a_name_keeps_its_order() -> None:
    """Directories, a directory's own end, and an overflow, which has no record."""
    a, directory = number_of(ID, A), fanotify.FAN_ONDIR
    count, specials, names, *_ = decoded(
        event(fanotify.FAN_CREATE | directory, record(A, b"d")),
        event(fanotify.FAN_DELETE_SELF | directory, record(A, b".")),
        event(fanotify.FAN_CREATE | directory, record(A, b".")),
        event(fanotify.FAN_Q_OVERFLOW),
    )
    assert (count, names) == (3, {})
    assert specials == [
        (a, fanotify.FAN_CREATE | directory, b"d"), (a, fanotify.FAN_DELETE_SELF | directory, b""),
        (-1, fanotify.FAN_Q_OVERFLOW, b""),
    ]  # fmt: skip


def test_other_records_are_passed_over() -> None:
    """A later kernel may add some, before or behind the one that counts."""
    other = struct.pack("=BxHq", 99, 12, -1)
    _, _, names, *_ = decoded(event(fanotify.FAN_MODIFY, other, record(A, b"a"), other), event(fanotify.FAN_MODIFY, other))
    assert names == {number_of(ID, A): {b"a"}}


GOOD = event(fanotify.FAN_MODIFY, record(A, b"name"))


@pytest.mark.parametrize(
    "damaged",
    [
        GOOD[:-1],
        GOOD[:23],
        GOOD + b"x",
        event(fanotify.FAN_MODIFY, record(A, b"a"), version=4),
        struct.pack("=IBxHQii", 0, 3, 24, 2, -1, 7),
        struct.pack("=IBxHQii", 24, 3, 23, 2, -1, 7),
        struct.pack("=IBxHQii", 24, 3, 25, 2, -1, 7),
        event(2, b"\x02\0\0"),
        event(2, struct.pack("=BxH", 2, 3)),
        event(2, struct.pack("=BxH", 9, 99)),
        event(2, struct.pack("=BxH8xI", 2, 16, 0)),
        event(2, record(struct.pack("=Ii", 0, 1), b"n")),
        event(2, record(struct.pack("=Ii", 129, 1) + bytes(129), b"n")),
        event(2, record(struct.pack("=Ii", 2**32 - 1, 1) + bytes(8), b"n")),
        event(2, record(struct.pack("=Ii", 12, 1) + bytes(8), b"")),
        event(2, record(A, b"")),
    ],
)
def test_what_is_damaged_is_an_error(damaged: bytes) -> None:
    """It is never read beyond its end, and never goes on for ever."""
    with pytest.raises(Damaged):
        decoded(damaged)


def test_any_bytes_are_decoded_or_an_error() -> None:
    """Single bytes of good chunks changed, and chunks cut."""
    dice = random.Random(15)
    chunk = GOOD + event(fanotify.FAN_CREATE | fanotify.FAN_ONDIR, record(C, b"d")) + event(fanotify.FAN_Q_OVERFLOW) + GOOD
    failed = 0
    for _ in range(5_000):
        broken = bytearray(chunk[: dice.randrange(len(chunk) + 1)] if dice.random() < 0.3 else chunk)
        for _ in range(dice.randrange(3) if broken else 0):
            broken[dice.randrange(len(broken))] = dice.randrange(256)
        try:
            count, specials, names, *_ = decoded(bytes(broken))
        except Damaged:
            failed += 1
            continue
        assert count <= 3 and len(specials) <= 4
        assert names.keys() <= KNOWN.keys()
    assert 1_000 < failed < 4_900


def test_a_number_tells_the_filesystem() -> None:
    """It is larger than any number of an inotify watch."""
    assert all(number >= 1 << 64 and is_on(number, ID) and not is_on(number, bytes(8)) for number in KNOWN)
