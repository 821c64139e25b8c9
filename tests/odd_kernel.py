"""Native code and Python code under a kernel that answers as it is told (`odd_kernel.c`): both must say the same.

A program of its own, because the answers come through LD_PRELOAD:

    LD_PRELOAD=odd_kernel.so python tests/odd_kernel.py random ROUNDS SEED
    LD_PRELOAD=odd_kernel.so python tests/odd_kernel.py waits

It exits with an error at the first difference, and prints as JSON how often what happened.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import random
import stat
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from shardwatch.shard.backend import calls
from shardwatch.shard.compiled import _loops
from shardwatch.shard.contract.files.packed import INT_MAX, INT_MIN, WIDTH
from shardwatch.shard.contract.filter.pattern import Names, Segment
from shardwatch.shard.disk import entering, reading

_DT_UNKNOWN, _DT_FIFO, _DT_DIR, _DT_REG, _DT_LNK, _DT_SOCK = 0, 1, 4, 8, 10, 12
_TYPES = (_DT_UNKNOWN, _DT_FIFO, _DT_DIR, _DT_REG, _DT_LNK, _DT_SOCK)
_KINDS = (stat.S_IFREG, stat.S_IFREG, stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK, stat.S_IFIFO, stat.S_IFSOCK, stat.S_IFCHR)
_ERRORS = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EACCES, errno.EIO, errno.EINTR, errno.ESTALE, errno.ENOMEM)
_SECOND = 1_000_000_000


class _Entry(ctypes.Structure):
    _fields_ = (("type", ctypes.c_ubyte), ("name", ctypes.c_char * 256))


class _Answer(ctypes.Structure):
    _fields_ = tuple(
        (name, ctypes.c_longlong)
        for name in ("error", "mode", "ino", "dev", "nlink", "size", "mtime_s", "mtime_ns", "ctime_s", "ctime_ns")
    )


class OddKernel:
    """What `odd_kernel.c` answers."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL(None)
        self._entries: ctypes.Array[_Entry] | None = None
        self._answers: ctypes.Array[_Answer] | None = None

    def _set(self, name: str, value: int) -> None:
        kind = ctypes.c_int if name in ("odd_active", "odd_pipe") else ctypes.c_longlong
        kind.in_dll(self._library, name).value = value

    def contains(self, entries: list[tuple[int, bytes]], error: int) -> None:
        """Every directory: (d_type, name) of each entry, and the error with which reading it ends, or 0."""
        self._entries = (_Entry * (len(entries) + 1))(*(_Entry(*entry) for entry in entries))
        ctypes.c_void_p.in_dll(self._library, "odd_entries").value = ctypes.addressof(self._entries)
        self._set("odd_entry_count", len(entries))
        self._set("odd_entry_error", error)

    def answers(self, answers: list[tuple[int, ...]]) -> None:
        """What stat(2) says of the name "0", "1" and so on."""
        self._answers = (_Answer * (len(answers) + 1))(*(_Answer(*answer) for answer in answers))
        ctypes.c_void_p.in_dll(self._library, "odd_answers").value = ctypes.addressof(self._answers)
        self._set("odd_answer_count", len(answers))

    def waits(self, pipe: int) -> None:
        """A byte of this pipe is read before each answer."""
        self._set("odd_pipe", pipe)

    @contextmanager
    def active(self) -> Iterator[None]:
        self._set("odd_entry_next", 0)
        self._set("odd_active", 1)
        try:
            yield
        finally:
            self._set("odd_active", 0)


def result(kernel: OddKernel, function: Callable[..., Any], *arguments: object) -> object:
    """What a function returns, or its error: the type, the number and the file name. Of a descriptor that it opened, which is
    closed, only that it is one."""
    with kernel.active():
        try:
            found = function(*arguments)
            if function.__name__ == "enter_each" and not isinstance(found[0], int):
                watch, fd, *rest = found[0]
                if fd >= 0:
                    os.close(fd)
                return [(watch, fd >= 0, *rest)]
            return found
        except OSError as error:
            # Python has a name as text where it reads a directory, and no file name where the directory can't be read.
            name = os.fsencode(error.filename) if isinstance(error.filename, str | bytes) else None
            return type(error), error.errno, name


def same(kernel: OddKernel, name: str, *arguments: object) -> Any:
    """What both say."""
    ours = result(kernel, getattr(_loops, name), *arguments)
    theirs = result(kernel, getattr(entering if name == "enter_each" else reading, name), *arguments)
    if ours != theirs:
        raise AssertionError(f"{name}{arguments}: native {ours!r}, Python {theirs!r}")
    return ours


def same_listing(kernel: OddKernel, fd: int) -> tuple[Any, int]:
    """What both say of a directory, and how many signs of life they give, also where the listing fails in the end."""
    said: list[list[int]] = [[], []]
    ours, theirs = (
        result(kernel, module.list_names, fd, lambda signs=signs: signs.append(1))
        for module, signs in zip((_loops, reading), said, strict=True)
    )
    if (ours, said[0]) != (theirs, said[1]):
        raise AssertionError(f"list_names: native {ours!r}, {len(said[0])} signs; Python {theirs!r}, {len(said[1])} signs")
    return ours, len(said[0])


def _time(chance: random.Random) -> tuple[int, int]:
    """(seconds, nanoseconds): now, before 1970, and at and beyond both ends of 64 bits of nanoseconds; often a whole second."""
    seconds = chance.choice((
        0, 1_700_000_000 + chance.randrange(4), -1, -1 - chance.randrange(10**6), INT_MAX // _SECOND, INT_MAX // _SECOND + 1,
        INT_MIN // _SECOND, INT_MIN // _SECOND - 1, INT_MAX, INT_MIN, chance.randrange(-(10**10), 10**10),
    ))  # fmt: skip
    edges = (0, 0, 500_000_000, 1_000_000, INT_MAX % _SECOND, INT_MAX % _SECOND + 1, INT_MIN % _SECOND, INT_MIN % _SECOND - 1)
    return seconds, chance.choice((*edges, chance.randrange(_SECOND)))


def _answer(chance: random.Random) -> tuple[int, ...]:
    error = chance.choice(_ERRORS) if chance.random() < 0.1 else 0
    mode = chance.choice(_KINDS) | chance.randrange(0o10000)
    ino = chance.choice((1, chance.randrange(2**63), INT_MAX, -1, INT_MIN))  # without a sign: up to 2**64 - 1
    device = 1 if chance.random() < 0.9 else chance.choice((2, 2**32))
    nlink = chance.choice((1, 2, 2**32 - 1, 2**32, 2**63 - 1))
    size = chance.choice((0, 1, chance.randrange(2**63), INT_MAX))
    return (error, mode, ino, device, nlink, size, *_time(chance), *_time(chance))


def _clock(chance: random.Random, answers: list[tuple[int, ...]]) -> int:
    """The coarse clock: often just at the edge of what is racy for one of these stats."""
    edge = chance.choice((0, 0, 1, 10**6, 10**8, 2 * _SECOND, -60 * _SECOND)) + chance.choice((-1, 0, 1))
    of = chance.choice(answers)
    # No clock stands at the first second of the range, where a time that was limited would meet it.
    return max(INT_MIN + 3 * _SECOND, min(of[8] * _SECOND + of[9] + edge, INT_MAX))


def _entries(chance: random.Random, count: int) -> list[tuple[int, bytes]]:
    """Names of any bytes, and numbers, of which stat(2) says something; some twice; "." and ".." among them."""
    some = [(_DT_DIR, b"."), (_DT_DIR, b"..")]
    for _ in range(chance.randrange(995, 2005) if chance.random() < 0.02 else chance.randrange(12)):
        if chance.random() < 0.6:
            some.append((chance.choice(_TYPES), b"%d" % chance.randrange(count)))
        else:
            name = bytes(chance.choices(range(1, 256), k=chance.randrange(1, 30)))
            some.append((chance.choice(_TYPES[1:]), name.replace(b"/", b"_")))
    chance.shuffle(some)
    return some


def at_random(kernel: OddKernel, rounds: int, seed: int) -> Counter[str]:
    """Random directories and stats."""
    chance, happened = random.Random(seed), Counter[str]()
    fd = os.open("/", os.O_RDONLY | os.O_DIRECTORY)
    instance, every, some = calls.init(), Names([Segment([b"", b""])]), Names([Segment([b"1"]), Segment([b"", b"a", b""])])
    for _ in range(rounds):
        answers = [_answer(chance) for _ in range(chance.randrange(1, 8))]
        kernel.answers(answers)
        kernel.contains(_entries(chance, len(answers)), chance.choice(_ERRORS) if chance.random() < 0.2 else 0)
        listed, signs = same_listing(kernel, fd)
        happened["signs of life"] += signs
        happened["listings"] += 1
        happened["listings that failed"] += isinstance(listed[0], type)
        names = [b"%d" % number for number in range(len(answers))]
        start, device = chance.randrange(len(names) + 1), chance.choice((-1, 1, 1, 1))
        looked = same(kernel, "look_at", fd, names, start, _clock(chance, answers), device, chance.random() < 0.2)
        happened["looks"] += 1
        if isinstance(looked[0], type):
            happened["looks that failed"] += 1
        else:
            happened["looks that ended at another device"] += len(looked[0]) < (len(names) - start) * WIDTH
            happened["racy"] += looked[0][45::WIDTH].count(1)
            happened["not racy"] += looked[0][45::WIDTH].count(0)
        arguments = (
            fd, [b"."], (instance, calls.IN_CREATE), (every, some), _clock(chance, answers), (1, chance.random() < 0.2), 0,
        )  # fmt: skip
        entered = same(kernel, "enter_each", *arguments)
        happened["left alone" if isinstance(entered[0], int) else "entered"] += 1
    os.close(fd)
    os.close(instance)
    return happened


def waits(kernel: OddKernel) -> Counter[str]:
    """The kernel answers three times, each time only after another thread of Python had its turn: with the GIL held, this would
    never end."""
    fd = os.open("/", os.O_RDONLY | os.O_DIRECTORY)
    asks, answers = os.pipe()
    kernel.answers([(0, stat.S_IFREG, 1, 1, 1, 1, 1, 1, 1, 1)])
    kernel.contains([(_DT_UNKNOWN, b"0")], 0)
    kernel.waits(asks)
    happened = Counter[str]()
    instance = calls.init()
    asked = [(b"/", calls.add_watch(instance, b"/", calls.IN_DELETE_SELF), {b"0", b"1", b"2"}, None)]
    for name, arguments in (
        ("list_names", (fd, int)), ("look_at", (fd, [b"0"] * 3, 0, 0, 1, False)),
        ("look_in_each", (asked, instance, 0, 1, False)),
        ("enter_each", (fd, [b"."], (instance, calls.IN_CREATE), (Names([Segment([b"0"])]), Names([])), 0, (1, False), 0)),
    ):  # fmt: skip
        found: list[object] = []
        thread = threading.Thread(target=lambda n=name, a=arguments, f=found: f.append(result(kernel, getattr(_loops, n), *a)))
        thread.start()
        while thread.is_alive():
            os.write(answers, b"x")
            thread.join(0.01)
        happened[name] += len(found)
    kernel.waits(0)
    for descriptor in (fd, asks, answers, instance):
        os.close(descriptor)
    return happened


if __name__ == "__main__":
    what, *numbers = sys.argv[1:]
    print(json.dumps(at_random(OddKernel(), *map(int, numbers)) if what == "random" else waits(OddKernel())))
