"""Does native code do what the Python code does, which is its definition? Same arguments, same results, same errors.

`make sanitize` runs this file with native code that is built with the address and the undefined behaviour sanitizer, and with
more rounds of damaged bytes.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shardwatch.aggregator.groups.unit import sums
from shardwatch.aggregator.index.condensed import condense, expand
from shardwatch.aggregator.index.page import checksum, page_of
from shardwatch.aggregator.index.pages import whole
from shardwatch.aggregator.index.stretch import paths_below
from shardwatch.aggregator.protocol.messages import Event
from shardwatch.aggregator.protocol.packing import pack_events, unpack
from shardwatch.shard.backend import calls
from shardwatch.shard.backend.decoding import Names, decode
from shardwatch.shard.contract.filter.pattern import Names as Patterns
from shardwatch.shard.contract.filter.pattern import parse
from shardwatch.shard.contract.state.directory import TAG_NAME
from shardwatch.shard.disk.entering import LISTING_BYTES_MAX, Entered, enter_each
from shardwatch.shard.disk.reading import NAMES_AT_ONCE, list_names, look_at, look_in_each

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


# --- stats of a page ------------------------------------------------------------------------------------------------------

_words = st.sampled_from([-(2**63), -1, 0, 1, 255, 256, 65_535, 65_536, 2**32 - 1, 2**32, 2**63 - 1])
_some_stats = st.lists(st.lists(_words, min_size=6, max_size=6) | st.just([7, 7, 9, 9, 1, 2]), min_size=1, max_size=9)


@example([[-(2**63)] * 6], [], -1)
@given(_some_stats, st.lists(st.tuples(st.integers(0, 200), st.binary(max_size=3)), max_size=3), st.integers(-1, 10))
def test_stats_are_condensed_and_expanded_alike(
    words: list[list[int]], damage: list[tuple[int, bytes]], other: int
) -> None:
    """Any words; and bytes that are changed, or taken for those of another number of files, are expanded or refused alike."""
    stats = b"".join([struct.pack("<6q", *one) for one in words])
    stored = condense(stats)
    assert _loops.condense(stats) == stored
    assert _loops.expand(stored, len(words)) == stats
    damaged = bytearray(stored)
    for at, put in damage:
        damaged[at : at + len(put)] = put
    for count in (len(words), other):
        assert _expanded(_loops.expand, bytes(damaged), count) == _expanded(expand, bytes(damaged), count)


def test_fewer_than_no_files_have_no_stats() -> None:
    """Not even if the bytes are as many as that would take."""
    stored = condense(struct.pack("<6q", 7, 7, 9, 9, 1, 2))
    assert [_expanded(function, stored, -1) for function in (expand, _loops.expand)] == [None, None]


def _expanded(function: Callable[[bytes, int], bytes], stored: bytes, count: int) -> bytes | None:
    """None: refused."""
    try:
        return function(stored, count)
    except ValueError:
        return None


def test_what_are_no_stats_is_refused() -> None:
    for wrong in ("", None, b"", bytes(47), bytearray(48)):
        with pytest.raises(TypeError):
            _loops.condense(wrong)
    for arguments in ((), (b"",), ("", 1), (b"", None)):
        with pytest.raises(TypeError):
            _loops.expand(*arguments)


# --- events as they travel -------------------------------------------------------------------------------------------------

_numbers = st.sampled_from([0, 31, 32, 127, 128, 255, 256, 65_535, 65_536, 2**32 - 1, 2**32, 2**63 - 1]) | st.sampled_from(
    [-1, -32, -33, -128, -129, -32_768, -32_769, -(2**31), -(2**31) - 1, -(2**63)]
)
_texts = st.text(st.characters(blacklist_characters="\0", blacklist_categories=["Cs"]), max_size=40)
_paths = st.one_of(
    _texts.map(str.encode), st.sampled_from([31, 32, 255, 256, 65_535, 65_536]).map(lambda size: b"x" * size),
    st.binary(max_size=9).map(lambda found: found.replace(b"\0", b"/")), st.just(b"/a/\xed\xa0\x80"),
)  # fmt: skip
_some_events = st.lists(st.tuples(_paths, _numbers, _numbers, _numbers, st.floats(allow_nan=False)), max_size=20)


@given(st.sampled_from(["created", "modified"]), _some_events)
def test_events_are_packed_alike(kind: str, events: list[tuple[bytes, int, int, int, float]]) -> None:
    """Any paths, those that are no text too, and any numbers, whether they are in a list or in the stats of pages."""
    paths, sizes, mtimes_ns, ticks, observed_at = (list(column) for column in zip(*events, strict=True)) if events else [[]] * 5
    expected = _packed(pack_events, kind, paths, sizes, mtimes_ns, ticks, observed_at)
    assert _packed(_loops.pack_events, kind, paths, sizes, mtimes_ns, ticks, observed_at) == expected
    words = memoryview(b"".join([struct.pack("<6q", 0, *some, 0, 0, 0) for some in zip(sizes, mtimes_ns, strict=True)])).cast("q")
    for function in (pack_events, _loops.pack_events):
        assert _packed(function, kind, paths, words[1::6], words[2::6], ticks, observed_at) == expected
    if expected is not None:
        texts = [path.decode() for path in paths]
        rows = zip(texts, [False] * len(texts), sizes, mtimes_ns, ticks, observed_at, strict=True)
        made = [Event(kind, *row) for row in rows]
        assert expected == msgspec.msgpack.encode(made)
        assert unpack(expected) == made


def _packed(function: Callable[..., bytes], *arguments: object) -> bytes | None:
    """None: a path is no text."""
    try:
        return function(*arguments)
    except UnicodeDecodeError:
        return None


def test_what_are_no_events_is_refused() -> None:
    """Columns of different lengths, and of other things than numbers."""
    good: list[object] = ["created", [b"a"], [1], [2], [3], [4.0]]
    _loops.pack_events(*good)
    wrong = [(0, None), (0, "x" * 33), (1, ["a"]), (1, None), (2, []), (2, ["1"]), (2, [2**63]), (2, b"12345678"), (3, None)]
    for place, value in [*wrong, (4, [1, 2]), (5, ["1"]), (5, []), (5, None)]:
        with pytest.raises((TypeError, ValueError, OverflowError)):
            _loops.pack_events(*good[:place], value, *good[place + 1 :])


# --- pages ------------------------------------------------------------------------------------------------------------------

_columns = st.one_of(_words, st.binary(max_size=12), st.sampled_from([None, "a", 1.5, 2**63, b"\1" * 3]))


@given(
    st.lists(st.binary(min_size=1, max_size=40).map(lambda name: name.replace(b"\0", b"/")), min_size=1, max_size=9),
    _words, st.one_of(_words, st.binary(max_size=12)), st.lists(st.tuples(st.integers(0, 12), _columns), max_size=2),
    st.lists(st.just(b"/r"), max_size=1),
)  # fmt: skip
def test_pages_are_checked_alike(
    names: list[bytes], word: int, held: int | bytes, damage: list[tuple[int, object]], more: list[bytes]
) -> None:
    """Good ones, and those in which a column is another one; beside other columns or not."""
    stats = struct.pack("<6q", word, 2, 3, 3, 42, 1) * len(names)
    fields = (7, 3, names[0], names[-1], word, 2, 9, held, 5, b"\1" * len(names), b"", b"\0".join(names), stats)
    sealed = page_of((*fields[:10], checksum(fields), *fields[11:]))
    assert _loops.checksum(fields) == _loops.checksum(sealed) == sealed.crc
    row: list[Any] = [*sealed[:-1], condense(stats)]
    assert whole((*row, *more)) == _loops.whole((*row, *more)) == sealed
    for place, value in damage:
        row[place] = value
    results = []
    for function in (whole, _loops.whole):
        try:
            results.append(function((*row, *more)))
        except (TypeError, ValueError, OverflowError, struct.error):
            results.append(None)
    assert results[0] == results[1]
    assert paths_below(b"/r/", sealed.names) == _loops.paths_below(b"/r/", sealed.names) == [b"/r/" + name for name in names]
    assert sums(names) == _loops.sums(names) == _loops.sums(tuple(names))


def test_what_is_no_page_is_refused() -> None:
    """By the native functions as by every other: with TypeError."""
    for function, wrong in (
        (_loops.checksum, ((), None, tuple(range(12)), tuple(range(13)), [1] * 13)),
        (_loops.whole, ((), None, tuple(range(13)), [1] * 13)),
        (_loops.sums, (None, 1, ["a"], [None])),
    ):
        for value in wrong:
            with pytest.raises(TypeError):
                function(value)
    for arguments in ((), (b"/",), ("/", b"a"), (b"/", None)):
        with pytest.raises(TypeError):
            _loops.paths_below(*arguments)
    assert _loops.paths_below(b"/", b"") == paths_below(b"/", b"")
    assert _loops.sums([]) == sums([]) == b""


# --- watching -----------------------------------------------------------------------------------------------------------


def test_both_watch_the_same_directory(tmp_path: Path) -> None:
    """A watch of one of them is a watch of the other: the mask is added to. What can't be watched raises the same error."""
    instance, fd = calls.init(), os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    file = os.open(tmp_path / "file", os.O_CREAT | os.O_WRONLY, 0o600)
    try:
        found = [function(instance, fd, mask) for function in _WATCHES for mask in (calls.IN_DELETE, calls.IN_CREATE)]
        assert found == found[:1] * 4
        (tmp_path / "made").mkdir()
        (tmp_path / "made").rmdir()
        count, specials = decode(os.read(instance, 4096), Names(), Names(), Names())
        assert (count, [name for _, _, name in specials]) == (2, [b"made", b"made"])
        for arguments in ((instance, file, calls.IN_ONLYDIR | calls.IN_CREATE), (instance, -1, 1), (fd, fd, 1)):
            errors = []
            for function in _WATCHES:
                with pytest.raises(OSError) as caught:
                    function(*arguments)
                errors.append((type(caught.value), caught.value.args))
            assert errors[0] == errors[1]
    finally:
        for descriptor in (instance, fd, file):
            os.close(descriptor)


_WATCHES: list[Callable[[int, int, int], int]] = [calls.watch_open, _loops.watch_open]


# --- directories and looks ------------------------------------------------------------------------------------------------

_AN_HOUR = 3_600 * 10**9


def _make(name: bytes, kind: str, time_s: int, fd: int) -> None:
    """Something of that kind in the directory open at `fd`, with that time of modification."""
    match kind:
        case "file":
            os.close(os.open(name, os.O_CREAT | os.O_WRONLY, 0o600, dir_fd=fd))
        case "directory":
            os.mkdir(name, dir_fd=fd)
        case "fifo":
            os.mkfifo(name, dir_fd=fd)
        case "socket":
            with socket.socket(socket.AF_UNIX) as made:
                made.bind(b"/proc/self/fd/%d/%s" % (fd, name))
        case "link":
            os.symlink(b".", name, dir_fd=fd)
        case "dangling link":
            os.symlink(b"nowhere", name, dir_fd=fd)
    os.utime(name, ns=(0, time_s * 10**9 + 7), dir_fd=fd, follow_symlinks=False)


@contextlib.contextmanager
def _directory(entries: dict[bytes, tuple[str, int]]) -> Iterator[int]:
    """A descriptor of a new directory with these entries: name -> (kind, time of modification in seconds)."""
    at = tempfile.mkdtemp()
    fd = os.open(at, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for name, (kind, time_s) in entries.items():
            _make(name, kind, time_s, fd)
        yield fd
    finally:
        os.close(fd)
        shutil.rmtree(at)


_kinds = st.sampled_from(["file", "file", "directory", "fifo", "socket", "link", "dangling link"])
#: Before 1970, and beyond 2262, where nanoseconds leave 64 bits: as far as the filesystem stores them.
_times = st.sampled_from([0, -1, -(2**31), 2**32, 2**33, 9_223_372_036, 9_223_372_037, 2**40]) | st.integers(0, 2**31)
_file_names = st.binary(min_size=1, max_size=60).filter(lambda name: not set(name) & set(b"/\0") and name not in (b".", b".."))


_picked = st.sampled_from([("*",), ("*a", "b*", "*c*d*", "e*f", "*.json"), ("x", "abc")])
_left_out = st.sampled_from([(), ("a*", "*b"), ("*a*", "x", "c*d*e")])


def _patterns(*texts: str) -> Patterns:
    """Those of `pattern`, each of one component."""
    rules = [parse(text) for text in texts]
    return Patterns(segment for rule in rules if rule is not None for segment in rule.segments if segment is not None)


@given(
    entries=st.dictionaries(_file_names, st.tuples(_kinds, _times), max_size=12),
    others=st.lists(_file_names | st.just(b"x" * 255), max_size=3),
    start=st.integers(0, 20),
    clock=st.sampled_from([0, -_AN_HOUR, _AN_HOUR, -(2**63), 2**63 - 1]),
    invented=st.booleans(),
)
def test_directories_are_read_alike(
    entries: dict[bytes, tuple[str, int]], others: list[bytes], start: int, clock: int, invented: bool
) -> None:
    """Everything that a directory may contain, and names that it does not have; the clock at, before and after the changes."""
    with _directory(entries) as fd:
        listed = list_names(fd, int)
        assert _loops.list_names(fd, int) == listed
        assert sorted([*listed[0], *listed[1]]) == sorted(entries)
        names = [*listed[0], *others, *listed[1], *(name + b"/x" for name in listed[0])]
        start = min(start, len(names))
        now = os.fstat(fd).st_ctime_ns
        coarse = now + clock if abs(clock) <= _AN_HOUR else clock
        for device in (os.fstat(fd).st_dev, -1):
            arguments = (fd, names, start, coarse, device, invented)
            assert _loops.look_at(*arguments) == look_at(*arguments)
        assert _loops.list_names(fd, int) == listed  # the descriptor is at the beginning again


def _without_processes(listed: tuple[list[bytes], list[bytes]]) -> list[bytes]:
    """All names, sorted. Processes come and go in /proc."""
    return sorted(name for some in listed for name in some if not name.isdigit())


@pytest.mark.parametrize("path", ["/", "/dev", "/proc", "/proc/self", "/sys/kernel"])
def test_directories_of_the_system_are_read_alike(path: str) -> None:
    """Devices, and names that lie on other devices."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        names, native = (_without_processes(function(fd, int)) for function in (list_names, _loops.list_names))
        assert native == names
        for start in range(len(names)):
            arguments = (fd, names, start, 0, os.fstat(fd).st_dev, False)
            stats, device = _loops.look_at(*arguments)
            assert (len(stats), device) == (len(look_at(*arguments)[0]), look_at(*arguments)[1])
    finally:
        os.close(fd)


def _error(function: Callable[..., object], *arguments: object) -> tuple[type, int, object]:
    with pytest.raises((OSError, ValueError)) as raised:
        function(*arguments)
    error = raised.value
    return type(error), getattr(error, "errno", 0), getattr(error, "filename", None) if function.__name__ == "look_at" else None


def test_errors_are_alike(tmp_path: Path) -> None:
    """Of descriptors that are closed, of files, or only lead on; and of names that are too long, or no names."""
    (tmp_path / "f").write_text("x")
    for path, flags in ((tmp_path, os.O_PATH), (tmp_path / "f", os.O_RDONLY), (tmp_path, os.O_RDONLY)):
        fd = os.open(path, flags)
        if flags != os.O_RDONLY or path.name == "f":
            assert _error(_loops.list_names, fd, int) == _error(list_names, fd, int)
        for name in (b"x" * 256, b"f\0"):
            arguments = (fd, [b"none", name], 0, 0, -1, False)
            if path.name != "f":
                assert _error(_loops.look_at, *arguments) == _error(look_at, *arguments)
        os.close(fd)
    assert _error(_loops.list_names, fd, int) == _error(list_names, fd, int)
    assert _error(_loops.look_at, fd, [b"a"], 0, 0, -1, False) == _error(look_at, fd, [b"a"], 0, 0, -1, False)


@given(
    entries=st.dictionaries(_file_names, st.tuples(_kinds, _times), max_size=12),
    others=st.lists(_file_names | st.just(b"x" * 256), max_size=3),
    clock=st.sampled_from([0, -_AN_HOUR, _AN_HOUR]),
    invented=st.booleans(),
    picked=_picked,
    left_out=_left_out,
)
def test_many_directories_are_looked_at_alike(
    entries: dict[bytes, tuple[str, int]],
    others: list[bytes],
    clock: int,
    invented: bool,
    picked: tuple[str, ...],
    left_out: tuple[str, ...],
) -> None:
    """One with everything that a directory may contain, with the watch that is expected and with another one; and what is no
    directory, is not there, is reached by a link, or has a path that is too long. Everything is kept, or what some patterns say,
    or others, in turn."""
    instance = calls.init()
    with _directory(entries) as fd:
        path = os.fsencode(os.readlink(f"/proc/self/fd/{fd}"))
        watch = calls.add_watch(instance, path, calls.IN_CREATE)
        names = {*entries, *others}
        kept = [None, (_patterns(*picked), _patterns(*left_out)), (_patterns("*a"), _patterns()), None]
        places = [path + b"/" + name for name in entries] + [path, path + b"/nowhere", b"relative", path + b"/." * 3_000]
        asked = [(place, number, names, some) for place in places for number in (watch, watch + 1) for some in kept]
        asked += [(path, watch, set(), kept[1]), *((path, watch, {name}, some) for name in sorted(names) for some in kept)]
        now = os.fstat(fd).st_ctime_ns
        for device in (os.fstat(fd).st_dev, -1):
            arguments = (asked, instance, now + clock, device, invented)
            found = look_in_each(*arguments)
            assert _loops.look_in_each(*arguments) == found
            assert found[(len(entries) * 2 + 1) * len(kept)] == watch  # another one was expected
    os.close(instance)


def test_directories_that_are_none_are_refused_alike() -> None:
    """A NUL in a path or a name, also one that would not be kept; anything but (path, watch, names, kept)."""
    instance = calls.init()
    watch = calls.add_watch(instance, b"/", calls.IN_CREATE)
    none, every = _patterns(), _patterns("*")
    for wrong in ((b"/\0", watch, set(), None), (b"/", watch, {b"a", b"b\0"}, None), (b"/", watch, {b"b\0"}, (none, none))):
        for function in (look_in_each, _loops.look_in_each):
            with pytest.raises(ValueError, match="embedded null"):
                function([wrong], instance, 0, os.stat("/").st_dev, False)
    others: list[object] = [
        None, (b"/",), ("/", 1, set(), None), (b"/", "1", set(), None), (b"/", 1, [b"a"], None), (b"/", 1, {"a"}, None),
        (b"/", 1, set()), (b"/", 1, {b"a", 1}, None), (b"/", 1, set(), [every, every]), (b"/", 1, set(), (every,)),
        (b"/", 1, {b"a"}, (every, _patterns("?"))),
    ]  # fmt: skip
    for other in others:
        with pytest.raises(TypeError):
            _loops.look_in_each([(b"/", 1, {b"a"}, (every, none)), other], instance, 0, 0, False)
    with pytest.raises(AttributeError):
        _loops.look_in_each([(b"/", 1, set(), (every, None))], instance, 0, 0, False)
    with pytest.raises(TypeError):
        _loops.look_in_each(((b"/", 1, set(), None),), instance, 0, 0, False)
    assert _loops.look_in_each([], instance, 0, 0, False) == look_in_each([], instance, 0, 0, False) == []
    os.close(instance)


# --- directories that lie side by side ------------------------------------------------------------------------------------

_IN = calls.IN_CREATE | calls.IN_ONLYDIR
#: Of a round that is not ended by the clock.
_LONG = 2**62


def _entered(found: list[Entered | int]) -> list[object]:
    """The same, with the inode number of what is open in the place of each descriptor, which is closed."""
    told: list[object] = []
    for one in found:
        if isinstance(one, int):
            told.append(one)
            continue
        watch, fd, *rest = one
        told.append((watch, os.fstat(fd).st_ino if fd >= 0 else -1, *rest))
        if fd >= 0:
            os.close(fd)
    return told


def _open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@given(
    entries=st.dictionaries(_file_names, st.tuples(_kinds, _times), max_size=12),
    inner=st.lists(_file_names, max_size=2),
    clock=st.sampled_from([0, -_AN_HOUR, _AN_HOUR]),
    invented=st.booleans(),
    picked=_picked,
    left_out=_left_out,
)
def test_directories_are_entered_alike(
    entries: dict[bytes, tuple[str, int]],
    inner: list[bytes],
    clock: int,
    invented: bool,
    picked: tuple[str, ...],
    left_out: tuple[str, ...],
) -> None:
    """One with everything that a directory may contain, and its directories, of which some contain others; what is no directory,
    and what is not there. Each has the same watch, and no descriptor is left."""
    instance = calls.init()
    with _directory(entries) as fd:
        for name, (kind, _) in entries.items():
            for below in inner if kind == "directory" else ():
                os.makedirs(b"/proc/self/fd/%d/%s/%s" % (fd, name, below), exist_ok=True)
        before, now = _open_descriptors(), os.fstat(fd).st_ctime_ns
        for device in (os.fstat(fd).st_dev, -1):
            arguments = (fd, [b".", *entries, b"x" * 256, b"none"], (instance, _IN), (_patterns(*picked), _patterns(*left_out)),
                         now + clock, (device, invented), _LONG)  # fmt: skip
            expected = _entered(enter_each(*arguments))
            assert _entered(_loops.enter_each(*arguments)) == expected
            assert len(expected) == len(entries) + 3
        assert _open_descriptors() == before
    os.close(instance)


@given(st.binary(max_size=30).filter(lambda name: not set(name) & set(b"/\0") and name not in (b"", b".", b"..")))
def test_patterns_match_alike(name: bytes) -> None:
    """Names of the letters of the patterns, and others; each pattern by itself, and several that begin alike or not."""
    patterns = ("*a", "b*", "*ab*ba*", "a*b", "aba", "**b*", "a*a*a", "é*b", "ba", "éa*")
    sets: list[tuple[tuple[str, ...], tuple[str, ...]]] = [((pattern,), ()) for pattern in patterns]
    sets += [(patterns, ("ba", "a*")), (("*",), patterns[1:5]), (("*",), patterns[4:])]
    letters = b"".join((b"a", b"b", "é".encode())[byte % 3] for byte in name)
    instance = calls.init()
    for given_name in (name, letters):
        with _directory({given_name: ("dangling link", 0)}) as fd:
            for picked, left_out in sets:
                kept, device = (_patterns(*picked), _patterns(*left_out)), os.fstat(fd).st_dev
                arguments = (fd, [b"."], (instance, _IN), kept, 0, (device, False), _LONG)
                assert _entered(_loops.enter_each(*arguments)) == _entered(enter_each(*arguments)), (picked, left_out)
    os.close(instance)


def test_large_directories_and_those_of_a_state_are_left_alone_alike(tmp_path: Path) -> None:
    """At the bound and one name beyond it; the name of a state directory's tag; and the bound of time after the first of many."""
    instance = calls.init()
    fits = (LISTING_BYTES_MAX - 48) // 40
    for name, count in (("fits", fits), ("beyond", fits + 1)):
        (tmp_path / name).mkdir()
        for number in range(count):
            os.symlink(b".", tmp_path / name / f"{number:013}")  # 40 bytes
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / os.fsdecode(TAG_NAME)).write_text("")
    fd = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    names = [b"fits", b"beyond", b"state"]
    for time_ns, known in ((_LONG, [True, False, False]), (0, [True])):
        arguments = (fd, names, (instance, _IN), (_patterns("*"), _patterns()), 0, (os.fstat(fd).st_dev, False), time_ns)
        expected = _entered(enter_each(*arguments))
        assert _entered(_loops.enter_each(*arguments)) == expected
        assert [not isinstance(one, int) for one in expected] == known
    os.close(fd)
    os.close(instance)


def test_siblings_that_are_none_are_refused_alike() -> None:
    """A NUL in a name; anything but a list of names and patterns; an instance that is none. Nothing is opened."""
    instance, fd = calls.init(), os.open("/", os.O_RDONLY | os.O_DIRECTORY)
    before, every = _open_descriptors(), _patterns("*")
    for function in (enter_each, _loops.enter_each):
        with pytest.raises(ValueError, match="embedded null"):
            function(fd, [b"usr", b"a\0"], (instance, _IN), (every, every), 0, (0, False), _LONG)
        assert function(fd, [], (instance, _IN), (every, every), 0, (0, False), _LONG) == []
        assert function(fd, [b"."], (fd, _IN), (every, every), 0, (0, False), _LONG) == [-1]
    wrong: list[tuple[object, ...]] = [((b".",), every), (["."], every), ([b"."], None), ([b"."], _patterns("?"))]
    for names, patterns in wrong:
        with pytest.raises((TypeError, AttributeError)):
            _loops.enter_each(fd, names, (instance, _IN), (patterns, every), 0, (0, False), _LONG)
    assert _open_descriptors() == before
    os.close(fd)
    os.close(instance)


def test_a_directory_that_was_removed_is_empty(tmp_path: Path) -> None:
    """The kernel says ENOENT, and readdir(3) that this is the end."""
    (tmp_path / "d").mkdir()
    fd = os.open(tmp_path / "d", os.O_RDONLY | os.O_DIRECTORY)
    (tmp_path / "d").rmdir()
    assert _loops.list_names(fd, int) == list_names(fd, int) == ([], [])
    os.close(fd)


@pytest.mark.parametrize("count", [NAMES_AT_ONCE - 1, NAMES_AT_ONCE, NAMES_AT_ONCE + 1, 3 * NAMES_AT_ONCE])
def test_signs_of_life_are_alike(tmp_path: Path, count: int) -> None:
    """As many, the same error from within one, and a listing from the beginning after it."""
    for number in range(count):
        os.symlink(b".", tmp_path / f"{number:05}")
    fd = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    signs: list[str] = []
    listed = [function(fd, lambda: signs.append("")) for function in (list_names, _loops.list_names)]
    assert listed[0] == listed[1]
    assert len(signs) == 2 * (count // NAMES_AT_ONCE)
    if signs:
        for function in (list_names, _loops.list_names):
            with pytest.raises(ZeroDivisionError):
                function(fd, lambda: 1 // 0)
            assert function(fd, int) == listed[0]
    os.close(fd)


def test_a_sign_of_life_must_be_a_function(tmp_path: Path) -> None:
    """Anything else is an error where it is needed."""
    for number in range(NAMES_AT_ONCE):
        os.symlink(b".", tmp_path / f"{number:05}")
    fd = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    for function in (list_names, _loops.list_names):
        with pytest.raises(TypeError):
            function(fd, None)  # type: ignore[arg-type]
    os.close(fd)


def test_signals_in_the_midst_of_a_listing_change_nothing(tmp_path: Path) -> None:
    """They arrive while native code runs, and their handlers run afterwards; nothing is listed twice or left out."""
    for number in range(5_000):
        os.symlink(b".", tmp_path / f"{number:05}")
    fd = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    expected = list_names(fd, int)
    names, device = sorted(expected[0]), os.fstat(fd).st_dev
    stats = look_at(fd, names, 0, 0, device, False)
    came: list[int] = []

    def handle(number: int, frame: FrameType | None) -> None:
        came.append(number)

    before = signal.signal(signal.SIGALRM, handle)
    signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
    try:
        while len(came) < 50:
            assert _loops.list_names(fd, int) == expected
            assert _loops.look_at(fd, names, 0, 0, device, False) == stats
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        os.close(fd)


# --- a kernel that answers as it is told ----------------------------------------------------------------------------------

_TESTS = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def odd_kernel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`odd_kernel.c`, compiled."""
    library = tmp_path_factory.mktemp("odd") / "odd_kernel.so"
    subprocess.run(["gcc", "-shared", "-fPIC", "-O1", _TESTS / "odd_kernel.c", "-o", library], check=True)
    return library


def _under(odd_kernel: Path, *arguments: str) -> dict[str, int]:
    """How often what happened, in `odd_kernel.py`."""
    preloaded = " ".join(filter(None, [os.environ.get("LD_PRELOAD"), str(odd_kernel)]))
    env = os.environ | {"LD_PRELOAD": preloaded, "PYTHONPATH": str(_TESTS.parent / "src")}
    program = [sys.executable, str(_TESTS / "odd_kernel.py"), *arguments]
    done = subprocess.run(program, env=env, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


@pytest.mark.needs("gcc")
def test_whatever_the_kernel_says_is_understood_alike(odd_kernel: Path) -> None:
    """Listings that fail midway (EINTR too), entries whose type is not told, names that are given twice, every error of a look,
    and stats as no usual filesystem has them: times and numbers at the ends of their ranges, clocks at the edge of what is racy.
    """
    happened = _under(odd_kernel, "random", str(ROUNDS), "20")
    assert happened.pop("listings") == happened.pop("looks") == ROUNDS
    assert happened.keys() == {
        "entered", "left alone", "listings that failed", "signs of life", "looks that failed",
        "looks that ended at another device", "racy", "not racy",
    }  # fmt: skip
    assert min(happened.values()) > 0


@pytest.mark.needs("gcc")
def test_other_threads_run_while_the_kernel_takes_its_time(odd_kernel: Path) -> None:
    """A filesystem may take long to answer: the thread that empties inotify's queue must not wait for it."""
    assert _under(odd_kernel, "waits") == {"list_names": 1, "look_at": 1, "look_in_each": 1, "enter_each": 1}
