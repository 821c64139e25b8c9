"""What the index stores about each shard's stream: its epoch, the last frame applied, its baseline. Used by `index` and
`receive`.
"""

from __future__ import annotations

from typing import Final

from .file import IndexFile

_SAVE: Final = "INSERT OR REPLACE INTO stream VALUES (?, ?, ?, ?)"


class Streams:
    """The table `stream`. Everything is written between `Index.begin` and `Index.commit`."""

    def __init__(self, file: IndexFile) -> None:
        self._file = file
        self._db = file.db
        #: The running service to which the streams on disk belong.
        self._service = file.service

    def serve(self, service: str) -> None:
        """Forgets the streams of every other service. No frame of theirs can arrive any more, and their numbers must not be
        mistaken for numbers of this one.
        """
        if service != self._service:
            self._db.execute("DELETE FROM stream")
            self._db.execute("UPDATE state SET service = ?", (service,))
            self._service = service

    def known(self) -> dict[str, tuple[int, int, int]]:
        """For each shard its epoch, the number of the last committed frame, and the generation of its baseline."""
        return {row[0]: row[1:] for row in self._db.execute("SELECT shard, epoch, committed, baseline FROM stream")}

    def save(self, shard: str, epoch: int, committed: int, baseline: int) -> None:
        before = self._file.rows_changed
        self._file.write_one(_SAVE, (shard, epoch, committed, baseline))
        self._file.stay_in_lanes(before)
