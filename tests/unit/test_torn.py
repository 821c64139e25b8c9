"""A coverage file of a process that was killed while it wrote takes nothing from the report of `.ci/run` but itself."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from coverage import CoverageData

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def torn() -> ModuleType:
    """`.ci/torn.py`, which is no package's."""
    spec = importlib.util.spec_from_file_location("torn", ROOT / ".ci/torn.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def measured(folder: Path, name: str) -> Path:
    """The file of a process that ran three lines of `ran.py`."""
    path = folder / f".coverage.{name}"
    data = CoverageData(str(path))
    data.add_lines({str(folder / "ran.py"): [1, 2, 3]})
    data.close(force=True)
    return path


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-4096])


def _without_a_table(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("DROP TABLE tracer")


def _without_the_page_of_its_lines(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as db:
        ((page, size),) = db.execute("SELECT rootpage, page_size FROM sqlite_master, pragma_page_size WHERE name = 'line_bits'")
    with path.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(bytes(size))


TEARS = [_empty, _cut, _without_a_table, _without_the_page_of_its_lines]


@pytest.mark.parametrize("tear", TEARS)
def test_what_is_torn_is_left_out(
    torn: ModuleType, tmp_path: Path, tear: Callable[[Path], None], capsys: pytest.CaptureFixture[str]
) -> None:
    """It is named and goes; the others stay, and `coverage combine` takes them."""
    (tmp_path / "ran.py").write_text("1\n2\n3\n")
    whole, half = measured(tmp_path, "whole"), measured(tmp_path, "half")
    tear(half)
    assert torn.main(tmp_path) == 0
    assert capsys.readouterr().out.startswith("not written whole, left out: .coverage.half (")
    assert (whole.exists(), half.exists()) == (True, False)
    command = [sys.executable, "-m", "coverage", "combine", "-q"]
    env = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}  # it is not measured itself
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    combined = CoverageData(str(tmp_path / ".coverage"), read_only=True)
    combined.read()
    assert combined.lines(str(tmp_path / "ran.py")) == [1, 2, 3]


def test_many_torn_files_are_no_accident(torn: ModuleType, tmp_path: Path) -> None:
    """Then the step fails, whatever the report would say."""
    files = [measured(tmp_path, str(number)) for number in range(10)]
    for file in files[:2]:
        _empty(file)
    assert torn.main(tmp_path) == 1


def test_the_step_calls_it_before_it_combines() -> None:
    """And what is left must still reach the minimum."""
    lines = (ROOT / ".ci/run").read_text().splitlines()
    (line,) = (line for line in lines if "coverage combine" in line)
    assert line.index(".ci/torn.py") < line.index("coverage combine") < line.index("--fail-under")
