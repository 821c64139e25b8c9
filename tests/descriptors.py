"""Which descriptors this process has open. For tests that demand that none is left."""

from __future__ import annotations

import contextlib
import os


def descriptors() -> dict[int, str]:
    """What each leads to, save for those into /proc."""
    found: dict[int, str] = {}
    for entry in os.scandir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            found[int(entry.name)] = os.readlink(entry.path)
    return {fd: to for fd, to in found.items() if not to.startswith("/proc/")}


def opened_since(before: dict[int, str]) -> list[str]:
    """Those that were not there before, a line each. That others are gone says nothing: ZeroMQ closes what an earlier test had in
    a thread of its own, and Python when it collects garbage.
    """
    return [f"fd {fd} {to}" for fd, to in descriptors().items() if before.get(fd) != to]
