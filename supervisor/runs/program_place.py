"""The program of a command: whether it is there, may be executed, and lies where its filesystem answers.

To start a program is to wait for the filesystem on which it lies, and whoever starts it can't be interrupted in that time.
"""

from __future__ import annotations

import errno
import os
import shlex
import shutil
from typing import Final

from ..host.scouting import Scouts

#: Exit codes of shells for a command that is not there, or that can't be run.
NOT_FOUND: Final = 127
NOT_RUN: Final = 126


def why_unrunnable(program: str) -> tuple[int, str] | None:
    """The exit code of a shell that is told to run it, and why, where there is no such program, or none that may be executed, or
    its filesystem does not answer. Waits for some seconds at most."""
    with ProgramPlace(program) as found:
        silent = found.unanswered()
    if silent:
        return NOT_RUN, f"{program} {silent}"
    if shutil.which(program) is not None:
        return None
    there = os.path.exists(program) if os.sep in program else shutil.which(program, mode=os.F_OK) is not None
    named = shlex.quote(program)
    return (NOT_RUN, f"{named} can't be executed") if there else (NOT_FOUND, f"there is no command {named}")


class ProgramPlace:
    """Where a program lies, as it is found when this is made. Holds a child process if its filesystem may hang; must be closed
    (`with`). Not thread-safe.
    """

    def __init__(self, program: str) -> None:
        self._scouts = Scouts()
        #: Places whose filesystems may hang, and which have to answer: of the program, and of directories in which it is looked
        #: for before.
        self._places = self._found(program) if self._scouts.points else []

    def __enter__(self) -> ProgramPlace:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the child process."""
        self._scouts.close()

    def _found(self, program: str) -> list[bytes]:
        if os.sep in program:
            return self._hanging(program)
        places: list[bytes] = []
        for directory in os.get_exec_path():
            places += self._hanging(directory)
            if self._silent(places):
                break
            path = os.path.join(directory, program)
            places += self._hanging(path)
            if self._silent(places) or os.path.exists(path):
                break
        return places

    def _hanging(self, path: str) -> list[bytes]:
        real = self._scouts.real(os.fsencode(path))
        return [] if self._scouts.mount(real) is None else [real]

    def _silent(self, places: list[bytes]) -> str:
        return next(filter(None, map(self._scouts.unanswered, places)), "")

    def unanswered(self) -> str:
        """What does not answer, as "lies on TYPE (POINT), which does not answer"; "" if the program can be started. Waits for
        `scouting.ANSWER_S` at most, and asks nobody about a filesystem that can't hang.
        """
        silent = self._silent(self._places)
        return silent and f"lies on {silent}"

    def demand(self) -> None:
        """Raises OSError (ETIMEDOUT) if the program can't be started now without waiting for what does not answer."""
        silent = self.unanswered()
        if silent:
            raise OSError(errno.ETIMEDOUT, f"it {silent}")
