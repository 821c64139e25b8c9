"""The names and positions of all groups. If the file of the groups is lost, they can still be told
to begin afresh.
"""

from __future__ import annotations

from collections.abc import Mapping

from .file import IndexFile


class Consumers:
    """The table `consumer`."""

    def __init__(self, file: IndexFile) -> None:
        self._file = file

    def known(self) -> dict[str, int]:
        """For each group a tick that it had reached, as it was last given to `keep`."""
        return dict(self._file.db.execute("SELECT name, handed FROM consumer").fetchall())

    def keep(self, consumers: Mapping[str, int]) -> None:
        """Stores these groups in place of all that were stored before, and commits."""
        self._file.begin()
        self._file.db.execute("DELETE FROM consumer")
        self._file.db.executemany("INSERT INTO consumer VALUES (?, ?)", list(consumers.items()))
        self._file.commit()
