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
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Final

from shardwatch.shard.contract.errors import InUseError, ServiceError, ShardwatchError, UsageError
from shardwatch.shard.contract.process import inherited
from shardwatch.shard.contract.process.life import LOCK_FD, SERVICE_VARIABLE, Lock, die_with_parent
from shardwatch.shard.contract.process.loading import Loading
from shardwatch.shard.contract.state.claim import claim_directory, in_use
from shardwatch.shard.contract.state.contents import DIRECTORIES, examine
from shardwatch.shard.contract.state.directory import TEMPORARY_VARIABLE, StateDirectory, temporary_value
from shardwatch.shard.contract.state.layout import Layout

from .host.orders import take
from .host.own_arguments import replace_unknown
from .plugin.first_plan import Planner
from .terminal.streams import say

USAGE: Final = """\
usage: python3 -P -m shardwatch.supervisor.run --state-dir DIR [--with-parent] [--ephemeral] [--echo] [--claim FD]
       python3 -P -m shardwatch.supervisor.run --orders [--first] [--state-dir ...]

  --state-dir DIR  a directory that shardwatch has prepared
  --with-parent    end when the process that started this one does (death signal, or end of standard input)
  --ephemeral      remove DIR at the end
  --echo           show supervisord's log on standard output too
  --claim FD       a descriptor of DIR, claimed by the one who started this
  --orders         load supervisord first, and take the other arguments from a socket on standard input, with descriptors: of
                   what is standard output and standard error from then on, and of DIR, if it is claimed. DIR is shown to others
                   (ps) in place of the dots that stand for it until then
  --first          load what makes a plan as well, since there probably is none
"""
#: How long another's probe of service.lock, or a predecessor's last moment, may take, seconds.
LOCK_WAIT_S: Final = 1.0
#: Descriptors of the lock and of the directory, which supervisord leaves open when it reloads (SIGHUP): it closes 5 and above.
KEPT_FDS: Final = (LOCK_FD, 3)
KEPT_FD_MAX: Final = 4
#: Bytes of a path, at most (PATH_MAX of Linux).
PATH_BYTES_MAX: Final = 4096
#: Descriptors that it closes then, at most.
FDS_CLOSED_MAX: Final = 1024
#: The kernel's word that our parent is gone. Not SIGTERM: it also comes when the *thread* that started us ends.
PARENT_SIGNAL: Final = signal.SIGUSR1


def main(argv: list[str] | None = None) -> int:
    """Runs until supervisord ends; returns the exit code."""
    arguments = sys.argv[1:] if argv is None else argv
    early = None
    if arguments[:1] == ["--orders"]:
        try:
            early = _FirstPlanner() if "--first" in arguments else None
            _load()
        finally:  # what goes wrong is told where the orders say
            arguments = _ordered()
    try:
        options, rest = getopt.getopt(arguments, "h", ["state-dir=", "with-parent", "ephemeral", "echo", "claim=", "help"])
        given = dict(options)
        if "-h" in given or "--help" in given:
            print(USAGE, end="")
            return 0
        if rest or "--state-dir" not in given:
            raise UsageError("run needs --state-dir DIR and nothing else", hint="see --help")
        inherited.correct_for_service()
        inherited.ignore_signals()  # SIGHUP and SIGUSR2 are supervisord's own: to load its configuration, and its logs, anew
        layout = Layout(os.path.abspath(given["--state-dir"]))
        replace_unknown(os.fsencode(layout.state_dir))
        claim = int(given["--claim"]) if given.get("--claim", "").isdigit() else None
        return run(layout, "--with-parent" in given, "--ephemeral" in given, "--echo" in given, claim, early)
    except getopt.GetoptError as error:
        say(f"shardwatch: {error} (see --help)")
        return UsageError.exit_code
    except ShardwatchError as error:
        say(f"shardwatch: {error}")
        return error.exit_code


def _ordered() -> list[str]:
    """Waits for the arguments, and writes from then on to where it is told. Ends this process if nobody is left to give any."""
    given = take()
    if given is None:
        raise SystemExit(0)
    arguments, (log, *claimed) = given
    for fd in (1, 2):
        os.dup2(log, fd)
    os.close(log)
    if "--with-parent" not in arguments:
        null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        os.dup2(null, 0)
        os.close(null)
    return [*arguments, "--claim", str(claimed[0])] if claimed else arguments


def run(
    layout: Layout,
    with_parent: bool,
    ephemeral: bool,
    echo: bool,
    claim: int | None = None,
    early: _FirstPlanner | None = None,
) -> int:
    """Takes the directory, then is supervisord. Raises InUseError, or UsageError for a directory that was not prepared.

    `claim`: a descriptor of the directory, inherited with its claim; None: it is claimed here. `early`: who makes the
    plan if there is none, where that was begun already.
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
        os.environ.pop(TEMPORARY_VARIABLE, None)
        if ephemeral:
            os.environ[TEMPORARY_VARIABLE] = temporary_value(state)
        planner = _plan_ahead(layout, early)
        code = _supervisord(layout, with_parent, echo, planner)
        if not state.in_place():
            say(f"shardwatch: the state directory {layout.state_dir} was removed while the service ran")
            code = ServiceError.exit_code
    finally:
        with contextlib.suppress(OSError, UsageError):
            for socket in layout.sockets():
                state.remove(os.fspath(socket.relative_to(layout.state_dir)))
        if ephemeral and (code == 0 or os.getppid() != parent) and state.in_place():
            import shutil  # needed here alone, and supervisord has loaded it by now

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


class _FirstPlanner:
    """A child that makes the first plan while this process becomes supervisord, whose plugin then waits for it (`first_plan`). It
    loads what it needs as soon as this is made, and waits then to be told for which service.

    The child holds the coordinator's lock meanwhile, so that there is one plan. It holds no lock of this process: with
    supervisord the service ends, and another may begin at once. Whatever goes wrong here goes wrong with the coordinator
    again, and is told there. Where the tree is in no cache and a processor is left over, the child then reads ahead of the
    shards.
    """

    def __init__(self, held: Sequence[int] = ()) -> None:
        """`held`: descriptors of the locks of this process."""
        told, self._tell = _pipe()
        self._planned, planning = _pipe()
        parent = os.getpid()
        self._child = os.fork()
        if self._child == 0:
            try:
                for fd in (*held, self._tell, self._planned):
                    os.close(fd)
                signal.signal(signal.SIGTERM, signal.SIG_DFL)
                die_with_parent(signal.SIGKILL, parent)
                _make_plan(told, planning)
            finally:
                os._exit(0)
        os.close(told)
        os.close(planning)

    def begin(self, layout: Layout) -> Planner:
        """Has it make the plan of this service. Call this at most once."""
        with contextlib.suppress(BrokenPipeError):  # it has ended, which its other pipe tells
            os.write(self._tell, os.fsencode(layout.state_dir))
        os.close(self._tell)
        return Planner(self._child, self._planned)

    def dismiss(self) -> None:
        """There is a plan."""
        os.kill(self._child, signal.SIGKILL)
        os.waitpid(self._child, 0)
        os.close(self._tell)
        os.close(self._planned)


def _pipe() -> list[int]:
    """A pipe beyond the descriptors that are for what this process holds (`_keep_low`)."""
    low = os.pipe2(os.O_CLOEXEC)
    high = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, KEPT_FD_MAX + 1) for fd in low]
    for fd in low:
        os.close(fd)
    return high


def _make_plan(told: int, planning: int) -> None:
    """In the child. `told`: where the state directory will be named; `planning`: where it is said that there is a plan."""
    inherited.correct_for_service()
    with Loading():
        from shardwatch.shard.contract.state.settings import read_settings

        from .planning.planning import ensure_plan, room_left
        from .planning.read_ahead import blocks_read, read_ahead
        from .service.state_dir import stamp_plan

    room = room_left()  # before it is known which service it is for: this depends on the machine alone
    state_dir = os.read(told, PATH_BYTES_MAX)
    if not state_dir:
        return
    layout = Layout(os.fsdecode(state_dir))
    lock = Lock(layout.lock("coordinator"))
    settings = read_settings(layout.settings)
    before = blocks_read()
    plan = ensure_plan(layout, settings, room=room)
    stamp_plan(layout, settings, plan)
    lock.close()
    if blocks_read() > before and len(plan.shards()) < len(os.sched_getaffinity(0)):
        with contextlib.suppress(BrokenPipeError):  # supervisord was told to load its configuration anew meanwhile
            os.write(planning, b"1")
        read_ahead(settings)


def _plan_ahead(layout: Layout, early: _FirstPlanner | None) -> Planner | None:
    """Has the first plan made; None where there is one."""
    if not layout.plan.exists():
        return (early or _FirstPlanner(KEPT_FDS)).begin(layout)
    if early is not None:
        early.dismiss()
    return None


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


#: What supervisord imports for its web page, for other ways to name a factory, and for what it is asked (`Loading`).
_CALLED: Final = {
    "html": ("escape",),
    "html.entities": (),
    "html.parser": ("HTMLParser",),
    "importlib.metadata": ("EntryPoint",),
    "xml.etree.ElementTree": ("iterparse",),
}


def _load() -> None:
    """Loads supervisord, if it is not. It loads `rpc` itself, by its name in the configuration."""
    with Loading(_CALLED):
        from .plugin import full_disk, hang_up, no_page, rpc, terms  # noqa: F401

    no_page.install()


def _supervisord(layout: Layout, with_parent: bool, echo: bool, planner: Planner | None) -> int:
    _load()
    from .plugin import full_disk, terms
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
