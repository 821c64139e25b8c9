"""Keeps the state directory in the condition that the running service needs, and ends the service when the directory is
gone. Runs inside supervisord.

A cleaner of temporary files may remove old files. So the files that a program needs at its next start are made again if
they are removed, and their times are kept recent. If the directory was removed or replaced by another one, the service
ends: nobody could reach it, and it must not touch the replacement. Nothing here may raise; see wake.py.
"""

from __future__ import annotations

import os
import signal
import socket
from pathlib import Path
from typing import Any, Final

from supervisor import events
from supervisor.supervisord import Supervisor

from shardwatch.shard.contract.errors import ServiceError
from shardwatch.shard.contract.process.life import LOCK_FD, Lock, identity, is_absent, leads_elsewhere
from shardwatch.shard.contract.state.contents import DATABASES, DIRECTORIES, FILES, REDO
from shardwatch.shard.contract.state.directory import SERVICE_LOCK, TAG, StateDirectory

#: Files that are read only at a start, and that are made again as they were. (The plan is written by the coordinator.)
REMADE: Final = ("settings.json", "exec.json", "ship-section.json", "web-section.json", "sources.json", "supervisord.conf", TAG)
#: Connections that wait at supervisord's socket, as it has them itself.
_BACKLOG: Final = 1024
#: What else must not become old, in the folders.
_REPORTS: Final = ("run/ship.json", "run/web.json", "run/log-levels.json")


class Upkeep:
    """Checks every 5 s whether the directory is the one that was there at the start, and whether it is complete."""

    def __init__(self, supervisord: Supervisor) -> None:
        self._supervisord = supervisord
        self._logger = supervisord.options.logger
        self._path = Path(supervisord.options.here or ".").absolute()
        #: The working directory is the state directory, wherever it is by now.
        self._home = identity(Path())
        self._lock = identity(self._path / SERVICE_LOCK)
        if self._lock is None:  # in a test, supervisord may run without us
            return
        self._missing = False
        self.remember()
        self._lock_path = self._path / SERVICE_LOCK
        events.subscribe(events.Tick5Event, self._on_tick)
        events.subscribe(events.Tick3600Event, self._on_hour)

    def remember(self) -> None:
        """Takes over the files as they are now: they were written anew."""
        self._kept = {name: content for name in REMADE if (content := self._read(name)) is not None}
        self._needed = [self._path / name for name in (*DIRECTORIES, *self._kept)]

    def _read(self, name: str) -> bytes | None:
        try:
            return (self._path / name).read_bytes()
        except OSError:
            return None

    def _on_tick(self, event: object) -> None:
        try:
            lock = identity(self._lock_path)
            if leads_elsewhere(self._path, self._home) or (lock is not None and lock != self._lock):
                self._leave()
                return
            missing = any(map(is_absent, (self._lock_path, *self._needed, *self._listening())))
            if missing and self._missing:  # and not in the middle of the directory's removal
                self._make_again()
            self._missing = missing
        except Exception as error:  # noqa: BLE001 - whatever it is, supervisord must live on
            self._logger.warn(f"{self._path} can't be kept as it must be: {error}")

    def _leave(self) -> None:
        self._logger.warn(f"{self._path} is gone: the service ends")
        if self._path.exists():
            os._exit(ServiceError.exit_code)  # its programs see the end of their standard input
        os.kill(os.getpid(), signal.SIGTERM)

    def _make_again(self) -> None:
        with StateDirectory(self._path) as state:
            for name in DIRECTORIES:
                if state.make_directory(name):
                    self._tell(name)
            for name, content in self._kept.items():
                if state.identity_of(name) is None:
                    state.write(name, content)
                    self._tell(name)
        for path, server in self._listening().items():
            if is_absent(path):
                _listen_again(path, server)
                self._tell(os.fspath(path.relative_to(self._path)))
        if is_absent(self._lock_path):
            lock = Lock(self._path / SERVICE_LOCK)
            self._lock = identity(self._path / SERVICE_LOCK)
            os.dup2(lock.fileno(), LOCK_FD, inheritable=False)
            lock.close()
            self._tell(SERVICE_LOCK)

    def _listening(self) -> dict[Path, Any]:
        """supervisord's own sockets that lie in the directory, and what listens at them."""
        servers = self._supervisord.options.httpservers
        sockets = {Path(config["file"]).absolute(): server for config, server in servers if config["family"] == socket.AF_UNIX}
        return {path: server for path, server in sockets.items() if path.is_relative_to(self._path)}

    def _tell(self, name: str) -> None:
        self._logger.warn(f"{self._path / name} was removed while the service runs, by a cleaner perhaps: it was made again")

    def _on_hour(self, event: object) -> None:
        """Sets the times of all files to now."""
        try:
            with StateDirectory(self._path) as state:
                for name in (*FILES, *_REPORTS):
                    if name == REDO or not name.startswith(DATABASES):
                        state.touch(name)
                with state.below("locks") as locks:
                    for name in locks.names():
                        locks.touch(name)
        except Exception as error:  # noqa: BLE001 - whatever it is, supervisord must live on
            self._logger.warn(f"the files in {self._path} can't be kept young: {error}")


def _listen_again(path: Path, server: Any) -> None:
    """Has a server of supervisord's listen at its path again, in place of the socket that it has. Raises OSError."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC) as other:
        before = os.umask(0o177)
        try:
            other.bind(os.fspath(path))
        finally:
            os.umask(before)
        other.listen(_BACKLOG)
        os.dup2(other.fileno(), server.socket.fileno(), inheritable=False)
