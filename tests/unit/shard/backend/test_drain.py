"""The thread that empties a queue of the kernel: a pipe here."""

from __future__ import annotations

import os
import select
import socket
import time
from collections.abc import Iterator

import pytest
from waiting import eventually

from shardwatch.shard.backend.drain import Drain


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    for end in ends:
        os.close(end)


def is_ready(drain: Drain) -> bool:
    return bool(select.select([drain.ready], [], [], 0)[0])


def test_what_comes_is_read_until_it_is_closed(pipe: tuple[int, int], no_leaks: None) -> None:
    """And not before it is started. Whoever reads says whether there is something to be taken, until it is."""
    said: list[bytes] = []

    def read() -> int:
        said.append(os.read(pipe[0], 100))
        drain.ring()
        return len(said[-1])

    drain = Drain(pipe[0], read)
    os.write(pipe[1], b"early")
    assert not is_ready(drain)
    drain.start()
    eventually(lambda: said == [b"early"] and is_ready(drain))
    drain.hush()
    assert not is_ready(drain)
    drain.hush()
    os.write(pipe[1], b"late")
    eventually(lambda: said == [b"early", b"late"] and is_ready(drain))
    drain.close()
    os.write(pipe[1], b"after the end")
    assert len(said) == 2


def test_what_can_wait_is_told_at_its_time(pipe: tuple[int, int], no_leaks: None) -> None:
    """The last time that was said counts. What is heard before is told once more then."""
    drain = Drain(pipe[0], lambda: 0)
    drain.start()
    begun = time.monotonic_ns()
    drain.ring(begun + 10**12)
    assert not is_ready(drain)
    drain.ring(begun + 50_000_000)
    drain.hush()
    assert select.select([drain.ready], [], [], 30.0)[0]
    assert time.monotonic_ns() >= begun + 50_000_000
    drain.ring(begun)
    assert is_ready(drain)
    drain.hush()
    assert not is_ready(drain)
    drain.close()


def test_something_urgent_is_told(pipe: tuple[int, int]) -> None:
    """Of a second descriptor, as of the table of mounts: out-of-band data of a socket, here."""
    told: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
        other, _ = server.accept()
        with other:
            drain = Drain(pipe[0], lambda: 0, also=other.fileno(), happened=lambda: told.append(other.recv(1, socket.MSG_OOB)))
            drain.start()
            client.send(b"!", socket.MSG_OOB)
            eventually(lambda: told == [b"!"])
            drain.close()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_an_error_of_the_thread_is_raised_where_its_hints_are_awaited(pipe: tuple[int, int], no_leaks: None) -> None:
    """Nobody empties the queue any more: to go on without a word would lose every change from then on."""

    def read() -> int:
        raise MemoryError

    drain = Drain(pipe[0], read)
    drain.start()
    os.write(pipe[1], b"x")
    eventually(lambda: is_ready(drain))
    for _ in range(2):
        with pytest.raises(RuntimeError, match="has ended"):
            drain.hush()
    drain.close()
