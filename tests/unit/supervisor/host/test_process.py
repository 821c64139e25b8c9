"""The end of processes, awaited where descriptors and threads are short."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from shardwatch.shard.contract.kernel.scout import Scout
from shardwatch.supervisor.host.process import Process, ended_fd
from shardwatch.supervisor.host.readable import readable


@pytest.fixture
def many_files() -> Iterator[None]:
    """All further descriptors have numbers that select(2) does not take."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 2048), hard))
    opened = [os.open(os.devnull, os.O_RDONLY) for _ in range(1100)]
    yield
    for fd in opened:
        os.close(fd)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.usefixtures("many_files")
def test_many_open_files_are_no_trouble() -> None:
    """As in a program that uses the Python API."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child, Process(child.pid) as process:
        ended = ended_fd(child.pid)
        assert ended > 1023
        assert not process.ended() and not process.wait(0.01) and not readable(ended, 0.0)
        child.kill()
        assert readable(ended, 60.0) and process.wait(60.0) and process.ended()
        os.close(ended)
    scout = Scout()
    assert scout.ask("answers", b"/", 60.0) is not None
    scout.close()


def test_no_thread_is_free_to_wait_for_a_child(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the kernel refuses pidfds. It is an error like any other, and leaves no descriptor."""

    def refused(*_: object) -> int:
        raise OSError(errno.ENOSYS, "refused")

    def full(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(os, "pidfd_open", refused)
    monkeypatch.setattr(threading.Thread, "start", full)
    before = os.listdir("/proc/self/fd")
    with pytest.raises(OSError, match="can't start new thread") as error:
        ended_fd(1)
    assert error.value.errno == errno.EAGAIN and os.listdir("/proc/self/fd") == before
