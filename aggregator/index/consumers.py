"""The names of groups, and where they stood: should their own file be lost, they can be told so."""

from __future__ import annotations

from collections.abc import Mapping

from .file import IndexFile


class Consumers:
    """The table `consumer`."""

    def __init__(self, file: IndexFile) -> None:
        self._file = file

    def known(self) -> dict[str, int]:
        """Group -> a tick that it had reached: what `keep` was told last."""
        return dict(self._file.db.execute("SELECT name, handed FROM consumer").fetchall())

    def keep(self, consumers: Mapping[str, int]) -> None:
        """Makes these groups durable, and no others; commits."""
        self._file.begin()
        self._file.db.execute("DELETE FROM consumer")
        self._file.db.executemany("INSERT INTO consumer VALUES (?, ?)", list(consumers.items()))
        self._file.commit()
