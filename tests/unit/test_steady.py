"""`.ci/run` runs tests that failed again: what fails once is named, and what fails again fails the step."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A directory with what `steadily` needs: the interpreter of this environment, and `.ci/failed.py`."""
    (tmp_path / ".venv/bin").mkdir(parents=True)
    (tmp_path / ".venv/bin/python").symlink_to(sys.executable)
    (tmp_path / ".ci").mkdir()
    shutil.copy(ROOT / ".ci/failed.py", tmp_path / ".ci")
    return tmp_path


def steadily(place: Path, *tests: str) -> tuple[int, str]:
    """Runs the function of `.ci/run` on a file with these tests. Its exit code, and the tests that it calls not steady."""
    (function,) = re.findall(r"^steadily\(\) \{\n.*?^\}\n", (ROOT / ".ci/run").read_text(), re.MULTILINE | re.DOTALL)
    (place / "test_some.py").write_text("import os\nfrom pathlib import Path\n" + "\n".join(tests))
    script = f"""set -uo pipefail
    unsteady=() paths=()
    {function}
    steadily {sys.executable} -m pytest -q -p no:randomly
    code=$?
    printf 'not steady: %s\\n' "${{unsteady[*]:-}}"
    exit $code"""
    done = subprocess.run(["bash", "-c", script], cwd=place, capture_output=True, text=True, check=False, timeout=240)
    return done.returncode, done.stdout.rpartition("not steady: ")[2].strip()


PASSES = "def test_passes(): pass"
FAILS = "def test_fails(): assert False"


def fails_first(times: int, name: str = "late") -> str:
    """A test that fails so many times, and passes from then on."""
    return f"""
def test_{name}():
    turns = Path("{name}")
    turns.write_text(turns.read_text() + "." if turns.exists() else ".")
    assert len(turns.read_text()) > {times}
"""


def test_what_passes_runs_once(place: Path) -> None:
    assert steadily(place, PASSES, fails_first(0)) == (0, "")
    assert (place / "late").read_text() == "."


def test_what_fails_once_passes_three_times_and_is_named(place: Path) -> None:
    assert steadily(place, PASSES, fails_first(1)) == (0, "test_some.py::test_late")
    assert (place / "late").read_text() == "...."


@pytest.mark.parametrize("tests", [(PASSES, FAILS), (fails_first(2),), (FAILS, fails_first(1))])
def test_what_fails_again_fails(place: Path, tests: tuple[str, ...]) -> None:
    assert steadily(place, *tests) == (1, "")


def test_many_failures_are_no_accident(place: Path) -> None:
    assert steadily(place, *(fails_first(1, f"n{n}") for n in range(4))) == (1, "")
    assert (place / "n0").read_text() == "."


def test_another_fault_of_the_run_is_not_run_again(place: Path) -> None:
    """As the conftest of our tests ends a run that left something behind."""
    (place / "conftest.py").write_text("def pytest_sessionfinish(session): session.exitstatus = 8")
    assert steadily(place, fails_first(1)) == (8, "")
    assert (place / "late").read_text() == "."
