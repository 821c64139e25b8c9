"""The tables of paths and what is known of them: `directory`, `entry` and `page`, each with a part of its own."""

from __future__ import annotations

from typing import Any

from .directory_table import DirectoryTable
from .entries import Entries
from .entry_writer import EntryWriter
from .file import IndexFile
from .inodes import Inodes
from .pages import Pages


class Tables:
    """Of one index; within its transaction."""

    def __init__(self, file: IndexFile) -> None:
        self.db: Any = file.db
        self.write, self.write_one = file.write, file.write_one
        self.stay_in_lanes = file.stay_in_lanes
        self.inodes = Inodes(file)
        self.pages = Pages(file, self.inodes)
        self.directories = DirectoryTable(file)
        #: What is known of names, wherever it is.
        self.entries = Entries(file, self.pages)
        self.writer = EntryWriter(file, self.pages)

    def shrink(self) -> None:
        """Forgets what is kept in memory to be quicker."""
        self.directories.shrink()
        self.entries.shrink()
