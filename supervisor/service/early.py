"""supervisord's process, started before it is known which service it is for. It loads supervisord meanwhile, which takes as long
as to read the arguments of a command and to prepare a state directory, and then waits for its orders (`host.orders`).

Every service that is a child is started in this way (`child`), and who knows soon enough that there will be one begins sooner.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Sequence
from types import TracebackType
from typing import Final

from shardwatch.shard.contract.state.directory import StateDirectory

from ..host import orders
from ..host.own_arguments import UNKNOWN

#: The program, up to its arguments.
PROGRAM: Final = (sys.executable, "-P", "-m", "shardwatch.supervisor.run")


class EarlyProcess:
    """It begins when this is made, in a session of its own: a terminal's Ctrl-C and hang-up do not reach it. A context manager: a
    process that was given no orders ends with the block. If its parent ends before that, it ends by itself.

    Args:
        first: there will probably be no plan yet. What makes one is loaded as well. It does no harm where there is one.

    Not thread-safe. Raises OSError.
    """

    def __init__(self, *, first: bool = False) -> None:
        self._line, theirs = orders.line()
        self._has_orders = False
        try:
            with theirs:
                #: For its number and its exit code.
                self.process: subprocess.Popen[bytes] = subprocess.Popen(
                    [*PROGRAM, "--orders", *(["--first"] if first else []), "--state-dir", UNKNOWN],
                    stdin=theirs.fileno(),
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    start_new_session=True,
                )
        except BaseException:
            self._line.close()
            raise

    def __del__(self) -> None:
        if hasattr(self, "_line"):  # otherwise it was not begun
            self.let_go()

    def __enter__(self) -> EarlyProcess:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.dismiss()

    def dismiss(self) -> None:
        """Ends it if it has no orders, and returns when it is gone. Idempotent."""
        if not self._has_orders:
            self.let_go()
            self.process.kill()
            self.process.wait()

    def give(self, arguments: Sequence[str], log: int, claim: StateDirectory | None, *, follow: bool) -> None:
        """Tells it what it is for, at most once. Does not block. That the process has ended shows by its exit code alone.

        Args:
            arguments: of the program.
            log: what it writes on its standard output and standard error goes to this descriptor from then on.
            claim: the state directory, claimed. The process holds the claim too from then on.
            follow: the process can tell by its standard input that this one lives, until `let_go`.
        """
        self._has_orders = True
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            descriptors = [log] if claim is None else [log, claim.fd]
            orders.give(self._line, orders.Orders([os.fspath(word) for word in arguments], descriptors))
        if not follow:
            self.let_go()

    def let_go(self) -> None:
        """Closes the socket by which the process knows that this one lives. Idempotent."""
        self._line.close()
