"""Where a figure was measured: machine, commit, filesystem. Reads only."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from pathlib import Path

from shardwatch.supervisor.planning.limits import filesystem as filesystem_of

ROOT = Path(__file__).resolve().parents[1]


def describe() -> dict[str, object]:
    """Processor, memory, kernel, Python, and the load at this moment: what else ran beside the measurement."""
    model = platform.processor()
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    total_kib = int(Path("/proc/meminfo").read_text().split()[1])
    return {
        "cpu": model,
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(total_kib / 2**20, 1),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "load_1min": round(os.getloadavg()[0], 2),
    }


def kind() -> str:
    """The kind of processor, as the name of a directory, such as `amd-epyc-2-cores`: figures of another kind are another run."""
    told = describe()
    name = re.sub(r"\((r|tm)\)|\bcpu\b|@.*", " ", str(told["cpu"]).lower())
    return "-".join([*re.findall(r"[a-z0-9]+", name), str(told["cores"]), "cores"])


def commit() -> str:
    """The commit that was measured; a `+` says that files differ from it."""
    changed = git("status", "--porcelain", "--", "shard", "aggregator", "bridge", "supervisor", "src", "pyproject.toml").stdout
    return (git("rev-parse", "--short=12", "HEAD").stdout.decode().strip() or "unknown") + ("+" if changed else "")


def git(*arguments: str) -> subprocess.CompletedProcess[bytes]:
    """A question to the repository, which it never changes."""
    command = ["git", "--no-optional-locks", "-C", str(ROOT), *arguments]
    return subprocess.run(command, capture_output=True, check=False)


def filesystem(path: Path) -> str:
    """Name of the filesystem that holds a path, such as ext4 or tmpfs."""
    return filesystem_of(os.fsencode(path))[0]
