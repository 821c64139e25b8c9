"""What a test starts with fewer rights than it has itself."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")

_PR_CAPBSET_DROP = 24
_CAP_DAC_OVERRIDE, _CAP_DAC_READ_SEARCH = 1, 2


def _bound_by_permissions() -> None:
    """Takes from this thread, and from what it starts, the right to pass over permissions: all that makes root differ here.

    Another user's processes might not even be able to read the interpreter.
    """
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    for capability in (_CAP_DAC_OVERRIDE, _CAP_DAC_READ_SEARCH):
        if prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0) != 0 and os.geteuid() == 0:
            raise OSError(ctypes.get_errno(), "prctl(PR_CAPBSET_DROP)")


def unprivileged(make: Callable[[], T]) -> T:
    """What `make` returns; processes that it starts have no more rights than an ordinary owner of the files."""

    def bound() -> T:
        _bound_by_permissions()
        return make()

    with ThreadPoolExecutor(1) as thread:  # the rights are the thread's: the test itself keeps its own
        return thread.submit(bound).result()
