"""A writer that does nothing else: C, compiled when first needed, or the same in tight Python where there is no compiler.

As a program, `writers.py KIND LIST COUNT RATE STAMPS` does what writer.c does.
"""

from __future__ import annotations

import array
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

_HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Written:
    """Monotonic seconds of the first and the last operation, and what it cost the writer."""

    begin: float
    end: float
    cpu_s: float
    #: Monotonic seconds of each operation, if they were asked for.
    stamps: Sequence[float] = ()

    @property
    def seconds(self) -> float:
        return self.end - self.begin


class Writers:
    """Compiles once, in a directory of its own."""

    def __init__(self) -> None:
        import session  # of the tests: this file is a program too, which finds nothing beside itself

        self._home = session.place()
        self.kind = "C"
        self._command = [str(self._home / "writer")]
        compiler = shutil.which("cc") or shutil.which("gcc")
        source = str(_HERE / "writer.c")
        if compiler is None or subprocess.run([compiler, "-O2", "-o", self._command[0], source], check=False).returncode:
            self.kind = "Python"
            self._command = [sys.executable, "-I", str(_HERE / "writers.py")]

    def begin(
        self, paths: Sequence[bytes], count: int = 0, *, kind: str = "write", rate: float = 0.0, stamps: bool = False
    ) -> Running:
        """Starts `count` operations (default: one a path), round the paths; `rate` a second, 0 as fast as it goes."""
        list_ = self._home / f"list-{len(paths)}-{time.monotonic_ns()}"
        list_.write_bytes(b"".join(path + b"\0" for path in paths))
        out = f"{list_}.stamps" if stamps else ""
        arguments = [kind, str(list_), str(count or len(paths)), str(rate), out]
        return Running(subprocess.Popen([*self._command, *arguments], stdout=subprocess.PIPE), out)

    def run(self, paths: Sequence[bytes], count: int = 0, *, kind: str = "write") -> Written:
        """The same, to its end."""
        with self.begin(paths, count, kind=kind) as running:
            return running.wait()

    def close(self) -> None:
        shutil.rmtree(self._home, ignore_errors=True)


class Running:
    """A writer at work; leaving the block ends it."""

    def __init__(self, process: subprocess.Popen[bytes], stamps: str) -> None:
        self._process = process
        self._stamps = stamps

    def __enter__(self) -> Running:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._process.kill()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def running(self) -> bool:
        return self._process.poll() is None

    def wait(self) -> Written:
        out, _ = self._process.communicate()
        if self._process.returncode:
            raise RuntimeError(f"the writer failed with {self._process.returncode}")
        stamps = array.array("d")
        if self._stamps:
            stamps.frombytes(Path(self._stamps).read_bytes())
        return Written(**json.loads(out), stamps=stamps)


def save(path: bytes, body: bytes) -> float:
    """An atomic save, as editors do it: write aside, fsync, rename. Returns the monotonic time of the rename's return."""
    aside = path + b".tmp"
    fd = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    os.write(fd, body)
    os.fsync(fd)
    os.close(fd)
    os.rename(aside, path)
    return time.monotonic()


def main(arguments: list[str]) -> None:
    kind, list_, count, rate, out = arguments[0], arguments[1], int(arguments[2]), float(arguments[3]), arguments[4]
    paths = Path(list_).read_bytes().split(b"\0")[:-1]
    stamps = array.array("d")
    begin = time.monotonic()
    for i in range(count):
        if rate > 0 and (wait := begin + i / rate - time.monotonic()) > 0.002:
            time.sleep(wait)
        path = paths[i % len(paths)]
        if kind == "read":
            fd = os.open(path, os.O_RDONLY)
            os.read(fd, 4096)
        else:
            fd = os.open(path, os.O_WRONLY | os.O_TRUNC)
            os.write(fd, b'{"_type": "Module", "n": %d}\n' % i)
        os.close(fd)
        if out:
            stamps.append(time.monotonic())
    end = time.monotonic()
    if out:
        Path(out).write_bytes(stamps.tobytes())
    print(json.dumps({"begin": begin, "end": end, "cpu_s": time.process_time()}))


if __name__ == "__main__":
    main(sys.argv[1:])
