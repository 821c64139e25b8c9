"""What others see of the arguments of this process, such as `ps`: the kernel shows them from where they lie in the memory of the
process, so the process can replace one (proc_pid_cmdline(5)).

Light: supervisord's process loads it at each start.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Final

#: Stands for an argument that is not known yet. No path of a state directory is longer (`service.state_dir`).
UNKNOWN: Final = "." * 80
#: Where the numbers of proc_pid_stat(5) that say where the arguments begin and end are, behind the name of the program.
_BEGIN, _END = 45, 46


def replace_unknown(argument: bytes) -> None:
    """Has `argument` seen in place of UNKNOWN, and NUL bytes behind it; of a longer one, its beginning. Without an effect where
    there is no UNKNOWN among the arguments of this process, and where the system does not allow it."""
    with contextlib.suppress(OSError):
        numbers = Path("/proc/self/stat").read_bytes().rpartition(b")")[2].split()
        begin, end = int(numbers[_BEGIN]), int(numbers[_END])
        memory = os.open("/proc/self/mem", os.O_RDWR | os.O_CLOEXEC)
        try:
            at = os.pread(memory, end - begin, begin).find(b"\0%s\0" % UNKNOWN.encode())
            if at >= 0:
                os.pwrite(memory, argument[: len(UNKNOWN)].ljust(len(UNKNOWN), b"\0"), begin + at + 1)
        finally:
            os.close(memory)
