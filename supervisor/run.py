"""The program that becomes supervisord for one state directory: `python3 -P -m shardwatch.supervisor.run --state-dir DIR`.

It holds `service.lock` for its whole life, so that there is one service in a state directory. Other modules never
import it. It imports only what supervisord needs, because every start loads it.

Exit codes: those of supervisord (0 after a shutdown, 2 for what it refuses), 2 for wrong arguments, 4 if the state
directory is in use, 6 if the state directory was removed.
"""

from __future__ import annotations

import contextlib
import fcntl
import getopt
import os
import pwd
import resource
import shlex
import shutil
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Final

from shardwatch.shard.contract.errors import InUseError, ServiceError, ShardwatchError, UsageError
from shardwatch.shard.contract.process import inherited
from shardwatch.shard.contract.process.life import LOCK_FD, SERVICE_VARIABLE, Lock, die_with_parent
from shardwatch.shard.contract.process.loading import Loading
from shardwatch.shard.contract.state.claim import claim_directory, in_use
from shardwatch.shard.contract.state.contents import DIRECTORIES, examine
from shardwatch.shard.contract.state.directory import StateDirectory
from shardwatch.shard.contract.state.layout import Layout

from .plugin.first_plan import Planner
from .terminal.streams import say

USAGE: Final = """\
usage: python3 -P -m shardwatch.supervisor.run --state-dir DIR [--with-parent] [--ephemeral] [--echo] [--claim FD]

  --state-dir DIR  a directory that shardwatch has prepared
  --with-parent    end when the process that started this one does (death signal, or end of standard input)
  --ephemeral      remove DIR at the end
  --echo           show supervisord's log on standard output too
  --claim FD       a descriptor of DIR, claimed by the one who started this
"""
#: How long another's probe of service.lock, or a predecessor's last moment, may take, seconds.
LOCK_WAIT_S: Final = 1.0
#: Descriptors of the lock and of the directory, which supervisord leaves open when it reloads (SIGHUP): it closes 5 and above.
KEPT_FDS: Final = (LOCK_FD, 3)
KEPT_FD_MAX: Final = 4
#: Descriptors that it closes then, at most.
FDS_CLOSED_MAX: Final = 1024
#: The kernel's word that our parent is gone. Not SIGTERM: it also comes when the *thread* that started us ends.
PARENT_SIGNAL: Final = signal.SIGUSR1


def main(argv: list[str] | None = None) -> int:
    """Runs until supervisord ends; returns the exit code."""
    try:
        options, rest = getopt.getopt(
            sys.argv[1:] if argv is None else argv, "h", ["state-dir=", "with-parent", "ephemeral", "echo", "claim=", "help"]
        )
        given = dict(options)
        if "-h" in given or "--help" in given:
            print(USAGE, end="")
            return 0
        if rest or "--state-dir" not in given:
            raise UsageError("run needs --state-dir DIR and nothing else", hint="see --help")
        inherited.correct_for_service()
        inherited.ignore_signals()  # SIGHUP and SIGUSR2 are supervisord's own: to load its configuration, and its logs, anew
        layout = Layout(os.path.abspath(given["--state-dir"]))
        claim = int(given["--claim"]) if given.get("--claim", "").isdigit() else None
        return run(layout, "--with-parent" in given, "--ephemeral" in given, "--echo" in given, claim)
    except getopt.GetoptError as error:
        say(f"shardwatch: {error} (see --help)")
        return UsageError.exit_code
    except ShardwatchError as error:
        say(f"shardwatch: {error}")
        return error.exit_code


def run(layout: Layout, with_parent: bool, ephemeral: bool, echo: bool, claim: int | None = None) -> int:
    """Takes the directory, then is supervisord. Raises InUseError, or UsageError for a directory that was not prepared.

    `claim`: a descriptor of the directory, inherited with its claim; None: it is claimed here.
    """
    parent = os.getppid()
    signal.signal(signal.SIGTERM, _leave)  # until supervisord has handlers of its own
    if with_parent:
        _follow(parent)
    try:
        state = StateDirectory(layout.state_dir, fd=claim)
        claim_directory(state, LOCK_WAIT_S)
        os.fchdir(state.fd)
        state.close_to_others()
        for name in DIRECTORIES:
            state.make_directory(name)
        examine(state)
        lock = Lock(layout.service_lock, wait_s=LOCK_WAIT_S)
    except InUseError:
        raise in_use(layout.state_dir) from None
    except OSError as error:
        raise UsageError(
            f"{layout.state_dir} is not a prepared state directory: {error.strerror}", hint="start with `shardwatch up`"
        ) from None
    code = 1
    try:
        _keep_low(lock, state)
        for stale in [*layout.sockets(), layout.supervisord_pid]:
            state.remove(os.fspath(stale.relative_to(layout.state_dir)))
        os.environ[SERVICE_VARIABLE] = os.urandom(16).hex()
        os.environ["PATH"] = _path_to_python(sys.executable)
        planner = None if layout.plan.exists() else _plan_ahead(layout)
        code = _supervisord(layout, with_parent, echo, planner)
        if not state.in_place():
            say(f"shardwatch: the state directory {layout.state_dir} was removed while the service ran")
            code = ServiceError.exit_code
    finally:
        with contextlib.suppress(OSError, UsageError):
            for socket in layout.sockets():
                state.remove(os.fspath(socket.relative_to(layout.state_dir)))
        if ephemeral and (code == 0 or os.getppid() != parent) and state.in_place():
            shutil.rmtree(layout.state_dir, ignore_errors=True)
    return code


def _leave(number: int, frame: FrameType | None) -> None:
    raise SystemExit(0)


def _follow(parent: int) -> None:
    """Ends this process by SIGTERM when its parent ends, even before supervisord listens to anything."""

    def parent_signalled(number: int, frame: FrameType | None) -> None:
        if os.getppid() != parent:
            os.kill(os.getpid(), signal.SIGTERM)

    signal.signal(PARENT_SIGNAL, parent_signalled)
    die_with_parent(PARENT_SIGNAL)


def _plan_ahead(layout: Layout) -> Planner:
    """Makes the first plan in a child while this process becomes supervisord, whose plugin then waits for it (`first_plan`).

    The child holds the coordinator's lock meanwhile, so that there is one plan. It holds no lock of this process: with
    supervisord the service ends, and another may begin at once. Whatever goes wrong here goes wrong with the coordinator
    again, and is told there. Where the tree is in no cache and a processor is left over, the child then reads ahead of the
    shards.
    """
    planned, planning = os.pipe2(os.O_CLOEXEC)
    parent = os.getpid()
    child = os.fork()
    if child != 0:
        os.close(planning)
        return Planner(child, planned)
    try:
        for fd in (*KEPT_FDS, planned):
            os.close(fd)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        die_with_parent(signal.SIGKILL, parent)
        lock = Lock(layout.lock("coordinator"))
        with Loading():
            from shardwatch.shard.contract.state.settings import read_settings

            from .planning.planning import ensure_plan
            from .planning.read_ahead import blocks_read, read_ahead
            from .service.state_dir import stamp_plan

        settings = read_settings(layout.settings)
        before = blocks_read()
        plan = ensure_plan(layout, settings)
        stamp_plan(layout, settings, plan)
        lock.close()
        if blocks_read() > before and len(plan.shards()) < len(os.sched_getaffinity(0)):
            with contextlib.suppress(BrokenPipeError):  # supervisord was told to load its configuration anew meanwhile
                os.write(planning, b"1")
            read_ahead(settings)
    finally:
        os._exit(0)


def _keep_low(lock: Lock, state: StateDirectory) -> None:
    """Keeps lock and directory on descriptors that supervisord's reload leaves open, until the kernel closes them at our end."""
    high = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, KEPT_FD_MAX + 1) for fd in (lock.fileno(), state.fd)]
    lock.close()
    state.close()
    # What is in their place was inherited by mistake: nothing of ours is open yet but these two.
    for fd, kept in zip(high, KEPT_FDS, strict=True):
        os.dup2(fd, kept, inheritable=False)
        os.close(fd)
    _, state.fd = KEPT_FDS


def _path_to_python(executable: str) -> str:
    """PATH for the programs, on which `python3` is this Python. The working directory is the state directory."""
    path = os.environ.get("PATH", os.defpath)
    home = os.path.dirname(executable)
    try:
        same = os.pathsep not in home and os.path.samefile(os.path.join(home, "python3"), executable)
    except OSError:
        same = False
    if not same:
        # Another name (python3.12), or a directory that PATH can't express: a script of that name does. A link does
        # not, Python finds its virtual environment by the name that it was started with.
        def script(fd: int) -> bytes:
            os.fchmod(fd, 0o700)
            return b'#!/bin/sh\nexec %s "$@"\n' % os.fsencode(shlex.quote(executable))

        with StateDirectory(Path()) as state, state.below("run") as run:
            run.make_directory("bin")
            run.write_new("bin/python3", script)
        home = "run/bin"
    return home + os.pathsep + path


def _supervisord(layout: Layout, with_parent: bool, echo: bool, planner: Planner | None) -> int:
    with Loading():
        from .plugin import full_disk, rpc, terms  # noqa: F401 - supervisord loads `rpc` by its name, from the configuration
        from .plugin.hang_up import HangUpHandler, Reaction

    full_disk.guard()
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        hang_up = HangUpHandler(Reaction.IGNORE)
    else:
        hang_up = HangUpHandler(Reaction.END if echo and _has_terminal() else Reaction.RELOAD)
    arguments = ["-n", "-c", str(layout.supervisord_conf)]
    # At a reload it closes descriptors below this number; at its start it demands that so many may be open.
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    arguments += ["-a", str(min(FDS_CLOSED_MAX, soft) if soft > 0 else FDS_CLOSED_MAX)]
    if not echo:
        arguments.append("-s")
    if os.getuid() == 0 and _root_has_a_name():
        arguments += ["-u", "0"]  # else supervisord warns of running as root
    try:
        terms.run(arguments, terms.Terms(ends_with_input=with_parent, hang_up=hang_up, planner=planner))
    except SystemExit as leave:
        code = leave.code if isinstance(leave.code, int) else 1
    else:
        code = 0
    return 128 + signal.SIGHUP if hang_up.heard else code


def _has_terminal() -> bool:
    """Whether there is a terminal whose end would be told by a hang-up."""
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError:
        return False
    return True


def _root_has_a_name() -> bool:
    """False in containers without /etc/passwd, where supervisord refuses `-u`."""
    try:
        pwd.getpwuid(0)
    except KeyError:
        return False
    return True


if __name__ == "__main__":
    sys.exit(main())
