"""Locks, epochs, pulses, and the death of whoever started us."""

from __future__ import annotations

import ctypes
import errno
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from waiting import eventually

from shardwatch.shard.contract.errors import InUseError
from shardwatch.shard.contract.process import life
from shardwatch.shard.contract.process.life import (
    Lock,
    Pulse,
    die_with_parent,
    holder_of,
    identity,
    is_absent,
    leads_elsewhere,
    new_epoch,
    wake_on_time,
)
from shardwatch.shard.contract.state.directory import StateDirectory


def test_a_lock_has_one_holder(tmp_path: Path) -> None:
    """Rule 26: and whoever comes second is told who the first is."""
    first = Lock(tmp_path / "x.lock")
    with pytest.raises(InUseError, match=f"process {os.getpid()}") as raised:
        Lock(tmp_path / "x.lock", wait_s=0.03)
    assert raised.value.retryable
    first.close()
    Lock(tmp_path / "x.lock").close()


def test_every_epoch_is_higher(tmp_path: Path) -> None:
    """Rules 5 and 14: words of an earlier life are told apart from those of this one, and no file is asked."""
    epochs = [new_epoch(), new_epoch(), new_epoch(), new_epoch(10**15)]
    assert epochs[3] == 10**15 + 1
    assert epochs[0] <= epochs[1] <= epochs[2] < 1 << 53
    code = "from shardwatch.shard.contract.process.life import new_epoch; print(new_epoch())"
    lives = [int(subprocess.run([sys.executable, "-P", "-c", code], stdout=subprocess.PIPE, check=True).stdout) for _ in range(3)]
    assert epochs[2] < lives[0] < lives[1] < lives[2]


@pytest.mark.parametrize("content", [b"", b"nonsense", b"12 many\n", b"1 2 3\n", b"-5", b"0 1", b"9" * 30, b"\xff" * 64])
def test_a_damaged_lock_file_begins_anew(tmp_path: Path, content: bytes) -> None:
    """The lock is what counts; what the file says is never gone on from."""
    path = tmp_path / "x.lock"
    path.write_bytes(content)
    with path.open("rb") as f:
        assert holder_of(f.fileno()) is None
    lock = Lock(path)
    assert holder_of(lock.fileno()) == (os.getpid(), life.started(os.getpid()))
    assert path.read_bytes() == b"%d %d\n" % (os.getpid(), life.started(os.getpid()))
    lock.close()


def test_the_start_of_a_process_is_known(tmp_path: Path) -> None:
    """A number that is given again belongs to a process that began at another time."""
    assert life.started(os.getpid()) > 0
    assert life.started(2**22 + 1) == 0


def test_a_lock_whose_file_was_replaced_is_not_in_place(tmp_path: Path) -> None:
    """Another may hold a lock of that name by now."""
    lock = Lock(tmp_path / "x.lock")
    assert lock.in_place()
    (tmp_path / "x.lock").unlink()
    assert not lock.in_place()
    (tmp_path / "x.lock").write_text("")
    assert not lock.in_place()
    assert identity(tmp_path / "x.lock") != identity(tmp_path)
    assert identity(tmp_path / "none") is None
    assert os.get_inheritable(lock.fileno()) is False
    lock.close()


def test_what_can_not_be_told_is_not_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory on the way that may not be entered (chmod), where root would enter it all the same: nothing is concluded."""
    lock, before = Lock(tmp_path / "x.lock"), identity(tmp_path / "x.lock")
    with StateDirectory(tmp_path) as state:
        with monkeypatch.context() as closed:
            closed.setattr(os, "stat", _denied)
            assert identity(lock.path) is None
            assert lock.in_place() and state.in_place()
            assert not is_absent(lock.path) and not leads_elsewhere(lock.path, before)
        assert not is_absent(lock.path) and not leads_elsewhere(lock.path, before)
        lock.path.rename(tmp_path / "y.lock")
        assert is_absent(lock.path) and leads_elsewhere(lock.path, before)
        tmp_path.rename(tmp_path.with_name("away"))
        assert not state.in_place()
    lock.close()


def _denied(path: object, **options: object) -> os.stat_result:
    raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)


def test_the_kernel_lets_go_of_a_dead_holders_lock(tmp_path: Path) -> None:
    """However it died; whoever waits gets it then."""
    code = "import sys; from shardwatch.shard.contract.process.life import Lock; from pathlib import Path\n"
    code += "lock = Lock(Path(sys.argv[1])); print('held', flush=True); sys.stdin.read()"
    path = tmp_path / "x.lock"
    with subprocess.Popen(
        [sys.executable, "-P", "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "held\n"
        with pytest.raises(InUseError):
            Lock(path)
        child.kill()
        Lock(path, wait_s=30).close()


def test_a_pulse_is_sent_once_a_second_at_most(state_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However busy the loop is."""
    clock = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as listener:
        listener.bind(str(state_dir / "pulse"))
        pulse = Pulse(state_dir / "pulse")
        for _ in range(5):
            pulse.beat()
        assert listener.recv(100) == b"%d" % os.getpid()
        with pytest.raises(BlockingIOError):
            listener.recv(100)
        clock[0] += 2
        pulse.beat()
        assert listener.recv(100) == b"%d" % os.getpid()
        clock[0] += 2
        pulse.beat(scanning=True)
        assert listener.recv(100) == b"%d scanning" % os.getpid()
        clock[0] += 2
        pulse.beat(ready=True)
        assert listener.recv(100) == b"%d ready" % os.getpid()
        pulse.close()


def test_a_pulse_that_nobody_hears_is_no_error(state_dir: Path) -> None:
    """supervisord may be older, or on its way out."""
    pulse = Pulse(state_dir / "nobody")
    pulse.beat()
    pulse.close()


def test_a_child_dies_with_its_parent() -> None:
    """PR_SET_PDEATHSIG: a killed supervisord leaves nobody behind."""
    child = "import time; from shardwatch.shard.contract.process.life import die_with_parent; die_with_parent(); "
    child += "print('ready', flush=True); time.sleep(600)"
    parent = "import subprocess, sys, time; p = subprocess.Popen([sys.executable, '-P', '-c', sys.argv[1]]); "
    parent += "print(p.pid, flush=True); time.sleep(600)"
    with subprocess.Popen([sys.executable, "-P", "-c", parent, child], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = sorted([process.stdout.readline(), process.stdout.readline()])
        assert lines[1] == "ready\n"
        pid = int(lines[0])
        process.kill()

        def ended() -> bool:
            try:
                return "(zombie)" in Path(f"/proc/{pid}/status").read_text()
            except (FileNotFoundError, ProcessLookupError):
                return True

        eventually(ended)


def test_a_parent_that_is_gone_already_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may die between the fork and the call."""
    parents, sent = [111, 1], []
    monkeypatch.setattr(ctypes, "CDLL", lambda *args, **kwargs: type("Libc", (), {"prctl": lambda *args: 0}))
    monkeypatch.setattr(os, "getppid", lambda: parents.pop(0))
    monkeypatch.setattr(os, "kill", lambda pid, number: sent.append((pid, number)))
    die_with_parent(signal.SIGINT)
    assert sent == [(os.getpid(), signal.SIGINT)]


def test_a_kernel_that_refuses_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Silence would leave orphans."""
    monkeypatch.setattr(ctypes, "CDLL", lambda *args, **kwargs: type("Libc", (), {"prctl": lambda *args: -1}))
    with pytest.raises(OSError, match="PDEATHSIG"):
        die_with_parent()


def test_without_prctl_nothing_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Elsewhere than on Linux the end of standard input is the guard."""
    monkeypatch.setattr(ctypes, "CDLL", lambda *args, **kwargs: object())
    die_with_parent()


def test_a_service_has_an_identity(monkeypatch: pytest.MonkeyPatch) -> None:
    """Inherited through the environment; none for a program that was started by hand."""
    monkeypatch.setenv(life.SERVICE_VARIABLE, "abc")
    assert life.service_id() == "abc"
    monkeypatch.delenv(life.SERVICE_VARIABLE)
    assert life.service_id() == ""


def test_waits_end_on_time() -> None:
    """In the thread that asks for it, and in those that it starts later."""
    slacks: list[int] = []

    def note() -> None:
        slacks.append(ctypes.CDLL(None).prctl(30, 0, 0, 0, 0))  # PR_GET_TIMERSLACK

    def ask() -> None:
        note()
        wake_on_time()
        note()
        below = threading.Thread(target=note)
        below.start()
        below.join()

    asking = threading.Thread(target=ask)
    asking.start()
    asking.join()
    note()
    assert slacks == [slacks[0], 1, 1, slacks[0]]
    assert slacks[0] > 1
