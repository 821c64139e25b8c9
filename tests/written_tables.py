"""Tables of documents that tests write: a row is compared with what a test found, or written (`pytest --write-tables`)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest


class WrittenTable:
    """A table of a document, found by the first cells of its header.

    Args:
        document: a Markdown file.
        header: how the line of the header begins.
        config: of the run; it says whether rows are to be written.
    """

    def __init__(self, document: Path, header: Sequence[str], config: pytest.Config | None = None) -> None:
        self._document = document
        self._header = _line(header).removesuffix(" |")
        self._writes = config is not None and bool(config.getoption("--write-tables"))

    def rows(self) -> dict[str, list[str]]:
        """The cells of each row after the first one, by the first one, in the order of the table."""
        found = [_cells(line) for line in self._lines()]
        return {row[0]: row[1:] for row in found}

    def agree(self, row: str, cells: Sequence[str]) -> None:
        """Fails if the document says something else in this row; or writes it, in its place or at the end."""
        if not self._writes:
            assert self.rows().get(row) == list(cells), f"{row}: to write what was found: make tables"
            return
        text, old = self._document.read_text(), self._lines()
        new = [line for line in old if _cells(line)[0] != row]
        place = next((number for number, line in enumerate(old) if _cells(line)[0] == row), len(old))
        new.insert(place, _line([row, *cells]))
        before = text[: self._begin(text)]
        rest = text[len(before) + sum(len(line) + 1 for line in old) :]
        self._document.write_text(before + "".join(line + "\n" for line in new) + rest)

    def _begin(self, text: str) -> int:
        """Where the first row begins."""
        header = text.index("\n" + self._header) + 1
        return text.index("\n", text.index("\n", header) + 1) + 1

    def _lines(self) -> list[str]:
        text = self._document.read_text()
        found = []
        for line in text[self._begin(text) :].splitlines():
            if not line.startswith("| "):
                break
            found.append(line)
        return found


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cells(line: str) -> list[str]:
    return line.strip().removeprefix("| ").removesuffix(" |").split(" | ")
