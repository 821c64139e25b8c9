"""`.ci/measuring.py` notes the lines that coverage would note, however a process ends, and whatever else it was doing."""

from __future__ import annotations

import importlib.util
import marshal
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import session
from coverage import CoverageData

ROOT = Path(__file__).resolve().parents[2]

#: Loads modules of the package, and runs some of their lines in this thread and in others. It goes on in this one when those have
#: ended, and what was kept of one is freed.
PROGRAM = """
import threading
from shardwatch.shard.contract import errors
kept = []
def load(module):
    try:
        __import__(module)
    except ImportError as error:
        kept.append(error)
for module in ("shardwatch.aggregator.main", "shardwatch.supervisor.config.names", "shardwatch.there_is_none"):
    thread = threading.Thread(target=load, args=(module,))
    thread.start()
    thread.join()
del thread
assert kept
kept.clear()
from shardwatch.supervisor.terminal import render
"""


@pytest.fixture(scope="module")
def measuring() -> ModuleType:
    """`.ci/measuring.py`, which is no package's."""
    spec = importlib.util.spec_from_file_location("ci_measuring", ROOT / ".ci/measuring.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "lines"
    path.mkdir()
    return path


def environment(**more: str) -> dict[str, str]:
    """Without the measuring of this run."""
    return {**{name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}, **more}


def measured(measuring: ModuleType, folder: Path, program: str) -> list[str]:
    """The command that runs `program`, as the .pth file begins it: twice, like the interpreter of a virtual environment."""
    (folder.parent / "program.py").write_text(program)
    start = measuring.start_line()
    return [sys.executable, "-P", "-c", f"{start}{start}import runpy; runpy.run_path({str(folder.parent / 'program.py')!r})"]


def noted(folder: Path) -> dict[str, set[int]]:
    """By the one process that wrote: file -> its lines, without files of which only the name is known."""
    (file,) = folder.iterdir()
    return {os.path.realpath(path): lines for path, lines in marshal.loads(file.read_bytes()).items() if lines}


def test_the_lines_are_those_that_coverage_notes(measuring: ModuleType, folder: Path) -> None:
    """In all threads."""
    command = measured(measuring, folder, PROGRAM)
    subprocess.run(command, env=environment(COVERAGE_LINES_TO=str(folder)), check=True)
    file = folder.parent / "by_coverage"
    by_coverage = [sys.executable, "-P", "-m", "coverage", "run", f"--data-file={file}", f"--rcfile={ROOT / 'pyproject.toml'}"]
    subprocess.run([*by_coverage, str(folder.parent / "program.py")], env=environment(), cwd=folder.parent, check=True)
    (written,) = folder.parent.glob("by_coverage.*")
    data = CoverageData(str(written), read_only=True)
    data.read()
    wanted = {path: set(lines) for path in data.measured_files() if (lines := data.lines(path))}
    assert str(ROOT / "aggregator/main.py") in wanted
    assert noted(folder) == wanted


def test_nothing_is_measured_that_is_not_asked_for(measuring: ModuleType, folder: Path) -> None:
    program = "import sys; assert 'measuring' not in sys.modules and sys.gettrace() is None"
    subprocess.run(measured(measuring, folder, program), env=environment(COVERAGE_LINES_TO=""), check=True)
    assert list(folder.iterdir()) == []


TERMINATED = """
import signal, sys
from shardwatch.shard.contract import errors
{handler}
print(flush=True)
signal.pause()
"""


@pytest.mark.parametrize(
    ("handler", "ends"), [("", -signal.SIGTERM), ("signal.signal(signal.SIGTERM, lambda *_: sys.exit(3))", 3)]
)
def test_who_is_terminated_ends_as_he_would(measuring: ModuleType, folder: Path, handler: str, ends: int) -> None:
    """And his lines are noted first."""
    command = measured(measuring, folder, TERMINATED.format(handler=handler))
    with subprocess.Popen(command, env=environment(COVERAGE_LINES_TO=str(folder)), stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        session.deliver(process.pid, signal.SIGTERM)
        assert process.wait() == ends
    assert str(ROOT / "shard/contract/errors.py") in noted(folder)


def test_a_process_that_can_not_write_its_lines_ends_as_it_would(measuring: ModuleType, folder: Path) -> None:
    command = measured(measuring, folder, "print('done')")
    environ = environment(COVERAGE_LINES_TO=str(folder / "not there"))
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")


def test_the_lines_of_all_processes_are_collected(measuring: ModuleType, folder: Path) -> None:
    """Modules that nobody ran are in the report, and what is not whole is left out."""
    module = ROOT / "shard/contract/errors.py"
    for name, lines in {"1-a": {1, 2}, "2-b": {2, 5}}.items():
        (folder / name).write_bytes(marshal.dumps({str(ROOT / "src/shardwatch/shard/contract/errors.py"): lines}))
    (folder / "3-c.part").write_bytes(b"half")
    into = folder.parent / "collected"
    into.write_bytes(b"of an earlier run")
    assert measuring.collect(str(folder), str(into)) == 0
    data = CoverageData(str(into), read_only=True)
    data.read()
    assert sorted(data.lines(str(module)) or []) == [1, 2, 5]
    assert data.lines(str(ROOT / "aggregator/main.py")) == []
    assert str(ROOT / "src/shardwatch/fleet.py") in data.measured_files()


def test_many_that_are_not_whole_are_no_accident(measuring: ModuleType, folder: Path) -> None:
    """Then the step fails, whatever the report would say."""
    for number in range(10):
        (folder / f"{number}-a").write_bytes(marshal.dumps({}))
    for number in range(2):
        (folder / f"{number}-b.part").touch()
    assert measuring.collect(str(folder), str(folder.parent / "collected")) == 1


def test_ci_measures_and_reports() -> None:
    """All that the tests start; then the report must reach the minimum."""
    run = (ROOT / ".ci/run").read_text()
    order = ["measuring.py begin", "COVERAGE_LINES_TO=$temporary/lines steadily", "measuring.py collect", "--fail-under=90"]
    assert [run.count(what) for what in order] == [1, 1, 1, 1]
    assert sorted(order, key=run.index) == order
