"""A table that tests write: what stands around it stays as it is."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from written_tables import WrittenTable

TEXT = """# A

| other | x |
|---|---|
| one | 9 |

| name | x | y |
|---|---|---|
| one | 1 | 2 |
| two | 3 | 4 |

after
"""


@pytest.fixture
def document(tmp_path: Path) -> Path:
    path = tmp_path / "a.md"
    path.write_text(TEXT)
    return path


def table(document: Path, *, writes: bool) -> WrittenTable:
    config: Any = SimpleNamespace(getoption=lambda name: writes)
    return WrittenTable(document, ["name", "x"], config)


def test_another_row_is_refused(document: Path) -> None:
    """And nothing is written."""
    found = table(document, writes=False)
    found.agree("one", ["1", "2"])
    for row, cells in (("one", ["1", "3"]), ("three", ["1", "2"])):
        with pytest.raises(AssertionError, match="make tables"):
            found.agree(row, cells)
    assert document.read_text() == TEXT
    assert found.rows() == {"one": ["1", "2"], "two": ["3", "4"]}


def test_a_row_is_written_in_its_place(document: Path) -> None:
    """A new one at the end."""
    found = table(document, writes=True)
    found.agree("one", ["5", "6"])
    found.agree("three", ["7", "8"])
    assert document.read_text() == TEXT.replace("| one | 1 | 2 |", "| one | 5 | 6 |").replace(
        "| two | 3 | 4 |\n", "| two | 3 | 4 |\n| three | 7 | 8 |\n"
    )
