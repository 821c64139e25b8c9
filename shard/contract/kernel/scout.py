"""Asks filesystems that may never answer, in a child process. The caller waits only as long as it wants to, and can always
end.

A system call on a network or FUSE filesystem waits for the server. If the server hangs, the process that waits cannot
always be killed. So a child makes the call. The child runs this very file, by its path, so the file imports nothing but
the standard library. Each question is one line, and so is each answer. There is one child per mount, because a child
that hangs can answer no other question.
"""

from __future__ import annotations

import errno
import math
import os
import select
import stat
import sys
import time
from collections.abc import Callable, Sequence
from typing import IO, TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import subprocess

_READ_BYTES: Final = 1 << 16
#: The trouble of a path at which there is nothing.
NOT_THERE: Final = "does not exist"


class Scout:
    """One child, started with the first question. Not thread-safe.

    Questions (`op`), each about one absolute path; every answer has `errno`, 0 where all went well:

    - `answers`: whether the filesystem says anything at all;
    - `root`: what `real_name`, `is_file` and `trouble_with` say of what was named to be watched;
    - `list`: `directories`, `links` and `files`, the names in it.

    Args:
        argv: another program that answers questions by `serve`.
    """

    def __init__(self, argv: Sequence[str] = ()) -> None:
        self._argv = argv or (sys.executable, "-I", "-S", __file__)
        self._child: subprocess.Popen[bytes] | None = None
        self._asked = 0
        self._answered = 0
        self._buffer = b""

    @property
    def waiting(self) -> bool:
        """Whether a question has no answer yet."""
        return self._asked > self._answered

    def ask(self, op: str, path: bytes, timeout_s: float) -> dict[str, Any] | None:
        """The answer; None where there is none in that time, or where an earlier question waits still."""
        deadline = time.monotonic() + timeout_s
        if self.waiting:
            self.answer(timeout_s)
            if self.waiting:
                return None
        self.send(op, path)
        return self.answer(max(0.0, deadline - time.monotonic()))

    def send(self, op: str, path: bytes) -> None:
        """Asks, and does not wait. Raises OSError where no process can be started."""
        if self._child is None:
            self._child = _start(self._argv)
        self._asked += 1
        try:
            assert self._child.stdin is not None
            os.write(self._child.stdin.fileno(), _line([op, os.fsdecode(path)]))
        except BrokenPipeError:
            self._lose()

    def answer(self, timeout_s: float) -> dict[str, Any] | None:
        """The answer to the last question, waited for up to `timeout_s`; None where there is none yet."""
        deadline = time.monotonic() + timeout_s
        while self.waiting and self._child is not None:
            line, newline, rest = self._buffer.partition(b"\n")
            if newline:
                self._buffer = rest
                self._answered += 1
                if not self.waiting:
                    return dict(_parsed(line))
                continue
            assert self._child.stdout is not None
            fd = self._child.stdout.fileno()
            if not _can_be_read(fd, deadline - time.monotonic()):
                return None
            chunk = os.read(fd, _READ_BYTES)
            if not chunk:
                self._lose()
            self._buffer += chunk
        return None

    def _lose(self) -> None:
        """The child is gone, with what it was asked."""
        self.close()
        self._asked = self._answered = 0
        self._buffer = b""

    def close(self) -> None:
        """Ends the child, and does not wait for it: it may be stuck in the kernel for as long as its filesystem hangs."""
        if self._child is None:
            return
        for pipe in (self._child.stdin, self._child.stdout):
            if pipe is not None:
                pipe.close()
        self._child.kill()
        end = time.monotonic() + _END_S
        while self._child.poll() is None and time.monotonic() < end:
            time.sleep(0.001)
        self._child.returncode = self._child.returncode if self._child.returncode is not None else -9  # no warning of it
        self._child = None


#: Seconds that a child which was killed may take to be gone before it is left to init.
_END_S: Final = 0.2


def _start(argv: Sequence[str]) -> subprocess.Popen[bytes]:
    import subprocess

    pipe, null = subprocess.PIPE, subprocess.DEVNULL
    return subprocess.Popen(argv, stdin=pipe, stdout=pipe, stderr=null, start_new_session=True)


def _line(value: object) -> bytes:
    import json  # here, so that nobody pays for it who asks nothing

    return json.dumps(value).encode() + b"\n"


def _can_be_read(fd: int, timeout_s: float) -> bool:
    """Within so many seconds. select(2) takes no descriptor above 1023, and we may be in a program with many files."""
    poller = select.poll()
    poller.register(fd, select.POLLIN)
    return bool(poller.poll(math.ceil(max(0.0, timeout_s) * 1000)))


def _parsed(line: bytes) -> Any:
    import json

    return json.loads(line)


# -- what is asked of names that are to be watched


def real_name(path: bytes) -> bytes:
    """An absolute path with its links resolved, save for a last one that does not lead to a directory: that one is watched by its
    name, like a file."""
    if os.path.islink(path) and not os.path.isdir(path):
        directory, name = os.path.split(path)
        return os.path.join(os.path.realpath(directory), name)
    return os.path.realpath(path)


def is_file(path: bytes) -> bool | None:
    """True for a file, and for a link to anything but a directory; False for whatever else is there; None for nothing."""
    try:
        mode = os.lstat(path).st_mode
        if stat.S_ISLNK(mode):
            return not os.path.isdir(path)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError:
        return False
    return stat.S_ISREG(mode)


def trouble_with(path: bytes) -> str:
    """Why what was named can't be watched; "" if it can."""
    file = is_file(path)
    if file is None:
        return NOT_THERE
    try:
        directory = os.path.dirname(path) if file else path
        if not stat.S_ISDIR(os.stat(directory).st_mode):
            return "is neither a directory nor a file"
    except OSError as error:
        return f"can't be reached: {error.strerror}"
    if os.access(directory, os.R_OK | os.X_OK):
        return ""
    return "can't be watched: its directory can't be read" if file else "can't be read: permission denied"


# -- in the child


def _answer(op: str, path: bytes) -> dict[str, Any]:
    if op == "root":
        return {"errno": 0, "real": os.fsdecode(real_name(path)), "is_file": is_file(path), "trouble": trouble_with(path)}
    if op == "list":
        names: dict[str, Any] = {"errno": 0, "directories": [], "links": [], "files": []}
        with os.scandir(path) as items:
            for item in items:
                kind = "links" if item.is_symlink() else "directories" if item.is_dir(follow_symlinks=False) else "files"
                names[kind].append(os.fsdecode(item.name))
        return names
    os.statvfs(path)
    with os.scandir(path) as items:
        next(items, None)
    return {"errno": 0}


def serve(questions: IO[bytes], answers: IO[bytes], answer: Callable[[str, bytes], dict[str, Any]] = _answer) -> None:
    """The child: answers one question after another, until there are no more. Of an OSError the answer is its `errno`."""
    for line in questions:
        op, path = _parsed(line)
        try:
            found = answer(op, os.fsencode(path))
        except OSError as error:
            found = {"errno": error.errno or errno.EIO}
        answers.write(_line(found))
        answers.flush()


if __name__ == "__main__":
    serve(sys.stdin.buffer, sys.stdout.buffer)
