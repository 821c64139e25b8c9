"""Becomes another program in a state that an odd parent left it in: `python -I odd_start.py CONDITION... -- PROGRAM ARGUMENT...`.

CONDITION: `ignore=CHLD,TERM` `block=ALL` `close=0,1,2` `stray=PATH` (a descriptor above 2 on that file, which an exec keeps)
`nofile=512` `fsize=BYTES` `umask=777` `gone` (the working directory is removed) `errno=ENOSYS:434,424` (a filter of system calls
answers these numbers so). Standard library only; Linux on x86-64 or AArch64, whose newer system calls have the same numbers.
"""

from __future__ import annotations

import ctypes
import errno
import os
import resource
import signal
import struct
import sys
import tempfile

#: pidfd_send_signal, pidfd_open, close_range, openat2: what filters older than these calls refuse.
NEWER_CALLS = "424,434,436,437"

_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _MODE_FILTER = 38, 22, 2
_LOAD_NUMBER, _JUMP_IF_EQUAL, _RETURN = 0x20, 0x15, 0x06
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000


class _Program(ctypes.Structure):
    _fields_ = (("len", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def _refuse(answer: int, numbers: list[int]) -> None:
    """A seccomp filter (seccomp(2)), which every process started from here on inherits."""
    lines = [struct.pack("HBBI", _LOAD_NUMBER, 0, 0, 0)]
    for number in numbers:
        lines.append(struct.pack("HBBI", _JUMP_IF_EQUAL, 0, 1, number))
        lines.append(struct.pack("HBBI", _RETURN, 0, 0, _ERRNO | answer))
    lines.append(struct.pack("HBBI", _RETURN, 0, 0, _ALLOW))
    program = _Program(len(lines), b"".join(lines))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) or libc.prctl(_PR_SET_SECCOMP, _MODE_FILTER, ctypes.byref(program), 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")


def apply(condition: str) -> None:
    name, _, value = condition.partition("=")
    match name:
        case "ignore":
            for word in value.split(","):
                signal.signal(signal.Signals[f"SIG{word}"], signal.SIG_IGN)
        case "block":
            signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        case "close":
            for fd in map(int, value.split(",")):
                os.close(fd)
        case "stray":
            os.set_inheritable(os.open(value, os.O_RDWR), True)
        case "nofile":
            resource.setrlimit(resource.RLIMIT_NOFILE, (int(value), int(value)))
        case "softnofile":
            resource.setrlimit(resource.RLIMIT_NOFILE, (int(value), resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
        case "fsize":
            resource.setrlimit(resource.RLIMIT_FSIZE, (int(value), int(value)))
        case "umask":
            os.umask(int(value, 8))
        case "gone":
            os.chdir(tempfile.mkdtemp())
            os.rmdir(os.getcwd())
        case "errno":
            answer, _, numbers = value.partition(":")
            _refuse(getattr(errno, answer), [int(number) for number in numbers.split(",")])
        case _:
            raise ValueError(condition)


if __name__ == "__main__":
    split = sys.argv.index("--")
    for _condition in sys.argv[1:split]:
        apply(_condition)
    os.execv(sys.argv[split + 1], sys.argv[split + 1 :])
