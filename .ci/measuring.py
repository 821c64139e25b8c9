"""Measures which lines every process of the tests runs: each program in Python that `.venv` starts, or that such a one starts.

`measuring.py begin FOLDER` has every interpreter of this environment note its lines in FOLDER, where the environment has
COVERAGE_LINES_TO=FOLDER. `measuring.py collect FOLDER` makes `.coverage` of them, for `coverage report`.

The tests start thousands of processes. Coverage itself would import 90 modules in each of them, which takes longer than most
of these processes take. This is the part of it that traces, its C tracer, and nothing else; the lines are the same.
"""

from __future__ import annotations

import atexit
import marshal
import os
import signal
import sys
import threading
from importlib.machinery import ExtensionFileLoader, ModuleSpec
from types import FrameType, ModuleType

TYPE_CHECKING = False
if TYPE_CHECKING:  # typing takes longer to import than all the rest
    from typing import Any

#: The environment variable with the folder. The tests leave out what begins with COVERAGE where nothing may be measured.
TO = "COVERAGE_LINES_TO"
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
#: What is measured lies here; its rooms are links to folders of the root.
PACKAGE = os.path.join(ROOT, "src", "shardwatch", "")
#: What a file is called until it is whole.
UNFINISHED = ".part"
#: So many of all files may be unfinished, one at least in any case. What those processes ran counts only if others ran it too.
UNFINISHED_MAX = 0.05


class Lines:
    """The lines of the package that this process runs, in all its threads."""

    def __init__(self, tracer: ModuleType) -> None:
        self._tracer = tracer
        self._ran: dict[str, set[int]] = {}
        self._lock = threading.Lock()
        self._known: dict[str, Any] = {}
        #: Of all threads, also of those that have ended: a tracer that is freed ends the tracing of the thread that frees it.
        self._tracers: list[Any] = []

    def start(self) -> None:
        """From now on, in this thread and in those that it starts."""
        threading.settrace(self._in_a_new_thread)
        self._trace()

    def save(self, folder: str) -> None:
        """Under its own name only when it is whole: the process may be killed at any time."""
        whole = os.path.join(folder, f"{os.getpid()}-{os.urandom(8).hex()}")
        lines = {path: set(ran) for path, ran in self._ran.copy().items()}
        try:
            with open(whole + UNFINISHED, "wb") as file:  # noqa: PTH123 - pathlib takes too long to import
                marshal.dump(lines, file)
            os.rename(whole + UNFINISHED, whole)
        except OSError:
            # The program may have made itself another user, or have no descriptor left. Its end must be its own all the same;
            # its lines do not count then, which the report's minimum tells if there are many.
            return

    def _trace(self) -> Any:
        tracer = self._tracer.CTracer()
        tracer.data = self._ran
        tracer.lock_data, tracer.unlock_data = self._lock.acquire, self._lock.release
        tracer.trace_arcs = False
        tracer.should_trace, tracer.should_trace_cache = self._about, self._known
        tracer.should_start_context = tracer.switch_context = tracer.concur_id_func = None
        tracer.check_include = tracer.disable_plugin = tracer.warn = _never
        tracer.file_tracers = {}
        self._tracers.append(tracer)
        return tracer.start()

    def _in_a_new_thread(self, frame: FrameType, event: str, argument: object) -> Any:
        sys.settrace(None)
        trace = self._trace()
        return trace(frame, event, argument) if trace else trace

    def _about(self, path: str, frame: FrameType) -> Any:
        """The tracer asks once for each file."""
        about = self._tracer.CFileDisposition()
        about.original_filename = about.canonical_filename = about.source_filename = path
        about.trace = path.startswith(PACKAGE)
        about.reason, about.file_tracer, about.has_dynamic_filename = "", None, False
        return about


def _never(*_: object) -> None:
    """Called only for plugins, which there are none of."""
    raise AssertionError("nobody has plugins here")


def measure(tracer_file: str) -> None:
    """In a process that starts: what it runs is saved when it ends, by itself or by SIGTERM."""
    loader = ExtensionFileLoader("coverage.tracer", tracer_file)
    tracer = loader.create_module(ModuleSpec(loader.name, loader, origin=tracer_file))
    loader.exec_module(tracer)
    folder = os.environ[TO]
    lines = Lines(tracer)

    def terminated(number: int, _: FrameType | None) -> None:
        lines.save(folder)
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, terminated)
    atexit.register(lines.save, folder)
    lines.start()


# --- before and after the tests ---------------------------------------------------------------------------------------


def start_line() -> str:
    """The line of a .pth file by which an interpreter measures itself if its environment demands it."""
    from coverage import tracer  # the C tracer: if it was not built, this fails here and not in each process

    here = os.path.dirname(os.path.abspath(__file__))
    start = f"sys.path.append({here!r}); import measuring; sys.path.remove({here!r}); measuring.measure({tracer.__file__!r})"
    # An interpreter of a virtual environment reads its .pth files twice.
    return f"import os, sys; os.environ.get({TO!r}) and 'measuring' not in sys.modules and exec({start!r})\n"


def begin(folder: str) -> int:
    """Makes the folder, and writes the line for the interpreter of this environment."""
    import sysconfig
    from pathlib import Path

    Path(folder).mkdir()
    Path(sysconfig.get_path("purelib"), "shardwatch_measuring.pth").write_text(start_line())
    return 0


def collect(folder: str, into: str = os.path.join(ROOT, ".coverage")) -> int:
    """Modules that no process loaded are in it too, with no line. 1 if more are unfinished than kills explain."""
    from pathlib import Path

    from coverage import CoverageData

    rooms = Path(PACKAGE).iterdir()
    modules = (path for room in rooms for path in (room, *room.rglob("*.py")) if path.suffix == ".py")
    ran: dict[str, set[int]] = {os.path.realpath(path): set() for path in modules}
    files = list(Path(folder).iterdir())
    whole = [file for file in files if file.suffix != UNFINISHED]
    for file in whole:
        for path, lines in marshal.loads(file.read_bytes()).items():
            ran[os.path.realpath(path)] |= lines
    Path(into).unlink(missing_ok=True)
    data = CoverageData(into)
    data.add_lines(ran)
    data.touch_files(ran)
    data.close(force=True)
    unfinished = len(files) - len(whole)
    print(f"the lines of {len(whole)} processes; {unfinished} were killed while they wrote theirs")
    return 1 if unfinished > max(1, len(files) * UNFINISHED_MAX) else 0


if __name__ == "__main__":
    sys.exit({"begin": begin, "collect": collect}[sys.argv[1]](sys.argv[2]))
