"""Serves the page on a socket until it is told to end."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Final

import uvicorn

from shardwatch.shard.contract.errors import InUseError, UsageError
from shardwatch.shard.contract.input.shown import shown
from shardwatch.shard.contract.limits import BEAT_S, next_beat
from shardwatch.shard.contract.state.layout import Layout

from .admission import Admission
from .app import make_app

#: Connections at the same time; a request on a further one is refused with 503.
CONNECTIONS_MAX: Final = 100
#: Seconds for requests in progress when the server ends.
END_S: Final = 2
_ENDING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
#: Bytes of a Unix socket's path (sun_path of unix(7), with its end).
PATH_BYTES_MAX: Final = 107


def bind_socket(path: Path) -> socket.socket:
    """A listening Unix socket that only the same user, and root, may connect to. What a server that died has left there is
    replaced.

    Raises InUseError if somebody answers there, UsageError if it can't be made.
    """
    if len(os.fsencode(path)) > PATH_BYTES_MAX:
        raise UsageError(f"the path of the socket is too long: {shown(str(path))}", hint=f"at most {PATH_BYTES_MAX} bytes")
    _clear(path)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with _umask(0o177):
            listening.bind(os.fspath(path))
        listening.listen()
    except OSError as error:
        listening.close()
        raise UsageError(f"can't make the socket {shown(str(path))}: {error.strerror}", hint="give another --socket") from None
    return listening


def bind_port(host: str, port: int) -> socket.socket:
    """A listening TCP socket. Raises InUseError if the port is taken, UsageError if this machine has no such address, or if the
    port is not for this user."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, _, _, _, address = found[0]
        listening = socket.socket(family, socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise UsageError(f"no address {shown(host)}: {error}", hint="give an address of this machine") from None
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind(address)
        listening.listen()
    except OSError as error:
        listening.close()
        message = f"can't listen on {shown(host)} port {port}: {error.strerror}"
        if error.errno == errno.EADDRINUSE:
            raise InUseError(message, hint="give another --port") from None
        hint = "give a --port above 1023" if isinstance(error, PermissionError) else "give an address of this machine"
        raise UsageError(message, hint=hint) from None
    return listening


def serve(
    layout: Layout,
    listening: socket.socket,
    hosts: frozenset[str] | None,
    token: str | None,
    beat: Callable[[], None] = lambda: None,
) -> None:
    """Answers until SIGINT, SIGTERM or SIGHUP. Blocks. Must be called in the main thread. See `Admission` for hosts and token.

    `beat` is called every BEAT_S from the loop that answers, so it is not if that hangs.
    """
    config = uvicorn.Config(
        Admission(make_app(layout), hosts, token),
        lifespan="off",
        log_level="error",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=END_S,
        limit_concurrency=CONNECTIONS_MAX + 1,
    )
    try:
        _Server(config, beat).run(sockets=[listening])
    finally:
        listening.close()


class _Server(uvicorn.Server):
    """Ends in order at SIGHUP as at SIGINT and SIGTERM, and then returns, where uvicorn would have the signal end the process.
    It wakes up once a beat, where uvicorn would ten times a second."""

    def __init__(self, config: uvicorn.Config, beat: Callable[[], None]) -> None:
        super().__init__(config)
        self._beat = beat
        self._wake: Callable[[], object] = lambda: None

    async def main_loop(self) -> None:
        loop, ending = asyncio.get_running_loop(), asyncio.Event()
        self._wake = lambda: loop.call_soon_threadsafe(ending.set)
        while not await self.on_tick(0):  # it keeps the header `Date`, too
            self._beat()
            now = time.monotonic()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(ending.wait(), next_beat(now, BEAT_S) - now)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        before = {number: signal.signal(number, self._end) for number in _ENDING}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _end(self, signum: int, frame: FrameType | None) -> None:
        self.should_exit = True
        self._wake()


def _clear(path: Path) -> None:
    """Removes a socket that nobody listens to any more."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(os.fspath(path))
        except FileNotFoundError:
            return
        except ConnectionRefusedError:
            if path.is_socket():
                with contextlib.suppress(FileNotFoundError):
                    path.unlink()
                return
            raise UsageError(f"{shown(str(path))} exists and is no socket", hint="give another --socket") from None
        except OSError as error:
            raise UsageError(f"can't use {shown(str(path))}: {error.strerror}", hint="give another --socket") from None
    raise InUseError(f"somebody serves on {path} already", hint="end that one, or give another --socket")


@contextlib.contextmanager
def _umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)
