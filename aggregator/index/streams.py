"""What the index stores about each shard's stream: its epoch, the last frame applied, its baseline. Used by `index` and
`receive`.
"""

from __future__ import annotations

from typing import Any


class Streams:
    """The table `stream`. All writing is between `Index.begin` and `Index.commit`."""

    def __init__(self, db: Any, service: str) -> None:
        """`service`: the running service that the streams on disk are of."""
        self._db = db
        self._service = service

    def serve(self, service: str) -> None:
        """Forgets the streams of any other running service than this: no frame of theirs can come any more, and a number of
        theirs must not be taken for one of ours."""
        if service != self._service:
            self._db.execute("DELETE FROM stream")
            self._db.execute("UPDATE state SET service = ?", (service,))
            self._service = service

    def known(self) -> dict[str, tuple[int, int, int]]:
        """shard -> (epoch, committed, baseline generation)."""
        return {row[0]: row[1:] for row in self._db.execute("SELECT shard, epoch, committed, baseline FROM stream")}

    def save(self, shard: str, epoch: int, committed: int, baseline: int) -> None:
        self._db.execute("INSERT OR REPLACE INTO stream VALUES (?, ?, ?, ?)", (shard, epoch, committed, baseline))
