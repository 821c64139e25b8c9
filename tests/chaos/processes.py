"""The processes of a run as /proc shows them: who is there, what they weigh, what they watch."""

from __future__ import annotations

import contextlib
import os
import signal
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

#: Every process of a run inherits it, so that orphans are found too.
MARK = "SW_CHAOS_MARK"
_ROLES = {
    b"shardwatch.supervisor.run": "supervisord",
    b"shardwatch.aggregator.main": "aggregator",
    b"shardwatch.supervisor.coordinator": "coordinator",
    b"shardwatch.shard.main": "shard",
    b"chaos.consumer": "consumer",
    b"shardwatch.supervisor.cli.main": "exec",
    b"chaos.command": "run",
    b"chaos.remote": "remote",
}


@dataclass(frozen=True)
class Process:
    """One process, at the moment when it was found."""

    pid: int
    #: supervisord | aggregator | coordinator | shard | ship | consumer | exec | guard (of an exec) | run (of an exec) | remote |
    #: nats | other
    role: str
    #: The shard's id, the consumer's worker name, else the role.
    name: str
    started: int

    def send(self, number: signal.Signals) -> bool:
        """Signals it, and nobody who got its pid since; False if it is gone."""
        try:
            pidfd = os.pidfd_open(self.pid)
        except OSError:
            return False
        try:
            if _started(self.pid) != self.started:
                return False
            signal.pidfd_send_signal(pidfd, number)
        except OSError:
            return False
        finally:
            os.close(pidfd)
        return True

    def pss_kib(self) -> int:
        """Proportional set size; 0 if it is gone."""
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{self.pid}/smaps_rollup").read_bytes().splitlines():
                if line.startswith(b"Pss:"):
                    return int(line.split()[1])
        return 0

    def fds(self) -> int:
        try:
            return len(os.listdir(f"/proc/{self.pid}/fd"))
        except OSError:
            return 0

    def threads(self) -> int:
        try:
            return len(os.listdir(f"/proc/{self.pid}/task"))
        except OSError:
            return 0

    def watched(self) -> set[tuple[bytes, bytes]]:
        """(device, inode) of every directory that it watches by inotify."""
        found = set()
        with contextlib.suppress(OSError):
            for entry in os.scandir(f"/proc/{self.pid}/fdinfo"):
                with contextlib.suppress(OSError):
                    for line in Path(entry.path).read_bytes().splitlines():
                        if line.startswith(b"inotify "):
                            fields = dict(f.split(b":", 1) for f in line.split()[1:] if b":" in f)
                            found.add((fields[b"sdev"], fields[b"ino"]))
        return found


def _started(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[19])


def marked(mark: str) -> Iterator[Process]:
    """All living processes of a run but this one."""
    wanted = f"{MARK}={mark}".encode()
    for number in os.listdir("/proc"):
        if not number.isdigit() or int(number) == os.getpid():
            continue
        with contextlib.suppress(OSError, IndexError):
            environment = Path("/proc", number, "environ").read_bytes().split(b"\0")
            if wanted not in environment:
                continue
            pid = int(number)
            arguments = Path("/proc", number, "cmdline").read_bytes().split(b"\0")
            role = next((role for module, role in _ROLES.items() if module in arguments), "other")
            if role == "exec" and b"ship" in arguments:
                role = "ship"
            elif role == "exec" and os.getsid(pid) == pid:
                role = "guard"
            elif os.path.basename(arguments[0]) == b"nats-server":
                role = "nats"
            name = role
            if role == "shard":
                name = next((v[9:].decode() for v in environment if v.startswith(b"SHARD_ID=")), "?")
            elif role in ("consumer", "remote"):
                name = arguments[arguments.index(b"--worker") + 1].decode()
            elif role == "nats":
                name = Path(os.fsdecode(arguments[arguments.index(b"-c") + 1])).parent.name
            elif role == "other":
                name = b" ".join(arguments).decode(errors="replace")
            yield Process(pid, role, name, _started(pid))


def watched_twice(processes: list[Process]) -> int:
    """Directories that more than one living shard watches."""
    counts = Counter(inode for p in processes if p.role == "shard" for inode in p.watched())
    return sum(1 for n in counts.values() if n > 1)
