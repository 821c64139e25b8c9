"""What every test shares: state directories short enough for sockets, a small tree, the check for leaks, the rule that a
test which could not run is named, with the reason, and fails `.ci/run`, and the run that takes everything away at its end."""

from __future__ import annotations

import contextlib
import fcntl
import functools
import gc
import json
import os
import re
import shutil
import signal
import subprocess
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path

import cgroups
import guard
import psutil
import pytest
import session
import zmq
from descriptors import descriptors, opened_since
from hypothesis import HealthCheck, settings
from waiting import eventually

# A loaded machine is no reason to fail: examples have no deadline of their own. In CI the examples are always the same.
settings.register_profile("dev", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile(
    "ci", deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("ci" if os.environ.get("CI") else "dev")

_MARK_VARIABLE = "SW_TEST_MARK"
#: Set while a test of xdist runs: a run of pytest that it starts is part of it.
_WITHIN = "SW_TESTS_WITHIN"
#: How a run ends where only tests passed or failed.
_TOLD_BY_TESTS = (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED)
#: How it ends where tests could not run, or left something behind: `.ci/run` does not take it for a test that failed.
_RUN_FAILED = 8
#: Seconds in which what a test began may go by itself: a guard, for a machine that stands still at times.
_LEAK_S = float(os.environ.get("SW_TESTS_LEAK_S", "30"))


# --- fixtures ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def state_dir() -> Iterator[Path]:
    """An empty directory with a short name: a socket's path may have 107 bytes, and pytest's tmp_path is long."""
    path = session.place()
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
    """Fails a test that leaves a process, a thread or a file descriptor behind (each is given time to go by itself).

    Processes are known by a variable in their environment, so that detached and orphaned ones are found too; what is
    left is killed, so that it does not disturb the tests that follow.
    """
    mark = uuid.uuid4().hex
    monkeypatch.setenv(_MARK_VARIABLE, mark)
    zmq.Context.instance().socket(zmq.DEALER).close()  # one context a process, shared by all clients: it stays
    threads_before = set(threading.enumerate())
    descriptors_before = descriptors()
    yield
    gc.collect()

    def left() -> list[str]:
        threads = [f"thread {t.name}" for t in threading.enumerate() if t not in threads_before and t.is_alive()]
        return [*(f"process {p}" for p in _marked_processes(mark)), *threads, *opened_since(descriptors_before)]

    try:
        eventually(lambda: not left(), _LEAK_S, what="everything gone")
    except AssertionError:
        remains = left()
        for line in _marked_processes(mark):
            with contextlib.suppress(ProcessLookupError):
                session.deliver(int(line.split()[0]), signal.SIGKILL)
        if remains:
            pytest.fail("left behind:\n  " + "\n  ".join(remains))


@pytest.fixture(autouse=True)
def _machine(request: pytest.FixtureRequest) -> Iterator[None]:
    """A test marked `alone` changes something machine-wide (a sysctl, the clock): no other runs beside it.

    Two locks: whoever wants the machine for itself keeps the gate closed while it waits for the others to end. So a test within
    a test must not wait at the gate: the outer one would wait for it, and whoever closed the gate for the outer one.
    """
    if "PYTEST_XDIST_WORKER" not in os.environ or _WITHIN in os.environ:
        yield
        return
    locks = guard.home()
    alone = request.node.get_closest_marker("alone") is not None
    with (locks / "gate").open("w") as gate, (locks / "machine").open("w") as machine:
        fcntl.flock(gate, fcntl.LOCK_EX)
        fcntl.flock(machine, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        fcntl.flock(gate, fcntl.LOCK_UN)
        os.environ[_WITHIN] = "1"
        try:
            yield
        finally:
            del os.environ[_WITHIN]


# --- what could not run -----------------------------------------------------------------------------------------------


def _packages() -> dict[str, str]:
    """Command -> the Debian package that brings it: what tests may ask for by `needs`."""
    rows = (line.split() for line in Path(__file__).with_name("apt-packages.txt").read_text().splitlines())
    return {row[1]: row[0] for row in rows if row and not row[0].startswith("#")}


@functools.cache
def _may_mount() -> bool:
    """Root may be root of a container that may neither mount nor set sysctls."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        return False
    at = session.place("probe-")
    done = subprocess.run(["mount", "-t", "tmpfs", "sw-test", at], check=False, capture_output=True)
    if done.returncode == 0:
        subprocess.run(["umount", "--lazy", at], check=True)
    at.rmdir()
    return done.returncode == 0 and os.access("/proc/sys/fs/inotify/max_user_watches", os.W_OK)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """`root` and `needs("program")`: said here, so that no test fails for what the machine lacks."""
    if item.get_closest_marker("root") is not None and not _may_mount():
        pytest.skip("needs root that may mount and set sysctls")
    packages = _packages()
    for mark in item.iter_markers("needs"):
        for command in mark.args:
            package = packages[command]
            if shutil.which(command) is None:
                pytest.skip(f"{command} is missing (Debian: {package})")


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
        if self.reasons and os.environ.get("SW_TESTS_MUST_RUN") == "1" and session.exitstatus in _TOLD_BY_TESTS:
            session.exitstatus = _RUN_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if not self.reasons:
            return
        terminalreporter.section("tests that could not run")
        for nodeid, reason in sorted(self.reasons.items()):
            terminalreporter.line(f"{nodeid}: {reason}")
        packages = sorted(set(re.findall(r"\(Debian: (\S+)\)", " ".join(self.reasons.values()))))
        if packages:
            terminalreporter.line(f"what they need: sudo apt-get install {' '.join(packages)}")


# --- the run ----------------------------------------------------------------------------------------------------------


class _Run:
    """The folders and the guard of this run. What tests left behind for the guard to take away fails the run."""

    def __init__(self) -> None:
        self._session = session.begin()
        self._left: list[str] = []

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        self._left += self._session.end()
        if self._left and session.exitstatus in _TOLD_BY_TESTS:
            session.exitstatus = _RUN_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self._left:
            terminalreporter.section("left behind by tests, taken away now")
            for line in self._left:
                terminalreporter.line(line)

    def pytest_unconfigure(self) -> None:
        self._session.end()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("shardwatch")
    group.addoption("--long", action="store_true", help="the long form of the tests that have one (docs/testing.md)")
    group.addoption("--write-tables", action="store_true", help="write the tables of docs/filesystems.md as they are found")


def pytest_report_header() -> str:
    return f"control groups: {cgroups.offered()}"


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "alone: changes something machine-wide, so no other test runs beside it")
    config.addinivalue_line("markers", "needs(program, ...): not run where one of them (tests/apt-packages.txt) is missing")
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(_CouldNotRun(), "shardwatch-could-not-run")
        config.pluginmanager.register(_Run(), "shardwatch-run")
        if config.option.basetemp is None:
            config.option.basetemp = session.folder() / "t"
