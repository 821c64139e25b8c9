"""Our supervisord, started for real, with stub programs in place of the aggregator, the shards and the coordinator."""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
import session
from session import deliver
from supervisor import events
from supervisor.supervisord import Supervisor
from waiting import eventually

from shardwatch.shard.contract.errors import InUseError, ServiceError
from shardwatch.shard.contract.state.directory import TEMPORARY_VARIABLE, StateDirectory, temporary_value
from shardwatch.shard.contract.state.layout import Layout
from shardwatch.shard.contract.state.planfile import Anchor, Plan, read_plan, write_plan
from shardwatch.shard.contract.state.settings import Settings
from shardwatch.supervisor.plugin.breaker import DELAY_S_MAX, SHORT_LIVES_MAX
from shardwatch.supervisor.plugin.rearm import Rearm
from shardwatch.supervisor.plugin.wake import Wake
from shardwatch.supervisor.run import _path_to_python
from shardwatch.supervisor.service import service
from shardwatch.supervisor.service.child import ChildService, command
from shardwatch.supervisor.service.control import supervisord
from shardwatch.supervisor.service.state_dir import Prepared, prepare

#: Hang guard of every wait, seconds.
GUARD_S = 60.0

#: A program that tells of its life in stub/log, and does what stub/NAME.mode says: `exit` at once, be `stuck`, have a `thread`.
STUB = """
import os, select, signal, sys
name = os.environ.get("SHARD_ID") or sys.argv[1]
os.makedirs("stub", exist_ok=True)
def mode():
    try:
        with open(f"stub/{name}.mode") as f:
            return f.read()
    except OSError:
        return ""
def say(word):
    with open("stub/log", "a") as f:
        f.write(f"{word} {name} {os.getpid()}\\n")
def leave(*_):
    say("term")
    if mode() != "stuck":
        os._exit(0)
signal.signal(signal.SIGTERM, leave)
say("start")
print(f"hello from {name}", flush=True)
if mode() == "exit":
    sys.exit(3)
if mode() == "thread":
    import _thread, time
    _thread.start_new_thread(time.sleep, (3600,))
    say("thread")
while True:
    ready, _, _ = select.select([0], [], [], 60)
    if ready and not os.read(0, 1):
        say("eof")
        os._exit(0)
"""


def alive(pid: int) -> bool:
    """Whether the process exists and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1][0] != "Z"
    except (FileNotFoundError, ProcessLookupError):  # it ended before that was opened, or before it was read
        return False


class Ground:
    """A prepared state directory whose programs are stubs, and what the stubs said."""

    def __init__(self, state_dir: Path, stub: Path, *, real: tuple[str, ...] = ()) -> None:
        root = stub.parent / "root"
        root.mkdir(exist_ok=True)
        self.settings = Settings(roots=(os.fsencode(root),), include=("*",), exclude=())
        self.stub = stub
        self.real = real
        self.state_dir = state_dir
        self.processes: list[subprocess.Popen[bytes]] = []
        self.layout = self.prepare().layout

    def prepare(self) -> Prepared:
        """`prepare`, and then stubs in the configuration."""
        prepared = prepare(self.state_dir, self.settings)
        conf = prepared.layout.supervisord_conf
        text = conf.read_text()
        for name, module in (
            ("shard", "shard.main"),
            ("aggregator", "aggregator.main"),
            ("coordinator", "supervisor.coordinator"),
        ):
            if name not in self.real:
                launched = rf"-P -m shardwatch\.shard\.contract\.process\.launch .*shardwatch\.{module} --state-dir \."
                text = re.sub(launched, f"-S -E {self.stub} {name}", text)
        conf.write_text(text)
        if prepared.claim is not None:
            prepared.claim.close()  # the service claims it itself
        return prepared

    def start(self, *, follow: bool = True, **options: Any) -> subprocess.Popen[bytes]:
        self.child = ChildService(self.layout, follow=follow, **options)
        process = self.child.process
        self.processes.append(process)
        eventually(lambda: process.poll() is not None or service.programs(self.layout))
        assert process.poll() is None, service.last_words(self.layout, "start")
        return process

    def patient(self) -> None:
        """Programs get a minute to end before they are killed: supervisord's own wait is too short for a machine that stalls."""
        conf = self.layout.supervisord_conf
        conf.write_text(re.sub("^stopwaitsecs = .*", "stopwaitsecs = 60", conf.read_text(), flags=re.MULTILINE))

    def stop(self) -> bool:
        """What `service.stop` says; it need not kill supervisord here."""
        return service.stop(self.layout, GUARD_S)

    def add(self, *shards: str) -> None:
        with supervisord(self.layout.supervisor_socket, GUARD_S) as proxy:
            for shard in shards:
                proxy.shards.add(shard)  # False where the first plan has it
        for shard in shards:
            self.wait_pid(shard)

    def lines(self, word: str) -> list[tuple[str, int]]:
        """What the stubs said: (name, pid) in order."""
        try:
            text = (self.layout.state_dir / "stub/log").read_text()
        except FileNotFoundError:
            return []
        rows = [line.split() for line in text.splitlines()]
        return [(row[1], int(row[2])) for row in rows if row[0] == word]

    def mode(self, name: str, mode: str) -> None:
        (self.layout.state_dir / "stub").mkdir(exist_ok=True)
        (self.layout.state_dir / f"stub/{name}.mode").write_text(mode)

    def programs(self) -> dict[str, dict[str, Any]]:
        """supervisord's view, by name; empty only where it does not listen."""
        return {row["name"]: row for row in service.programs(self.layout, GUARD_S)}

    def states(self) -> dict[str, str]:
        return {name: row["state"] for name, row in self.programs().items()}

    def pids(self) -> dict[str, int]:
        return {name: row["pid"] for name, row in self.programs().items()}

    def wait_pid(self, name: str, other_than: int = 0) -> int:
        """The pid of a program once its stub runs and listens to signals."""

        def found() -> int:
            pid = self.pids().get(name, 0)
            return pid if pid and pid != other_than and (name, pid) in self.lines("start") else 0

        return eventually(found)

    def ctl(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """supervisorctl as a user runs it, from another directory."""
        return subprocess.run(
            [sys.executable, "-P", "-m", "supervisor.supervisorctl", "-c", str(self.layout.supervisord_conf), *arguments],
            cwd="/",
            capture_output=True,
            text=True,
            timeout=GUARD_S,
            check=False,
        )

    def close(self) -> None:
        if self.state_dir.is_dir():
            self.stop()
        for process in self.processes:
            if process.stdin is not None:
                process.stdin.close()
            process.wait(GUARD_S)


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A short directory with the stub in it, and children that find this checkout."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2] / "src"))
    path = session.place()
    (path / "stub.py").write_text(STUB)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def ground(place: Path) -> Iterator[Ground]:
    """A prepared state directory; whatever runs there at the end is stopped."""
    ground = Ground(place / "state", place / "stub.py")
    yield ground
    ground.close()


def test_stops_in_order_and_leaves_nothing(ground: Ground) -> None:
    """The coordinator gets its signal first, then all shards, then the aggregator; no process or socket is left."""
    ground.patient()
    process = ground.start()
    ground.add("s0", "s1", "s2")
    ground.wait_pid("aggregator")
    ground.wait_pid("coordinator")
    assert ground.stop()
    order = [name for name, _ in ground.lines("term")]
    assert order[0] == "coordinator"
    assert sorted(order[1:4]) == ["s0", "s1", "s2"]
    assert order[4:] == ["aggregator"]
    assert process.wait(GUARD_S) == 0
    assert not any(alive(pid) for _, pid in ground.lines("start"))
    assert sorted(path.name for path in ground.layout.run.iterdir()) == ["plan.key"]
    assert not ground.stop(), "nothing is left to stop"


def test_stuck_programs_are_killed_in_time(ground: Ground) -> None:
    """Programs that ignore SIGTERM are killed one group after the other, by supervisord itself, which has STOP_S for all."""
    waits = re.findall(r"^stopwaitsecs = (\d+)$", ground.layout.supervisord_conf.read_text(), re.MULTILINE)
    assert len(waits) == 3 and sum(map(int, waits)) < service.STOP_S
    for name in ("aggregator", "coordinator", "s0", "s1"):
        ground.mode(name, "stuck")
    process = ground.start()
    ground.add("s0", "s1")
    ground.wait_pid("aggregator")
    ground.wait_pid("coordinator")
    ground.stop()
    assert process.wait(GUARD_S) == 0, "supervisord ended by itself"
    log = ground.layout.log("supervisord").read_text()
    assert set(re.findall(r"killing '(\w+)\S*' \(\d+\) with SIGKILL", log)) == {"aggregator", "coordinator", "s0", "s1"}
    assert not any(alive(pid) for _, pid in ground.lines("start"))


def test_stopped_supervisord_is_killed(ground: Ground) -> None:
    """A supervisord that does not react (SIGSTOP) is killed after the time given, and its programs notice."""
    process = ground.start()
    ground.add("s0")
    deliver(process.pid, signal.SIGSTOP)
    assert service.stop(ground.layout, 0.2)
    assert process.wait(GUARD_S) == -signal.SIGKILL
    eventually(lambda: not any(alive(pid) for _, pid in ground.lines("start")))


@pytest.mark.parametrize(("grace_s", "state"), [(60, "STARTING"), (0, "RUNNING")])
def test_killed_shard_is_back(ground: Ground, grace_s: int, state: str) -> None:
    """A shard killed with -9 has a new process at once, early or late in its life; the others keep theirs."""
    conf = ground.layout.supervisord_conf
    conf.write_text(conf.read_text().replace("startsecs = 1", f"startsecs = {grace_s}"))
    ground.start()
    ground.add("s0", "s1")
    other = ground.pids()["s1"]
    for _ in range(2):
        eventually(partial(_is_in, ground, "s0", state))
        old = ground.pids()["s0"]
        deliver(old, signal.SIGKILL)
        ground.wait_pid("s0", other_than=old)
    assert ground.pids()["s1"] == other


def _is_in(ground: Ground, name: str, state: str) -> bool:
    return ground.states()[name] == state


@pytest.mark.parametrize("name", ["aggregator", "coordinator", "s0"])
def test_failing_program_is_never_given_up(ground: Ground, name: str) -> None:
    """A program that exits at once is started again and again, also a shard whose stand-in does so too; it runs once it can."""
    ground.mode(name, "exit")
    ground.start()
    if name == "s0":
        with supervisord(ground.layout.supervisor_socket, GUARD_S) as proxy:
            proxy.shards.add("s0")
    eventually(lambda: len([line for line in ground.lines("start") if line[0] == name]) > SHORT_LIVES_MAX + 1)
    row = ground.programs()[name]
    assert row["state"] != "FATAL"
    assert row["breaker"] in ("waiting", "trying", "stand-in")
    assert row["short_lives"] >= SHORT_LIVES_MAX
    assert row["retry_s"] <= DELAY_S_MAX
    with pytest.raises(ServiceError, match=f"{name} keeps ending: hello from {name}"):
        ground.child.wait_ready(GUARD_S)
    ground.mode(name, "")
    with supervisord(ground.layout.supervisor_socket, GUARD_S) as proxy:
        assert proxy.shards.rearm(name) is True
    eventually(lambda: ground.states()[name] == "RUNNING")


def test_fatal_is_taken_back(ground: Ground) -> None:
    """Even where supervisord gives up after one retry (FATAL), the program goes on being started."""
    conf = ground.layout.supervisord_conf
    conf.write_text(conf.read_text().replace("startretries = 1000000", "startretries = 1"))
    ground.mode("aggregator", "exit")
    process = ground.start()
    eventually(lambda: len([line for line in ground.lines("start") if line[0] == "aggregator"]) >= 6)
    assert ground.states()["aggregator"] != "FATAL"
    assert process.poll() is None
    ground.stop()
    assert process.wait(GUARD_S) == 0, "a program in BACKOFF does not hold up the end"


def test_group_survives_reread_and_reload(ground: Ground) -> None:
    """reread finds nothing to do; supervisord's own reload starts the plan's shards again and keeps the lock."""
    ground.start()
    ground.add("s0", "s1")
    before = ground.pids()
    assert "No config updates" in ground.ctl("reread").stdout
    assert ground.pids() == before
    root = ground.settings.roots[0]
    write_plan(ground.layout.plan, Plan(7, (Anchor(root, "s1", root), Anchor(root + b"/x", "s2", root)), "k"))
    (ground.layout.run / "plan.key").write_text("k")
    for _ in range(2):
        old = ground.wait_pid("aggregator")
        assert "Restarted supervisord" in ground.ctl("reload").stdout
        ground.wait_pid("aggregator", other_than=old)
        for shard in ("s1", "s2"):
            ground.wait_pid(shard)
        assert "s0" not in ground.pids()
        with pytest.raises(InUseError):
            ground.prepare()
    old = ground.wait_pid("s1")
    deliver(old, signal.SIGKILL)
    ground.wait_pid("s1", other_than=old)


def test_plan_of_other_settings_is_not_started(ground: Ground) -> None:
    """Shards of a plan whose key is not the one that `prepare` found wait for the coordinator."""
    root = ground.settings.roots[0]
    write_plan(ground.layout.plan, Plan(7, (Anchor(root, "s1", root),), "old"))
    (ground.layout.run / "plan.key").write_text("new")
    ground.start()
    assert set(ground.pids()) == {"aggregator", "coordinator"}
    ground.layout.plan.write_text("{")
    assert ground.stop()
    ground.start()
    assert set(ground.pids()) == {"aggregator", "coordinator"}


def test_programs_notice_the_death_of_supervisord(ground: Ground) -> None:
    """kill -9 of supervisord: the programs end, and the next start cleans up what it left."""
    process = ground.start()
    ground.add("s0")
    process.kill()
    process.wait(GUARD_S)
    eventually(lambda: not any(alive(pid) for _, pid in ground.lines("start")))
    assert ground.layout.supervisor_socket.exists()
    assert not service.running(ground.layout)
    ground.prepare()
    ground.start()
    ground.add("s0")


def test_follows_its_parent_and_removes_the_directory(ground: Ground) -> None:
    """kill -9 of the process that started it ends everything, and an ephemeral state directory is gone."""
    code = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from shardwatch.shard.contract.state.layout import Layout\n"
        "from shardwatch.supervisor.service.child import ChildService\n"
        "child = ChildService(Layout(sys.argv[1]), follow=True, ephemeral=True)\n"
        "print(child.process.pid, flush=True)\n"
        "time.sleep(1000)\n"
    )
    with subprocess.Popen([sys.executable, "-P", "-c", code, ground.state_dir], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        eventually(lambda: service.programs(ground.layout))
        ground.add("s0")
        started = [line[1] for line in ground.lines("start")]
        # By which its programs know that nothing has to be on the disk.
        with StateDirectory(ground.state_dir) as state:
            told = f"{TEMPORARY_VARIABLE}={temporary_value(state)}".encode()
        assert all(told in Path(f"/proc/{program}/environ").read_bytes().split(b"\0") for program in started)
        parent.kill()
    eventually(lambda: not any(map(alive, [pid, *started])))
    eventually(lambda: not ground.state_dir.exists())


def test_closed_standard_input_ends_it(ground: Ground) -> None:
    """Closing the socket to it is enough, whatever thread started it."""
    process = ground.start()
    ground.child.let_go()
    assert process.wait(GUARD_S) == 0


def test_survives_the_thread_that_started_it(ground: Ground) -> None:
    """The kernel's death signal also comes when the starting *thread* ends: that is not the parent's death."""
    thread = threading.Thread(target=ground.start)
    thread.start()
    thread.join()
    ground.add("s0")
    assert ground.processes[0].poll() is None


def test_detached_service_does_not_follow(ground: Ground) -> None:
    """Without `follow` it runs in a session of its own, with nothing of ours, until it is stopped."""
    process = ground.start(follow=False)
    assert os.getsid(process.pid) == process.pid
    assert os.readlink(f"/proc/{process.pid}/fd/0") == "/dev/null"
    assert ground.stop()
    assert process.wait(GUARD_S) == 0
    assert ground.state_dir.is_dir()


def test_second_service_is_refused(ground: Ground) -> None:
    """One state directory, one service: the second says so in one line, and the first does not notice."""
    ground.start()
    second = subprocess.run(command(ground.layout), capture_output=True, text=True, timeout=GUARD_S, check=False)
    assert second.returncode == InUseError.exit_code
    assert second.stderr.startswith("shardwatch: a service is running in")
    assert len(second.stderr.splitlines()) == 1
    assert ground.programs()


def test_lock_outlives_a_reload_whatever_was_inherited(ground: Ground) -> None:
    """Descriptors 3 and 4 taken by the starter: the lock still lies where supervisord's reload closes nothing."""
    argv = ["sh", "-c", 'exec "$@" 3</dev/null 4</dev/null', "sh", *command(ground.layout)]
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL) as process:
        old = ground.wait_pid("aggregator")
        ground.ctl("reload")
        ground.wait_pid("aggregator", other_than=old)
        assert service.running(ground.layout)
        assert ground.stop()
        assert process.wait(GUARD_S) == 0


def test_python_of_another_name(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`python3` on the programs' PATH is the Python that runs supervisord, whatever its name and directory."""
    home = place / "a:b 'c'"
    home.mkdir()
    (home / "python3.99").write_bytes(b"#!/bin/sh\necho this one $1\n")
    (home / "python3.99").chmod(0o700)
    (place / "run").mkdir()
    monkeypatch.chdir(place)
    path = _path_to_python(str(home / "python3.99"))
    result = subprocess.run(["sh", "-c", "python3 x"], env={"PATH": path}, capture_output=True, text=True, check=True)
    assert result.stdout == "this one x\n"
    assert _path_to_python(sys.executable).split(":")[0] == str(Path(sys.executable).parent)


class _Broken:
    """Stands for anything of supervisord's that is not as expected."""

    def __getattr__(self, name: str) -> object:
        raise RuntimeError(name)


def test_no_callback_raises() -> None:
    """An exception in a callback would end supervisord: whatever comes, there is none, and the loop keeps its sleep."""
    stock = list(events.callbacks)
    try:
        rearm = Rearm(cast(Supervisor, _Broken()))
        for callback in (rearm._on_starting, rearm._on_backoff, rearm._on_exited, rearm._on_stopped, rearm._on_fatal):
            callback(cast(events.ProcessStateEvent, _Broken()))
        wake = Wake.__new__(Wake)
        wake._supervisord = cast(Supervisor, _Broken())
        wake._write_fd = wake._read_fd = -1
        slept: list[float] = []

        def stock_poll(timeout: float) -> tuple[list[int], list[int]]:
            slept.append(timeout)
            return [], []

        wake._stock_poll = stock_poll
        assert wake._poll(1.0) == ([], [])
        assert slept == [1.0]
        wake.kick()
        wake.handle_read_event()
        wake.handle_error()
    finally:
        events.callbacks[:] = stock


@pytest.mark.parametrize(
    ("arguments", "word"),
    [(["--state-dir"], "requires argument"), (["x"], "--state-dir"), (["--state-dir", "/nowhere"], "prepared")],
)
def test_wrong_arguments_of_run(place: Path, arguments: list[str], word: str) -> None:
    """One line, exit code 2."""
    argv = [*command(Layout("/x"))[:4], *arguments]
    result = subprocess.run(argv, capture_output=True, text=True, timeout=GUARD_S, check=False)
    assert result.returncode == 2
    assert word in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_supervisorctl(ground: Ground) -> None:
    """status, shards, restart, tail and shutdown work from anywhere."""
    process = ground.start()
    ground.add("s0")
    eventually(lambda: set(ground.states().values()) == {"RUNNING"})
    title = "shards:s0-root"  # it has all of a root of this name
    assert title in ground.ctl("status").stdout
    for name in ("shards:s0", title):
        assert title in ground.ctl("status", name).stdout
        assert ground.ctl("pid", name).stdout == f"{ground.pids()['s0']}\n"
    eventually(lambda: "hello from s0" in ground.ctl("tail", "shards:s0").stdout)
    old = ground.pids()["s0"]
    assert "started" in ground.ctl("restart", "shards:s0").stdout
    assert ground.wait_pid("s0") != old
    listed = ground.ctl("shards")
    assert listed.returncode == 0
    shown = ["aggregator", title, "coordinator", "down", "error:", "->"]  # a stub answers nobody
    assert [line.split()[0] for line in listed.stdout.splitlines()] == shown
    assert ground.ctl("shards", title, "aggregator").stdout.count("RUNNING") == 2
    one = ground.ctl("shards", "s0", "shards:none")
    assert "RUNNING" in one.stdout
    assert "none: ERROR (no such program)" in one.stdout
    assert one.returncode == 1
    assert "state, pid, uptime" in ground.ctl("help", "shards").stdout
    ground.ctl("shutdown")
    assert process.wait(GUARD_S) == 0
    assert ground.ctl("shards").returncode != 0


@pytest.mark.parametrize("bad", ["", "A", "a b", "../x", "a:b", "s" * 64, "%(here)s", 7])
def test_only_ids_are_taken(ground: Ground, bad: str | int) -> None:
    """Nothing but an id gets through XML-RPC: no path, no command, no expansion."""
    import xmlrpc.client

    ground.start()
    with supervisord(ground.layout.supervisor_socket, GUARD_S) as proxy, pytest.raises(xmlrpc.client.Fault, match="BAD_NAME"):
        proxy.shards.add(bad)


def test_add_and_remove_are_idempotent(ground: Ground) -> None:
    """A second `add` or `remove` says False; a removed shard's process is gone, and the id can be used again. It is one
    that the first plan, which may come late, does not have."""
    ground.start()
    ground.add("s7")
    old = ground.pids()["s7"]
    with supervisord(ground.layout.supervisor_socket, GUARD_S) as proxy:
        assert proxy.shards.add("s7") is False
        assert proxy.shards.remove("s7") is True
        assert proxy.shards.remove("s7") is False
        assert not alive(old)
        assert "s7" not in ground.pids()
        assert proxy.shards.rearm("s7") is False
    ground.add("s7")


def test_a_shard_whose_removal_nobody_waits_for_runs_again_once_it_is_added(ground: Ground) -> None:
    """Whoever has asked for it was killed, or gave up, before the shard had ended: it is added while it ends, and after that. A
    shard that an operator has stopped stays so."""
    ground.patient()
    for shard in ("s0", "s1"):
        ground.mode(shard, "stuck")
    ground.start()
    ground.add("s0", "s1")
    old = ground.pids()
    for shard in ("s0", "s1"):
        with supervisord(ground.layout.supervisor_socket, 0.2) as proxy, pytest.raises(OSError, match="timed out"):
            proxy.shards.remove(shard)
        eventually(lambda: {name for name, _ in ground.lines("term")} >= {shard})  # noqa: B023 - it is asked at once
        ground.mode(shard, "")
    assert ground.states()["s0"] == ground.states()["s1"] == "STOPPING"
    with supervisord(ground.layout.supervisor_socket, GUARD_S) as proxy:
        assert proxy.shards.add("s0") is True
        assert proxy.shards.add("s0") is False
        for shard in ("s0", "s1"):
            deliver(old[shard], signal.SIGKILL)
        ground.wait_pid("s0", other_than=old["s0"])
        eventually(lambda: "s1" not in ground.states())
        assert proxy.shards.add("s1") is True
        ground.wait_pid("s1", other_than=old["s1"])
        assert proxy.supervisor.stopProcess("shards:s0")
        assert proxy.shards.add("s0") is False
        assert ground.states()["s0"] == "STOPPED"


@contextlib.contextmanager
def kept_by_the_kernel(pid: int) -> Iterator[None]:
    """A process with a second thread can be killed, but does not end: somebody traces that thread, and must take note of its end
    first (ptrace(2)). So it is with one that is stuck in the kernel."""
    (thread,) = (int(task.name) for task in Path(f"/proc/{pid}/task").iterdir() if task.name != str(pid))
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.ptrace(0x4206, thread, None, None) == 0, os.strerror(ctypes.get_errno())  # PTRACE_SEIZE
    try:
        yield
    finally:
        deliver(pid, signal.SIGKILL)
        os.waitpid(thread, 0x40000000)  # __WALL: also of a thread


def test_a_shard_that_the_kernel_keeps_holds_up_nobody(ground: Ground) -> None:
    """Whoever removes it waits some seconds, and less than they may be silent. One that is wanted again is started once the
    kernel lets it go, another is taken out."""
    for shard in ("s0", "s1"):
        ground.mode(shard, "thread")
    ground.start()
    ground.add("s0", "s1")
    eventually(lambda: {name for name, _ in ground.lines("thread")} == {"s0", "s1"})
    old = ground.pids()
    with contextlib.ExitStack() as kept:
        for shard in ("s0", "s1"):
            kept.enter_context(kept_by_the_kernel(old[shard]))
        with supervisord(ground.layout.supervisor_socket, GUARD_S) as proxy:
            for shard in ("s0", "s1"):
                assert proxy.shards.remove(shard) is True
            assert proxy.shards.add("s0") is True
            rpc: Any = proxy
            eventually(lambda: {row["name"] for row in rpc.shards.status() if row["stuck_s"]} == {"s0", "s1"})
        assert ground.states()["s0"] == ground.states()["s1"] == "STOPPING"
    ground.wait_pid("s0", other_than=old["s0"])
    eventually(lambda: "s1" not in ground.states())


@pytest.mark.parametrize("name", ["a b", "50% off", "q'u\"o", "semi ;b #c", "üñï→", "%(here)s", "~x", "a:b", "$(id)"])
def test_odd_state_directories(place: Path, name: str) -> None:
    """Every name that `prepare` takes works to the end: start, add, tail, restart, stop."""
    ground = Ground(place / name, place / "stub.py")
    try:
        ground.start()
        ground.add("s0")
        eventually(lambda: "hello from s0" in ground.ctl("tail", "shards:s0").stdout)
        assert ground.layout.log("shard-s0").exists()
        assert ground.stop()
    finally:
        ground.close()


def test_coordinator_runs_the_plan(place: Path) -> None:
    """The real coordinator adds the plan's shards, removes others, and a kept plan keeps its generation."""
    ground = Ground(place / "state", place / "stub.py", real=("coordinator",))
    try:
        ground.start()
        plan = eventually(lambda: read_plan(ground.layout.plan))
        for shard in plan.shards():
            ground.wait_pid(shard)
        with supervisord(ground.layout.supervisor_socket, GUARD_S) as proxy:
            assert proxy.shards.add("stranger")  # which a coordinator that is still starting takes out at once
        old = ground.pids()["coordinator"]
        eventually(lambda: ground.states()["coordinator"] == "RUNNING")
        deliver(old, signal.SIGKILL)
        eventually(lambda: "stranger" not in ground.states())
        assert ground.stop()
        assert f"plan {plan.generation}:" in ground.layout.log("coordinator").read_text()
        prepared = ground.prepare()
        assert prepared.resumed
        assert prepared.notes == ()
        ground.start()
        assert set(plan.shards()) <= set(ground.pids()), "they do not wait for the coordinator"
        assert ground.stop()
        assert read_plan(ground.layout.plan) == plan
        ground.settings = msgspec.structs.replace(ground.settings, include=("*.x",))
        ground.prepare()
        ground.start()
        eventually(lambda: (now := read_plan(ground.layout.plan)) is not None and now.generation > plan.generation)
    finally:
        ground.close()


def test_coordinator_leaves_with_supervisord(place: Path) -> None:
    """It ends with code 0 on SIGTERM, when its standard input ends, and refuses wrong arguments in one line."""
    ground = Ground(place / "state", place / "stub.py")
    argv = [sys.executable, "-P", "-m", "shardwatch.supervisor.coordinator"]
    with subprocess.Popen(
        [*argv, "--state-dir", "."], stdin=subprocess.PIPE, cwd=ground.state_dir, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert b" shardwatch.coordinator: plan " in process.stdout.readline()
        assert b"does not answer" in process.stdout.readline()
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(GUARD_S) == 0
    with subprocess.Popen(
        [*argv, "--state-dir", "."], stdin=subprocess.PIPE, cwd=ground.state_dir, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.terminate()
        assert process.wait(GUARD_S) == 0
    wrong = subprocess.run(argv, capture_output=True, text=True, timeout=GUARD_S, check=False)
    assert wrong.returncode == 2
    assert wrong.stderr.count("\n") == 1
    ground.layout.settings.write_text("{")
    broken = subprocess.run(
        [*argv, "--state-dir", "."], cwd=ground.state_dir, capture_output=True, text=True, timeout=GUARD_S, check=False
    )
    assert broken.returncode == 1
    assert broken.stderr.count("\n") == 1
