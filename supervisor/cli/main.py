"""The program `shardwatch`. It starts the process of a service before it is known which one, where a command will need one, and
then has its arguments read (`command_line`).

Light: the sooner that process begins, the sooner the service is ready. And a Ctrl-C that comes while this module and the package
are loaded shows Python's traceback, so both load little: no `typing`, for example.
"""

from __future__ import annotations

import contextlib
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ..service.early import EarlyProcess


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code. Never lets a traceback out, unless SHARDWATCH_DEBUG is set.

    A Ctrl-C ends the process at once, by the signal, until the command itself begins: Python's exception could be lost in what
    is loaded meanwhile, and there is nothing yet to be cleaned up.
    """
    import signal

    arguments = list(sys.argv[1:] if argv is None else argv)
    interruptible = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if interruptible:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        from shardwatch.shard.contract.process import inherited

        from ..terminal import streams

        streams.make_sound()
        inherited.correct()
        with _early_process(arguments) as early:
            from shardwatch.shard.contract.process.loading import Loading

            with Loading():
                from .command_line import run

            return run(arguments, early)
    except KeyboardInterrupt:  # while the early process ends
        return 128 + signal.SIGINT
    finally:
        if interruptible:
            signal.signal(signal.SIGINT, signal.default_int_handler)


@contextlib.contextmanager
def _early_process(arguments: Sequence[str]) -> Iterator[EarlyProcess | None]:
    """That of the service that `watch` runs, unless help is asked for. Where the arguments turn out to be wrong, it ends
    without having touched anything. None: nobody can tell so soon whether there will be one, or the system refuses another
    process, which is told when the service is started."""
    early = None
    if arguments[:1] == ["watch"] and not {"-h", "--help"}.intersection(arguments):
        from ..service.early import EarlyProcess

        kept = any(word.startswith("--state-dir") for word in arguments)
        with contextlib.suppress(OSError):
            early = EarlyProcess(first=not kept)
    if early is None:
        yield None
    else:
        with early:
            yield early


if __name__ == "__main__":
    sys.exit(main())
