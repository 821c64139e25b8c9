"""The rule that a test which could not run is named, and fails `.ci/run`; and the other helpers of the tests."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from waiting import eventually

TESTS = Path(__file__).parents[1]
SKIPPED = """
import pytest
def test_that_runs(): pass
@pytest.mark.skip(reason="needs a printer")
def test_that_can_not(): pass
@pytest.mark.xfail(reason="known", strict=True)
def test_known(): assert False
"""
LEAKING = """
import subprocess, threading
def test_clean(no_leaks): pass
def test_process(no_leaks): subprocess.Popen(["sleep", "600"], start_new_session=True)
def test_descriptor(no_leaks):
    global kept
    kept = open("/dev/null")
"""


def _pytest(folder: Path, *arguments: str, **environment: str) -> tuple[int, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST", "SW_", "COV")) or k == "SW_TESTS_WITHIN"}
    env = kept | environment
    command = [sys.executable, "-m", "pytest", "-p", "conftest", "-p", "no:cacheprovider", "--rootdir", str(folder)]
    done = subprocess.run(
        [*command, "-o", "addopts=", *arguments, str(folder)],
        cwd=folder, env=env | {"PYTHONPATH": str(TESTS)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("jobs", ["0", "2"])
def test_a_skipped_test_is_named_and_fails_where_all_must_run(tmp_path: Path, jobs: str) -> None:
    """With and without xdist; an expected failure is no test that could not run."""
    (tmp_path / "test_it.py").write_text(SKIPPED)
    code, output = _pytest(tmp_path, "-n", jobs)
    assert code == 0 and "test_that_can_not: Skipped: needs a printer" in output
    assert "test_known: " not in output
    code, output = _pytest(tmp_path, "-n", jobs, SW_TESTS_MUST_RUN="1")
    assert code == 8 and "tests that could not run" in output


def test_a_skipped_module_counts_too(tmp_path: Path) -> None:
    """importorskip at the top of a module hides every test in it."""
    (tmp_path / "test_it.py").write_text("import pytest\npytest.importorskip('no_such_module')\ndef test_a(): pass\n")
    (tmp_path / "test_other.py").write_text("def test_b(): pass\n")
    code, output = _pytest(tmp_path, SW_TESTS_MUST_RUN="1")
    assert code == 8 and "no_such_module" in output


def test_what_is_left_behind_is_found_and_killed(tmp_path: Path) -> None:
    """A process in a session of its own, and an open file."""
    (tmp_path / "test_it.py").write_text(LEAKING)
    code, output = _pytest(tmp_path, "-W", "ignore", SW_TESTS_LEAK_S="1")
    assert code == 1 and "1 passed" in output.replace("3 passed", "1 passed")
    assert "sleep 600" in output and "/dev/null" in output


def test_waiting_ends_with_the_condition_or_the_deadline() -> None:
    """The last failed assertion is told as the cause."""
    done = threading.Event()
    timer = threading.Timer(0.05, done.set)
    timer.start()
    assert eventually(done.is_set, 10)
    timer.join()
    with pytest.raises(AssertionError, match="a while: never"):
        eventually(lambda: False, 0.01, what="a while: never")

    def not_yet() -> bool:
        raise AssertionError("not yet")

    with pytest.raises(AssertionError) as caught:
        eventually(not_yet, 0.01)
    assert str(caught.value.__cause__) == "not yet"
