"""What the processes of a service need of the machine, and whether they are allowed that much. Pure.

The numbers are estimates: what was measured (docs/performance.md), rounded up.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from msgspec import Struct

from shardwatch.shard.contract.state.settings import Settings

from ..host.confinement import DOCKER, KUBERNETES, SYSTEMD, Confinement, Limit
from .memory_needs import AGGREGATOR_BYTES, DIRECTORY_BYTES, MIB, SHARD_BYTES, shards_within

#: Bytes of all processes of a service with one shard, pages that they share counted once; and of each further shard.
SERVICE_BYTES: Final = 70 * MIB
FURTHER_SHARD_BYTES: Final = 13 * MIB
#: Processes and threads of a service without shards, and of each shard.
TASKS: Final = 12
SHARD_TASKS: Final = 4
#: The part of a limit of memory that is filled before it counts as too tight: files that are read fill some, too.
_MEMORY_FILLED: Final = 0.8
#: Processors below which a service that is allowed no more is mentioned.
PROCESSORS_MIN: Final = 0.5
#: Descriptors with which some hundred workers can be connected.
OPEN_FILES_MIN: Final = 1_024

#: The setting that raises each limit, by who has set it.
_SETTINGS: Final = {
    "memory": {DOCKER: "--memory", KUBERNETES: "resources.limits.memory", SYSTEMD: "MemoryMax= and MemoryHigh="},
    "processors": {DOCKER: "--cpus", KUBERNETES: "resources.limits.cpu", SYSTEMD: "CPUQuota="},
    "processes": {DOCKER: "--pids-limit", KUBERNETES: "podPidsLimit of the kubelet", SYSTEMD: "TasksMax="},
    "open files": {
        DOCKER: "--ulimit nofile=N:N",
        KUBERNETES: "LimitNOFILE= of the container runtime's unit, on the node",
        SYSTEMD: "LimitNOFILE=",
    },
}


class ShardNeeds(Struct, frozen=True):
    """What one shard needs."""

    directories: int
    files: int
    #: Watches of inotify.
    watches: int

    @property
    def memory_bytes(self) -> int:
        """As ps shows them, which is what `memory_mib_max` limits."""
        return SHARD_BYTES + DIRECTORY_BYTES * self.directories

    def scan_s(self, settings: Settings, shards: int) -> float:
        """How long a scan of all of it takes at least, seconds; 0 where scans are not held back."""
        if not settings.rescan_files_per_s:
            return 0.0
        return (self.files + self.directories) * shards / settings.rescan_files_per_s


def service_bytes(shards: Sequence[ShardNeeds]) -> int:
    """Bytes of all processes together."""
    of_directories = sum(DIRECTORY_BYTES * one.directories for one in shards)
    return SERVICE_BYTES + FURTHER_SHARD_BYTES * max(0, len(shards) - 1) + of_directories


def setting(what: str, by: str) -> str:
    """The setting that raises a limit, with who has it: "memory", "processors", "processes" or "open files"."""
    name = _SETTINGS[what].get(by)
    return f"raise {name} ({by})" if name else f"raise it where it is set for {what}"


def troubles(settings: Settings, shards: Sequence[ShardNeeds], confinement: Confinement) -> Iterator[tuple[str, str]]:
    """(message, remedy) of each limit that is too tight for these shards."""
    needed = service_bytes(shards)
    memory = confinement.memory
    if memory is not None and needed > _MEMORY_FILLED * memory.value:
        message = f"the service needs about {_mib(needed)}, and {_said(memory)} allows {_mib(memory.value)}: beyond it, "
        message += "the kernel slows it down" if memory.file == "memory.high" else "the kernel kills its processes"
        yield message, setting("memory", confinement.by)
    if memory is not None and confinement.killed:
        times = "once" if confinement.killed == 1 else f"{confinement.killed:,} times"
        message = f"the kernel has killed a process here for its memory, {times}: {_said(memory)} allows {_mib(memory.value)}"
        yield message, setting("memory", confinement.by)
    yield from _own_cap(settings, shards, memory, confinement.by)
    processors = confinement.processors
    if processors is not None and processors.value < PROCESSORS_MIN:
        message = f"{_said(processors)} allows {processors.value:g} processors: scans and bursts take so much longer"
        yield message, setting("processors", confinement.by)
    tasks, processes = TASKS + SHARD_TASKS * len(shards), confinement.processes
    if processes is not None and processes.value < tasks:
        message = f"{_said(processes)} allows {processes.value:,.0f} processes and threads, and the service needs about {tasks}"
        yield message, setting("processes", confinement.by)
    files = confinement.open_files
    if files is not None and files < OPEN_FILES_MIN:
        message = f"{files:,} files may be open in a process: fewer workers can be connected at a time"
        yield message, f"{setting('open files', confinement.by)}, to {OPEN_FILES_MIN:,} at least"


def _own_cap(settings: Settings, shards: Sequence[ShardNeeds], memory: Limit | None, by: str) -> Iterator[tuple[str, str]]:
    """What `memory_mib_max` does not suffice for, and what it does not keep."""
    cap = settings.memory_mib_max * MIB
    if not cap:
        return
    most = max((one.memory_bytes for one in shards), default=SHARD_BYTES)
    needed = {"a shard": most, "the aggregator": AGGREGATOR_BYTES}
    short = [f"{name} needs about {_mib(count)}" for name, count in needed.items() if count > cap]
    if short:
        remedy = f"set memory_mib_max to {-(-max(needed.values()) * 3 // 2 // MIB):,}"
        enough = shards_within(cap, sum(one.memory_bytes - SHARD_BYTES for one in shards))
        if enough > len(shards) and cap >= AGGREGATOR_BYTES:  # nothing else has an aggregator do with less
            remedy += f", or shards to {enough}"
        goes_on = "it runs on" if len(short) == 1 else "they run on"
        yield f"{' and '.join(short)}, and memory_mib_max is {settings.memory_mib_max:,}: {goes_on} with more", remedy
    together = cap * (len(shards) + 1)
    if memory is not None and together > memory.value:
        message = f"memory_mib_max allows the shards and the aggregator {_mib(together)} together, and {_said(memory)} "
        message += f"{_mib(memory.value)}: they may be killed before they are started again"
        yield message, f"set memory_mib_max lower, or {setting('memory', by)}"


def _said(limit: Limit) -> str:
    return f"{limit.file} of {limit.directory}"


def _mib(count: float) -> str:
    return f"{count / MIB:,.0f} MiB"
