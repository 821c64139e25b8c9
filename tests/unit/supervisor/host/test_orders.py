"""Orders reach a process that was started before there were any, with descriptors, and their end is noticed."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from shardwatch.supervisor.host.orders import Orders, give, line, take


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    giver, taker = line()
    with giver, taker:
        yield giver, taker


def test_orders_come_with_the_same_files(ends: tuple[socket.socket, socket.socket], tmp_path: Path) -> None:
    """Arguments of any bytes, and descriptors that no other program inherits. What follows is the end alone."""
    giver, taker = ends
    arguments = ["--state-dir", os.fsdecode(b"/a b\n\xff"), "", "--with-parent"]
    files = [os.open(tmp_path / name, os.O_CREAT | os.O_RDWR, 0o600) for name in ("log", "claim")]
    give(giver, Orders(arguments, files))
    given = take(taker.fileno())
    assert given is not None and given.arguments == arguments
    assert [os.fstat(fd).st_ino for fd in given.descriptors] == [os.fstat(fd).st_ino for fd in files]
    assert not any(map(os.get_inheritable, given.descriptors))
    for fd in (*files, *given.descriptors):
        os.close(fd)
    giver.close()
    assert os.read(taker.fileno(), 100) == b""


def test_nobody_is_left_to_give_orders(ends: tuple[socket.socket, socket.socket]) -> None:
    giver, taker = ends
    giver.close()
    assert take(taker.fileno()) is None


def test_nobody_is_left_to_take_them(ends: tuple[socket.socket, socket.socket]) -> None:
    giver, taker = ends
    taker.close()
    with pytest.raises((BrokenPipeError, ConnectionResetError)):
        give(giver, Orders(["--echo"], []))
