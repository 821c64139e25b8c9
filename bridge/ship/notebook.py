"""What a service keeps of its shipping, durably: `ship.json` in its state directory. While it is open, no other process ships."""

from __future__ import annotations

import contextlib
import errno
import os
from types import TracebackType
from typing import Final, Self

import msgspec

from shardwatch.shard.contract.errors import InUseError, ServiceError
from shardwatch.shard.contract.process.life import Lock
from shardwatch.shard.contract.state.directory import StateDirectory
from shardwatch.shard.contract.state.layout import Layout

from ..protocol.generations import Progress, Target

FILE: Final = "ship.json"


class Notebook:
    """Progress, and the lock. Every change is on the disk when `write` returns.

    Raises InUseError where another process ships from this state directory, OSError, and UsageError for files that are not ours.
    """

    def __init__(self, layout: Layout, target: Target) -> None:
        self._state_dir = layout.state_dir
        try:
            # No name like `*.lock`: these are held by what `down` ends.
            self._lock = Lock(layout.locks / "ship")
        except InUseError as error:
            hint = "stop it first; one process ships all of a service's files"
            raise InUseError(f"another `shardwatch ship` is running for this service: {error.message}", hint=hint) from None
        self.progress = read_progress(layout) or Progress(os.urandom(16).hex(), target)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._lock.close()

    def write(self, progress: Progress) -> None:
        """Keeps it. Blocks until it is on the disk. Raises ServiceError where that refuses; the old progress is there then."""
        try:
            with StateDirectory(self._state_dir) as state:
                state.write(FILE, msgspec.json.encode(progress))
        except OSError as error:
            raise ServiceError(
                f"{self._state_dir}: {FILE} can't be written: {error.strerror}",
                hint="see to it that the disk has room and takes writes: it is tried again",
                retryable=error.errno != errno.ENOENT,
            ) from None
        self.progress = progress


def read_progress(layout: Layout) -> Progress | None:
    """None where there is none, or nothing that can be read: then the service is a new one for the stream.

    Raises OSError, and UsageError for a file that is not ours.
    """
    with contextlib.suppress(FileNotFoundError, msgspec.MsgspecError), StateDirectory(layout.state_dir, foreign=True) as state:
        return msgspec.json.decode(state.read(FILE), type=Progress)
    return None
