"""What every test shares: state directories short enough for sockets, a small tree, the check for leaks, and the rule
that a test which could not run is named, with the reason, and fails `.ci/run`."""

from __future__ import annotations

import contextlib
import fcntl
import gc
import json
import os
import shutil
import tempfile
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import zmq
from hypothesis import HealthCheck, settings
from waiting import eventually

# A loaded machine is no reason to fail: examples have no deadline of their own. In CI the examples are always the same.
settings.register_profile("dev", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile(
    "ci", deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("ci" if os.environ.get("CI") else "dev")

_MARK_VARIABLE = "SW_TEST_MARK"
_LOCKS = Path(tempfile.gettempdir()) / f"shardwatch-tests-{os.getuid()}"


# --- fixtures ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def state_dir() -> Iterator[Path]:
    """An empty directory with a short name: a socket's path may have 107 bytes, and pytest's tmp_path is long."""
    path = Path(tempfile.mkdtemp(prefix="sw-", dir="/tmp"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A small tree: six AST JSON files in four directories, and three files that the default profile leaves out."""
    root = tmp_path / "tree"
    files = {
        "main.ast.json": {"_type": "Module", "body": []},
        "pkg/a.ast.json": {"_type": "Module", "body": [{"_type": "Pass"}]},
        "pkg/b.ast.json": {"_type": "Module", "body": []},
        "pkg/deep/er/c.ast.json": {"_type": "Module", "body": []},
        "pkg/deep/er/d.ast.json": {"_type": "Module", "body": []},
        "ast/e.json": {"_type": "Module", "body": []},
    }
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content))
    for name in ("pkg/a.py", "pkg/.b.ast.json.swp", "node_modules/x/package.json"):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}")
    return root


def _descriptors() -> dict[int, str]:
    found: dict[int, str] = {}
    for entry in os.scandir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            found[int(entry.name)] = os.readlink(entry.path)
    return {fd: to for fd, to in found.items() if not to.startswith("/proc/")}


def _marked_processes(mark: str) -> list[str]:
    """Living processes, whoever their parent is by now, that inherited this test's mark."""
    wanted = f"{_MARK_VARIABLE}={mark}".encode()
    found = []
    for entry in os.scandir("/proc"):
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        with contextlib.suppress(OSError, psutil.Error):
            if wanted in Path(entry.path, "environ").read_bytes().split(b"\0"):
                process = psutil.Process(int(entry.name))
                found.append(f"{process.pid} {' '.join(process.cmdline())}")
    return found


@pytest.fixture
def no_leaks(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Fails a test that leaves a process, a thread or a file descriptor behind (5 s are given to go by itself).

    Processes are known by a variable in their environment, so that detached and orphaned ones are found too; what is
    left is killed, so that it does not disturb the tests that follow.
    """
    mark = uuid.uuid4().hex
    monkeypatch.setenv(_MARK_VARIABLE, mark)
    zmq.Context.instance().socket(zmq.DEALER).close()  # one context a process, shared by all clients: it stays
    threads_before = set(threading.enumerate())
    descriptors_before = _descriptors()
    yield
    gc.collect()

    def left() -> list[str]:
        threads = [f"thread {t.name}" for t in threading.enumerate() if t not in threads_before and t.is_alive()]
        opened = [f"fd {fd} {to}" for fd, to in _descriptors().items() if descriptors_before.get(fd) != to]
        return [*(f"process {p}" for p in _marked_processes(mark)), *threads, *opened]

    try:
        eventually(lambda: not left(), 5.0, what="everything gone")
    except AssertionError:
        remains = left()
        for line in _marked_processes(mark):
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(line.split()[0]), 9)
        if remains:
            pytest.fail("left behind:\n  " + "\n  ".join(remains))


@pytest.fixture(autouse=True)
def _machine(request: pytest.FixtureRequest) -> Iterator[None]:
    """A test marked `alone` changes something machine-wide (a sysctl, the clock): no other runs beside it.

    Two locks: whoever wants the machine for itself keeps the gate closed while it waits for the others to end.
    """
    if "PYTEST_XDIST_WORKER" not in os.environ:
        yield
        return
    _LOCKS.mkdir(mode=0o700, exist_ok=True)
    alone = request.node.get_closest_marker("alone") is not None
    with (_LOCKS / "gate").open("w") as gate, (_LOCKS / "machine").open("w") as machine:
        fcntl.flock(gate, fcntl.LOCK_EX)
        fcntl.flock(machine, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        fcntl.flock(gate, fcntl.LOCK_UN)
        yield


# --- what could not run -----------------------------------------------------------------------------------------------


class _CouldNotRun:
    """Names every test that was skipped; with SW_TESTS_MUST_RUN=1 (.ci/run) any such test fails the run."""

    def __init__(self) -> None:
        self.reasons: dict[str, str] = {}

    def _note(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        if not report.skipped or hasattr(report, "wasxfail"):
            return
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        self.reasons[report.nodeid] = reason

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._note(report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        self._note(report)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self.reasons and os.environ.get("SW_TESTS_MUST_RUN") == "1" and session.exitstatus == 0:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self.reasons:
            terminalreporter.section("tests that could not run")
            for nodeid, reason in sorted(self.reasons.items()):
                terminalreporter.line(f"{nodeid}: {reason}")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "alone: changes something machine-wide, so no other test runs beside it")
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(_CouldNotRun(), "shardwatch-could-not-run")
