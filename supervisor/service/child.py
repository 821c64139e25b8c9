"""A service as a child process: starts it, observes it while it becomes ready, and ends it.

`shardwatch watch`, `up --detach` and `RealtimeFileWatcher` all run their service with `ChildService`. Nothing here
daemonizes by itself or leaves a thread behind.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from shardwatch.aggregator.protocol.codes import RETRYABLE
from shardwatch.shard.contract.errors import InUseError, ServiceError, ServiceTimeoutError, ShardwatchError
from shardwatch.shard.contract.state.directory import StateDirectory
from shardwatch.shard.contract.state.layout import Layout

from .early import PROGRAM, EarlyProcess
from .program_findings import keeps_ending, log_name
from .service import STOP_S, last_words, programs, stop

if TYPE_CHECKING:
    from .asker import Asker

#: Seconds of the time to stop that are kept for what supervisord leaves behind.
LEFT_S: Final = 0.2
#: Seconds between two looks at the programs of a service that is waited for.
DEATHS_EVERY_S: Final = 1.0
#: Seconds between two requests of which the first was refused.
_AGAIN_S: Final = 0.01
#: Seconds after which a refusal that may pass (a full disk) has not.
_REFUSED_S: Final = 3.0

Progress = Callable[[Mapping[str, Any]], None]


def command(layout: Layout, *, echo: bool = False, claim: StateDirectory | None = None) -> list[str]:
    """The command line of supervisord's process; `up` in the foreground replaces itself by it (os.execv(argv[0], argv)).

    `claim`: the claimed directory, whose descriptor the process must inherit.
    """
    handed = ["--claim", str(claim.fd)] if claim is not None else []
    return [*PROGRAM, "--state-dir", os.fspath(layout.state_dir), *(["--echo"] if echo else []), *handed]


class ChildService:
    """A service that this process has started. Not thread-safe, but not bound to the thread that made it either.

    To make one starts the service and returns at once, long before it is ready. The service has a session of its own: a
    terminal's Ctrl-C and hang-up do not reach it. What supervisord says before its log is open goes to STATE/logs/start.log.

    Args:
        layout: of a state directory that `prepare` has prepared.
        follow: the service ends when this process does, or at `let_go`.
        ephemeral: the service removes its state directory when it ends.
        claim: what `prepare` claimed, handed over to the service: nobody else can have started one in between. None: the
            service claims the directory itself, or ends with the code of InUseError.
        early: its process, if one was started before all this was known. None: it is started now, in the same way.

    Raises OSError, and UsageError for a log that is no file of ours.
    """

    def __init__(
        self,
        layout: Layout,
        *,
        follow: bool,
        ephemeral: bool = False,
        claim: StateDirectory | None = None,
        early: EarlyProcess | None = None,
    ) -> None:
        self.layout = layout
        arguments = ["--state-dir", os.fspath(layout.state_dir)]
        arguments += ["--with-parent"] if follow else []
        arguments += ["--ephemeral"] if ephemeral else []
        with contextlib.ExitStack() as stack:
            if claim is not None:
                stack.callback(claim.close)
            with StateDirectory(layout.state_dir) as state:
                log = state.open("logs/start.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            stack.callback(os.close, log)
            self._early = EarlyProcess() if early is None else early
            stack.callback(self._early.dismiss)  # it does nothing to one that has its orders
            self._early.give(arguments, log, claim, follow=follow)
        #: supervisord's process: for its number and its exit code.
        self.process = self._early.process
        self._deaths_due = time.monotonic() + DEATHS_EVERY_S

    @property
    def ended(self) -> bool:
        """Whether the service is over; its programs may need another moment."""
        return self.process.poll() is not None

    def check(self) -> None:
        """For those who wait until the service is ready: returns if that can still be.

        Raises what `why_it_ended` gives where it is over, and ServiceError where one of its programs can't be kept alive.
        supervisord is asked for that once in DEATHS_EVERY_S, and may take seconds to answer.
        """
        if self.ended:
            raise self.why_it_ended()
        if time.monotonic() < self._deaths_due:
            return
        self._deaths_due = time.monotonic() + DEATHS_EVERY_S
        for program in programs(self.layout):
            if keeps_ending(program):
                name = log_name(program)
                raise ServiceError(f"{name} keeps ending: {last_words(self.layout, name)}", hint=f"logs: {self.layout.logs}")

    def why_it_ended(self) -> ShardwatchError:
        """What to tell of a service that ended by itself. Blocks until supervisord's process is gone."""
        code = self.process.wait()
        words = last_words(self.layout, "start")
        if code == InUseError.exit_code:
            return InUseError(words.removeprefix("shardwatch: "), hint="stop it (`shardwatch down`), or give another --state-dir")
        if not self.layout.state_dir.exists():
            message = f"the state directory {self.layout.state_dir} was removed while the service ran"
            return ServiceError(message, hint="start again")
        if code < 0:
            message = f"the service's supervisord was killed by signal {-code}"
            return ServiceError(message, hint="start again; a state directory that is kept loses nothing")
        return ServiceError(f"the service ended with code {code}: {words}", hint=f"logs: {self.layout.logs}")

    def wait_ready(self, timeout_s: float, progress: Progress | None = None) -> dict[str, Any]:
        """Waits until every directory is watched and the baseline is committed; returns what the service says then.

        Args:
            timeout_s: how long, at most.
            progress: called with what the service tells of its scan, a few times a second.

        Raises:
            ServiceError: the service ended, or one of its programs can't be kept alive; the message has its last words.
            ServiceTimeoutError: neither ready nor ended within `timeout_s`.
            InUseError: another service was there first.
        """
        from .asker import Asker  # ZeroMQ is loaded while the service starts

        with Asker(self.layout) as asker:
            return self._ready(asker, timeout_s, progress)

    def _ready(self, asker: Asker, timeout_s: float, progress: Progress | None) -> dict[str, Any]:
        deadline = time.monotonic() + timeout_s
        refused_at: float | None = None
        while True:
            self.check()
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                hint = f"it continues to start; see its logs in {self.layout.logs}"
                raise ServiceTimeoutError(f"the service is not ready after {timeout_s:g} s", hint=hint)
            reply = asker.ask("ready", min(left_s, 1.0), wait_ms=200)
            if reply is None:
                continue
            if not reply.get("ok"):
                refused_at = refused_at or time.monotonic()
                if reply.get("error") not in RETRYABLE or time.monotonic() - refused_at > _REFUSED_S:
                    raise ServiceError(str(reply.get("message") or reply.get("error")), hint=str(reply.get("remedy") or ""))
                time.sleep(_AGAIN_S)
                continue
            refused_at = None
            ready = reply.get("ready")
            if isinstance(ready, dict):
                if self.ended:  # it was another's, started since
                    raise self.why_it_ended()
                return ready
            if progress is not None and isinstance(reply.get("progress"), dict):
                progress(reply["progress"])

    def let_go(self) -> None:
        """Closes the socket by which a service that follows knows that this process lives: it ends by itself. Idempotent."""
        self._early.let_go()

    def stop(self, timeout_s: float = STOP_S) -> None:
        """Ends the service, at any point of its life: also before it holds the lock by which others would find it.

        Blocks for up to `timeout_s` seconds, after which what is left is killed, which may take `service.KILL_S` more.
        Idempotent. Raises as `service.stop` does.
        """
        self.process.terminate()
        try:
            self.process.wait(max(0.1, timeout_s - LEFT_S))
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.let_go()
        stop(self.layout, LEFT_S)
