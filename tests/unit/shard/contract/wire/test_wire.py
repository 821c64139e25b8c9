"""Frames: exact bytes both ways, and nothing else gets through."""

from __future__ import annotations

import msgspec
import pytest
from entries import Entry, seen

from shardwatch.shard.contract.errors import WireError
from shardwatch.shard.contract.files.packed import A_DIRECTORY, ANOTHER, FILE, NOTHING, pack
from shardwatch.shard.contract.limits import FRAME_BYTES_MAX, WIRE_VERSION
from shardwatch.shard.contract.wire import frames as wire
from shardwatch.shard.contract.wire.frames import (
    Baseline,
    Beat,
    Confirmed,
    Doubt,
    Frame,
    Gone,
    Listing,
    Looks,
    OtherVersionError,
    Reply,
    Synced,
    Verified,
)

ODD = b"new\nline \xff\xfe \xe2\x82 .json"
ENTRY = (ODD, FILE, 2**31, 2**62, 1, 0, -1, 2**62, True)


def frame(*records: wire.Record, version: int = WIRE_VERSION) -> Frame:
    return Frame(version, "s0", 1, 1, 1, list(records))


def beat() -> Beat:
    return Beat(
        version=WIRE_VERSION, shard="s0", epoch=1, generation=1, pid=7, state="watching", backend="inotify", directories=1,
        files=2, watches=1, polled=0, pending=0, unacked=0, overflows=0, rescans=0, hints=3, looks=4, filtered=0, others=0,
        doubts=[Doubt(b"/r/" + ODD, "unreadable", "Permission denied", "chmod", 1)],
    )  # fmt: skip


def test_every_record_arrives_as_it_was_sent() -> None:
    """Names are bytes: newlines and invalid UTF-8 included."""
    sent = frame(
        Listing(b"/r", 5, *seen([ENTRY]), None, ODD),
        Looks(b"/r", 6, *seen([ENTRY]), [b"..x", b"x"]),
        Gone(b"/r/" + ODD, 7),
        Baseline(1, 2, 3),
        Synced(2**40, [b"/r/" + ODD]),
    )
    assert wire.decode_up(wire.encode(sent)) == sent


def test_beats_and_replies_arrive() -> None:
    """The other two kinds of message."""
    assert wire.decode_up(wire.encode(beat())) == beat()
    reply = Reply(WIRE_VERSION, 9, 1, 2, True, [3], [(b"/r", [ODD]), (b"/s", [])])
    assert wire.decode_down(wire.encode(reply)) == reply


def test_a_beat_of_before_there_were_locks_arrives() -> None:
    """And a new one at whoever does not know them: the fields are the last ones, and have defaults."""
    new = msgspec.structs.replace(beat(), locks=[b"/r/.git/index.lock"])
    assert wire.decode_up(wire.encode(new)) == new
    fields = msgspec.msgpack.decode(wire.encode(new))
    assert wire.decode_up(msgspec.msgpack.encode(fields[: 1 + new.__struct_fields__.index("locks")])) == beat()
    assert wire.decode_up(msgspec.msgpack.encode([*fields, "of a later version"])) == new


NO_NAMES = [b"a/b", b"/", b"/a", b"a/", b".", b"..", b"", b"a\0b", b"\0", b"x" * 5000]
NAMES = [b"...", b".a", b"a.", b"..a", b" ", b"\n", b"\xff", b"a\\b", b"~"]
NO_PATHS = [b"", b".", b"r", b"r/a", b"/r/", b"//r", b"/r//a", b"/r/..", b"/r/../x", b"/..", b"/.", b"/r/.", b"/r/./x", b"//"]
NO_PATHS += [b"/r/a\0b", b"\0/r", b"/r\0/s", b"/r\0"]
PATHS = [b"/", b"/r", b"/r/...", b"/r/..a", b"/r/.a", b"/r/a.", b"/r/\n", b"/.git", b"/r/a" + b"/d" * 20_000]


def entry(name: bytes) -> Entry:
    return (name, *ENTRY[1:])


@pytest.mark.parametrize("name", NO_NAMES + NAMES)
def test_a_name_that_no_file_has_is_refused(name: bytes) -> None:
    """A name that leads out of its directory would be believed of another one. All that a file can be called gets through."""
    there = seen([entry(name)])
    records = (Listing(b"/r", 5, *there), Looks(b"/r", 5, *there, []), Looks(b"/r", 5, [], b"", [name]))
    frames = [frame(record) for record in records]
    for sent in frames:
        if name in NAMES:
            assert wire.decode_up(wire.encode(sent)) == sent
        else:
            with pytest.raises(WireError):
                wire.decode_up(wire.encode(sent))
    reply = Reply(WIRE_VERSION, 9, 1, 2, True, [], [(b"/r", [b"good", name])])
    if name in NAMES:
        assert wire.decode_down(wire.encode(reply)) == reply
    else:
        with pytest.raises(WireError):
            wire.decode_down(wire.encode(reply))


@pytest.mark.parametrize("path", NO_PATHS + PATHS, ids=lambda path: repr(path[:20]))
def test_a_path_that_leads_up_is_refused(path: bytes) -> None:
    """In every place of every message: only of an exact path does "begins with the root" mean "lies in it"."""
    upwards: list[Frame | Beat] = [
        frame(Listing(path, 5, [], b"")), frame(Looks(path, 5, [], b"", [b"a"])), frame(Gone(path, 5)),
        frame(Synced(1, [b"/r", path])), frame(Verified(path, 5, [], b"", None, None, [])), frame(Confirmed(path, 5, [], b"")),
        msgspec.structs.replace(beat(), locks=[path]), msgspec.structs.replace(beat(), doubts=[Doubt(path, "polled", "", "")]),
    ]  # fmt: skip
    downwards = Reply(WIRE_VERSION, 9, 1, 2, True, [], [(path, [])])
    if path in PATHS:
        assert [wire.decode_up(wire.encode(sent)) for sent in upwards] == upwards
        assert wire.decode_down(wire.encode(downwards)) == downwards
        return
    for sent in upwards:
        with pytest.raises(WireError):
            wire.decode_up(wire.encode(sent))
    with pytest.raises(WireError):
        wire.decode_down(wire.encode(downwards))


def test_a_record_that_contradicts_itself_is_refused() -> None:
    """A name that is told of twice: the index has one row for it, and would fail."""
    a, twice = entry(b"a"), [b"a", b"a"]
    for record in (Listing(b"/r", 5, *seen([a, a])), Looks(b"/r", 5, *seen([a]), [b"a"]), Looks(b"/r", 5, [], b"", twice)):
        with pytest.raises(WireError, match="mentions a name twice"):
            wire.decode_up(wire.encode(frame(record)))


@pytest.mark.parametrize("body", [b"", b"\xc1", b"hello", msgspec.msgpack.encode({"a": 1}), wire.encode(frame())[:-1]])
def test_garbage_is_refused(body: bytes) -> None:
    """Whoever can write to the socket can't do more than be counted."""
    with pytest.raises(WireError):
        wire.decode_up(body)
    with pytest.raises(WireError):
        wire.decode_down(body)


def test_a_frame_that_is_too_large_is_refused_undecoded() -> None:
    """Its size is known before any memory is spent on it."""
    with pytest.raises(WireError, match="is over"):
        wire.decode_up(memoryview(bytes(FRAME_BYTES_MAX + 1)))
    with pytest.raises(WireError, match="is over"):
        wire.decode_down(memoryview(bytes(FRAME_BYTES_MAX + 1)))


@pytest.mark.parametrize("rest", [[], [{"a field": "that this version does not know"}], [1, 1, [], "", 7, None]])
def test_a_message_of_another_version_says_which_and_whose(rest: list[object]) -> None:
    """Whatever that version changed: only how messages begin is the same in all of them."""
    for kind in ("frame", "beat"):
        with pytest.raises(OtherVersionError, match="version") as refused:
            wire.decode_up(msgspec.msgpack.encode([kind, WIRE_VERSION + 1, "s7", 99, *rest]))
        assert (refused.value.version, refused.value.shard, refused.value.begun) == (WIRE_VERSION + 1, "s7", 99)
        assert "shardwatch up" in refused.value.hint
    for life, begun in ((98, 98), ("of version 3", 0)):
        with pytest.raises(OtherVersionError) as refused:
            wire.decode_down(msgspec.msgpack.encode(["reply", WIRE_VERSION - 1, life, *rest]))
        assert (refused.value.version, refused.value.shard, refused.value.begun) == (WIRE_VERSION - 1, "", begun)


def test_what_can_be_decoded_but_is_of_another_version_is_refused() -> None:
    """It may mean something else there."""
    with pytest.raises(OtherVersionError):
        wire.decode_up(wire.encode(frame(version=WIRE_VERSION + 1)))
    with pytest.raises(OtherVersionError):
        wire.decode_down(wire.encode(Reply(WIRE_VERSION + 1, 9, 1, 2, False)))


def test_nonsense_of_this_version_is_not_of_another_one() -> None:
    """Nobody leaves for it."""
    for body in (["frame", WIRE_VERSION, "s0", 1, {}], ["frame", WIRE_VERSION + 1, 5, 5], ["gossip", WIRE_VERSION + 1, "s0", 1]):
        with pytest.raises(WireError) as refused:
            wire.decode_up(msgspec.msgpack.encode(body))
        assert not isinstance(refused.value, OtherVersionError), body


GOOD = pack(1, 2, 3, 4, 5, 6, FILE, 1)
#: Names, and stats that are not theirs.
ODD_STATS = {
    "no name": ([b""], GOOD),
    "a stat too few": ([b"a", b"b"], GOOD),
    "a stat too many": ([b"a"], GOOD * 2),
    "stats without names": ([], GOOD),
    "a stat that is cut": ([b"a"], GOOD[:-1]),
    "what a look calls absent": ([b"a"], NOTHING),
    "what a look leaves out": ([b"a", b"b"], GOOD + ANOTHER),
    "a kind that there is not": ([b"a"], pack(1, 2, 3, 4, 5, 6, 9, 0)),
    "neither racy nor not": ([b"a"], pack(1, 2, 3, 4, 5, 6, FILE, 2)),
    "bytes that mean nothing": ([b"a"], GOOD[:-1] + b"x"),
    "text": ([b"a"], GOOD.decode("latin-1")),
    "a number": ([b"a"], 7),
}


@pytest.mark.parametrize("tag", [1, 2, 7, 8], ids=["listing", "looks", "verified", "confirmed"])
@pytest.mark.parametrize("case", ODD_STATS)
def test_stats_that_the_index_could_not_hold_are_refused(case: str, tag: int) -> None:
    """Here, and not in the middle of a transaction."""
    rest: dict[int, list[object]] = {2: [[]], 7: [None, None, []]}

    def decoded(names: list[bytes], stats: object) -> Frame | Beat:
        record = [tag, b"/r", 1, names, stats, *rest.get(tag, [])]
        return wire.decode_up(msgspec.msgpack.encode(["frame", WIRE_VERSION, "s0", 1, 1, 1, [record]]))

    sent = decoded([b"a", b"b"], GOOD + A_DIRECTORY)
    assert isinstance(sent, Frame)
    assert sent.records[0].seen == ([b"a", b"b"], GOOD + A_DIRECTORY)  # type: ignore[union-attr]
    with pytest.raises(WireError):
        decoded(*ODD_STATS[case])


def test_nesting_does_not_exhaust_the_stack() -> None:
    """A thousand brackets are an error like any other."""
    with pytest.raises(WireError):
        wire.decode_up(b"\x91" * 100_000)
