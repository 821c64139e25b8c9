"""Whether processes grow: memory, descriptors and threads of those that live long, first and last."""

from __future__ import annotations

import time
from dataclasses import dataclass

from chaos.processes import Process, marked

#: A process is judged by its growth after it has lived this long, seconds.
_SETTLED_S = 45.0
_FDS_GROWTH_MAX = 16
_THREADS_GROWTH_MAX = 4
_PSS_GROWTH_MAX = 1.5
_PSS_GROWTH_KIB = 16 << 10


@dataclass(frozen=True)
class Weight:
    at: float
    pss_kib: int
    fds: int
    threads: int

    def __str__(self) -> str:
        return f"{self.pss_kib / 1024:.1f} MiB, {self.fds} fds, {self.threads} threads"


class Scale:
    """Weighs every process of a run at each checkpoint."""

    def __init__(self, mark: str) -> None:
        self._mark = mark
        self._seen: dict[tuple[int, int], tuple[Process, Weight, Weight]] = {}

    def weigh(self) -> None:
        for process in marked(self._mark):
            if process.role in ("other", "nats"):
                continue
            now = Weight(time.monotonic(), process.pss_kib(), process.fds(), process.threads())
            if not now.pss_kib:
                continue
            key = (process.pid, process.started)
            first = self._seen[key][1] if key in self._seen else now
            self._seen[key] = (process, first, now)

    def lines(self) -> list[str]:
        """The longest life of each program: first and last."""
        best: dict[str, tuple[float, str]] = {}
        for process, first, last in self._seen.values():
            age = last.at - first.at
            if age >= best.get(process.role, (-1.0, ""))[0]:
                best[process.role] = (age, f"{process.role} {process.name}, over {age:.0f} s: {first} -> {last}")
        return [line for _, line in sorted(best.values(), key=lambda pair: pair[1])]

    def grown(self) -> list[str]:
        """Processes that lived for some time and are much larger at the end."""
        found = []
        for process, first, last in self._seen.values():
            heavy = last.pss_kib > first.pss_kib * _PSS_GROWTH_MAX + _PSS_GROWTH_KIB
            many = last.fds > first.fds + _FDS_GROWTH_MAX or last.threads > first.threads + _THREADS_GROWTH_MAX
            if last.at - first.at >= _SETTLED_S and (heavy or many):
                found.append(f"{process.role} {process.name} has grown: {first} -> {last}")
        return found
