"""What processes cost: processor time, wake-ups, memory. Processes of one side are known by a variable in their environment.

A process that has ended counts too: the kernel adds its time to that of its parent, once the parent has waited for it.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass, field
from pathlib import Path

MARK = "SW_PERF_MARK"
#: Ends of words in the command lines of our processes.
_NAMES = (
    ("shardwatch.shard.main", "shards"), ("shardwatch.aggregator.main", "aggregator"), ("supervisor.coordinator", "coordinator"),
    ("shardwatch.supervisor.run", "supervisord"), ("bin/shardwatch", "watch"), ("shardwatch.supervisor.cli.main", "watch"),
)  # fmt: skip
_TICK_S = 1 / os.sysconf("SC_CLK_TCK")


def marked(mark: str) -> list[int]:
    """Living processes whose environment has the mark, whoever their parent is by now."""
    wanted = f"{MARK}={mark}".encode()
    found = []
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                if wanted in Path(entry.path, "environ").read_bytes().split(b"\0"):
                    found.append(int(entry.name))
    return sorted(found)


def name_of(pid: int) -> str:
    """shards, aggregator, coordinator, supervisord, watch, consumer, or the program's own name."""
    with contextlib.suppress(OSError):
        command = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
        for ending, name in _NAMES:
            if any(part.endswith(ending) for part in command[:9]):
                return name
        if any(os.path.basename(part).startswith("use_") for part in command[:3]):
            return "consumer"
        return os.path.basename(command[0])
    return "gone"


@dataclass(frozen=True)
class Usage:
    """Sums over the processes of a product, since each began; and, by itself, the processor time of its consumer, where that is
    another process."""

    cpu_s: float = 0.0
    wakeups: int = 0
    cpu_by_name: dict[str, float] = field(default_factory=dict)
    consumer_s: float | None = None

    def since(self, before: Usage) -> Usage:
        names = {n: round(s - before.cpu_by_name.get(n, 0.0), 4) for n, s in self.cpu_by_name.items()}
        consumer_s = None if self.consumer_s is None else self.consumer_s - (before.consumer_s or 0.0)
        return Usage(self.cpu_s - before.cpu_s, self.wakeups - before.wakeups, names, consumer_s)

    def figures(self) -> dict[str, float]:
        """As a row notes them: `cpu_s` of the product, `cpu_NAME_s` of its parts, `consumer_cpu_s`."""
        found = {"cpu_s": self.cpu_s, **{f"cpu_{name}_s": seconds for name, seconds in self.cpu_by_name.items()}}
        return found if self.consumer_s is None else {**found, "consumer_cpu_s": self.consumer_s}


def usage(pids: list[int], consumer: int | None = None) -> Usage:
    """Processor time (to the nanosecond where the kernel tells it, else to its tick) and voluntary context switches.

    `consumer`: the pid of a consumer whose time is told by itself; it is not among the processes of the product.
    """
    total, wakeups = 0.0, 0
    names: dict[str, float] = {}
    for pid in pids:
        with contextlib.suppress(OSError):
            cpu = _cpu_s(pid)
            total += cpu
            name = name_of(pid)
            names[name] = names.get(name, 0.0) + cpu
            for task in os.scandir(f"/proc/{pid}/task"):
                for line in Path(task.path, "status").read_text().splitlines():
                    if line.startswith("voluntary_ctxt_switches"):
                        wakeups += int(line.split()[1])
    return Usage(total, wakeups, names, None if consumer is None else _cpu_s(consumer))


def _cpu_s(pid: int) -> float:
    """Of a process, and of its children that have ended (in ticks)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    coarse = (int(fields[11]) + int(fields[12])) * _TICK_S
    ended = (int(fields[13]) + int(fields[14])) * _TICK_S
    fine = 0.0
    for task in os.scandir(f"/proc/{pid}/task"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            fine += int(Path(task.path, "schedstat").read_text().split()[0]) / 1e9
    # Threads that ended are in the process's own sum only.
    return ended + (fine if abs(fine - coarse) < 0.05 else coarse)


@dataclass(frozen=True)
class Memory:
    """Bytes, summed over processes by their share (PSS)."""

    pss: int = 0
    #: Of these, pages that files back (code, and whatever is mapped from databases): clean ones can be dropped at any time.
    file: int = 0
    anonymous: int = 0
    by_name: dict[str, int] = field(default_factory=dict)


def memory(pids: list[int]) -> Memory:
    """From smaps_rollup: every shared page is counted once, in parts."""
    sums = {"Pss": 0, "Pss_File": 0, "Pss_Anon": 0}
    names: dict[str, int] = {}
    for pid in pids:
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
                key, _, value = line.partition(":")
                if key in sums:
                    size = int(value.split()[0]) * 1024
                    sums[key] += size
                    if key == "Pss":
                        names[name_of(pid)] = names.get(name_of(pid), 0) + size
    return Memory(sums["Pss"], sums["Pss_File"], sums["Pss_Anon"], names)
