"""What the suites share: their modules, trees, the writer, sizes, and the page on which a figure is noted."""

from __future__ import annotations

import compileall
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

import older
import session
from book import CLOCK, Book, spread, turns
from rows import OURS, ROWS, chosen
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
    name, row = _parameters(request.node).get("side", OURS), row_of(request.node)
    assert row is not None
    book = Book(benchmark, row, name)
    if _parameters(request.node).get("turn", 0):
        return _filled[row, book.side].another_turn(benchmark)
    _filled[row, book.side] = book
    return book


def row_of(item: pytest.Item) -> str | None:
    """The row that a test fills."""
    mark = item.get_closest_marker("row")
    return None if mark is None else str(mark.args[0])


def _parameters(item: pytest.Item) -> dict[str, Any]:
    spec = getattr(item, "callspec", None)
    return {} if spec is None else spec.params


_begun: list[session.Session] = []


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    if older.COMMIT:
        if os.environ.get("PEERS", "0") not in ("", "0"):
            raise pytest.UsageError("OLD and PEERS: an older commit is measured beside today's alone; give one of them")
        try:
            older.resolve(older.COMMIT)
        except older.NoCommitError as error:
            raise pytest.UsageError(str(error)) from error
    _begun.append(session.begin())
    config.addinivalue_line("markers", "row(key): the row of the table (rows.py) that this suite fills")


def pytest_unconfigure() -> None:
    for begun in _begun:
        begun.end()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--rows", default="", help="the rows to measure, by their keys or a set's name (rows.py), with commas")


@pytest.fixture
def turn(request: pytest.FixtureRequest) -> int:
    """Of a row that is measured beside an older commit, from 0."""
    number: int = request.param
    return number


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Beside an older commit a row is measured in turns: each is a test of its own, of today's commit and of the older one."""
    if older.COMMIT and "side" in metafunc.fixturenames:
        metafunc.fixturenames.append("turn")
        metafunc.parametrize("turn", range(max(map(turns, ROWS))), indirect=True)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    try:
        wanted = chosen(config.getoption("--rows"), beside=bool(older.COMMIT))
    except ValueError as error:
        raise pytest.UsageError(str(error)) from error
    kept: list[pytest.Item] = []
    left_out: list[pytest.Item] = []
    for item in items:
        row = row_of(item)
        if row is not None:
            item.add_marker(pytest.mark.benchmark(timer=CLOCK))
        (kept if row in wanted and _parameters(item).get("turn", 0) < max(1, turns(row)) else left_out).append(item)
    if older.COMMIT:
        kept.sort(key=_in_turn)
    items[:] = kept
    config.hook.pytest_deselected(items=left_out)


def _in_turn(item: pytest.Item) -> tuple[int, int, bool]:
    """Row by row, and in each turn first today's commit and then the older one."""
    told = _parameters(item)
    return list(ROWS).index(row_of(item) or ""), told["turn"], told["side"] != OURS


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
