"""A listening socket by itself: paused, made again, and what is left of it at the end. What a door does with it: test_door."""

from __future__ import annotations

import errno
import selectors
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from shardwatch.aggregator.transport.listener import Listener, NoRoomError


@pytest.fixture
def selector() -> Iterator[selectors.BaseSelector]:
    with selectors.DefaultSelector() as made:
        yield made


@pytest.fixture
def listener(state_dir: Path, selector: selectors.BaseSelector) -> Iterator[Listener]:
    made = Listener(state_dir / "l.sock", selector, "data")
    yield made
    made.close()


def connected(path: Path) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.settimeout(10)
    sock.connect(str(path))
    return sock


def told(selector: selectors.BaseSelector) -> list[object]:
    return [key.data for key, _ in selector.select(0)]


def test_who_connects_is_accepted_and_nobody_else(listener: Listener, selector: selectors.BaseSelector) -> None:
    """Accepting does not wait, and neither does the socket that comes of it."""
    assert listener.accept() is None
    with connected(listener.path):
        assert told(selector) == ["data"]
        accepted = listener.accept()
        assert accepted is not None and not accepted.getblocking()
        accepted.close()
    assert listener.accept() is None


def test_a_paused_listener_tells_of_nobody_until_it_is_resumed(listener: Listener, selector: selectors.BaseSelector) -> None:
    """Both may be called twice. Who has connected meanwhile waits in the kernel's queue."""
    listener.pause(5.0)
    listener.pause(7.0)
    with connected(listener.path):
        assert (told(selector), listener.paused_until) == ([], 7.0)
        listener.resume()
        listener.resume()
        assert (told(selector), listener.paused_until) == (["data"], None)


@pytest.mark.parametrize("paused", [False, True])
def test_a_removed_socket_is_made_again_and_stays_as_it_was(
    listener: Listener, selector: selectors.BaseSelector, *, paused: bool
) -> None:
    """The queue of the former one is drained first; a paused listener is still paused."""
    assert not listener.restore(lambda: pytest.fail("nothing was removed"))
    accepted: list[socket.socket | None] = []
    with connected(listener.path):
        if paused:
            listener.pause(1.0)
        listener.path.unlink()
        assert listener.restore(lambda: accepted.append(listener.accept()))
    (first,) = accepted
    assert first is not None
    first.close()
    with connected(listener.path):
        assert told(selector) == ([] if paused else ["data"])
        listener.resume()
        assert told(selector) == ["data"]


def test_without_room_it_says_so_and_what_went_away_is_nobody(listener: Listener, monkeypatch: pytest.MonkeyPatch) -> None:
    """No descriptor and no memory are told of with the kernel's words; any other error concerns that one connection."""
    code = errno.EMFILE

    def accept(self: socket.socket) -> tuple[socket.socket, object]:
        raise OSError(code, "Too many open files")

    monkeypatch.setattr(socket.socket, "accept", accept)
    with pytest.raises(NoRoomError, match="Too many open files"):
        listener.accept()
    code = errno.ECONNABORTED
    assert listener.accept() is None


def test_a_closed_one_leaves_no_file(state_dir: Path, selector: selectors.BaseSelector) -> None:
    """Also while it is paused."""
    for paused in (False, True):
        made = Listener(state_dir / "c.sock", selector, None)
        if paused:
            made.pause(1.0)
        made.close()
        assert not made.path.exists() and not selector.get_map()
