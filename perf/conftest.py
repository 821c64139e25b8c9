"""What the suites share: their modules, trees, the writer, sizes, and the page on which a figure is noted."""

from __future__ import annotations

import compileall
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

import session
from book import CLOCK, Book, spread
from rows import ROWS, chosen
from sizes import QUICK, SIZES, Sizes
from trees import Forest
from writers import Writers


@pytest.fixture(scope="session", autouse=True)
def compiled() -> None:
    """As pip does with what it installs: an editable install is compiled at its first start, or at each one where
    PYTHONDONTWRITEBYTECODE is set."""
    for part in ("aggregator", "bridge", "shard", "supervisor"):
        assert compileall.compile_dir(Path(__file__).resolve().parents[1] / part, quiet=1)


@pytest.fixture(scope="session")
def sizes() -> Sizes:
    return SIZES


@pytest.fixture(scope="session")
def forest() -> Iterator[Forest]:
    trees = Forest()
    yield trees
    trees.close()


@pytest.fixture(scope="session")
def writers() -> Iterator[Writers]:
    made = Writers()
    yield made
    made.close()


@pytest.fixture
def state_dir() -> Iterator[Path]:
    """An empty directory with a name short enough for sockets, where state lies by default: in /tmp."""
    path = session.place()
    yield path
    shutil.rmtree(path, ignore_errors=True)


_filled: dict[tuple[str, str], Book] = {}


@pytest.fixture
def page(benchmark: Any, request: pytest.FixtureRequest) -> Book:
    """The page of the row named by the test's `row` mark, for the test's `side` (ours where it has none)."""
    side = getattr(request.node, "callspec", None)
    name = side.params.get("side", "shardwatch") if side is not None else "shardwatch"
    row = request.node.get_closest_marker("row").args[0]
    book = Book(benchmark, row, name)
    _filled[row, book.side] = book
    return book


_begun: list[session.Session] = []


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    _begun.append(session.begin())
    config.addinivalue_line("markers", "row(key): the row of the table (rows.py) that this suite fills")


def pytest_unconfigure() -> None:
    for begun in _begun:
        begun.end()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--rows", default="", help="the rows to measure, by their keys or a set's name (rows.py), with commas")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    wanted = chosen(config.getoption("--rows"))
    left_out = []
    for item in list(items):
        row = item.get_closest_marker("row")
        if row is not None:
            item.add_marker(pytest.mark.benchmark(timer=CLOCK))
        if row is None or row.args[0] not in wanted:
            items.remove(item)
            left_out.append(item)
    config.hook.pytest_deselected(items=left_out)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The rows of this run next to their goals, with all their figures."""
    if not _filled:
        return
    terminalreporter.section("figures" + (" of a quick run: they show that the suites work, no more" if QUICK else ""))
    for (row, side), book in _filled.items():
        terminalreporter.line(f"{row}, {side} (goal: {ROWS[row].goal})")
        for name, values in book._values.items():
            terminalreporter.line(f"    {name} {spread(values)}")
        for note in book._notes:
            terminalreporter.line(f"    {note}")
