"""The changes that a record makes in the rows of one directory, before they are written. Pure."""

from __future__ import annotations

from msgspec import Struct

from .row import Written


class Changes(Struct):
    """What is to be written for one directory. Deletions are written first, then updates, then insertions."""

    inserts: list[Written] = []
    updates: list[Written] = []
    #: (name, directory) of rows that no group holds, so that no tombstone is needed.
    forgotten: list[tuple[bytes, int]] = []
    #: Directories that are gone. Everything below them is buried too.
    gone_directories: list[bytes] = []
    #: (dev, ino) of changed files that have, or may have had, other names: writing by one name tells the others' directories
    #: nothing. Where a name is gone, how many there were by its row (which may be too few: linking tells it nothing); else 0.
    linked: dict[tuple[int, int], int] = {}
    #: A file with several names was seen.
    links: bool = False
    #: By how much the numbers of files and of directories that are there change.
    files: int = 0
    directories: int = 0

    def __bool__(self) -> bool:
        """Whether any row is to be written."""
        return bool(self.inserts or self.updates or self.forgotten)

    def count(self, directory: int, by: int) -> None:
        """Adds to the number of existing directories, or to that of existing files and links."""
        if directory:
            self.directories += by
        else:
            self.files += by

    def link(self, dev: int, ino: int, nlink: int) -> None:
        """A file was seen for the first time, or changed. If it has several names, the rows of the others may be out of date."""
        if nlink > 1 and ino:
            self.linked.setdefault((dev, ino), 0)
            self.links = True
